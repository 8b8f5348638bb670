"""A stand-in for a CUDA graph on a CPU: operations are written down once and repeated on the same tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer.captured import CapturedStep
from trainer.guard import Snapshot

WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}
"""Operations whose answer the program needs, so that it would have to wait for the device."""


class Waits(RuntimeError):
    """An operation asks the device something, which a graph cannot."""


class Tape(TorchDispatchMode):
    """Writes down what is computed inside. Like a graph it holds addresses and numbers, and runs no Python again."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[tuple[Callable[..., Any], Sequence[Any], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func._schema.name in WAITING:
            raise Waits(func._schema.name)
        result = func(*args, **given)
        self._operations.append((func, args, given, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Repeats everything; each result goes where it was."""
        for function, args, given, result in self._operations:
            for old, new in zip(tree_leaves(result), tree_leaves(function(*args, **given)), strict=True):
                if isinstance(old, Tensor) and old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)


class TapedStep(CapturedStep):
    """Captures steps on a tape, and counts them."""

    captured = 0
    replayed = 0

    def _recorded(self, run: Callable[[], None]) -> Callable[[], None] | None:
        before, random = Snapshot(self._network, self._optimiser), torch.get_rng_state()
        tape = Tape()
        try:
            run()
            with tape:
                run()
        finally:
            before.restore(self._network, self._optimiser)
            torch.set_rng_state(random)
        TapedStep.captured += 1

        def replay() -> None:
            TapedStep.replayed += 1
            tape.replay()

        return replay
