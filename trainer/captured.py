"""A step of learning as one CUDA graph: the processor launches it whole instead of kernel after kernel."""

import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.guard import Snapshot, huge
from trainer.optimiser import Optimiser
from trainer.settings import LearnerSettings
from trainer.step import Step
from trainer.strategy import Strategy

LOG = logging.getLogger(__name__)
MOST_GRAPHS = 8
"""Each keeps the memory of a step; the kinds of batches that come again and again are fewer."""
OFTEN = 3
"""A kind of batch that came so many times will come again; capturing one costs many steps' time."""
WARM_UP = 3
"""Steps before a capture, in which libraries choose their kernels and take their memory."""


def step_for(network: Network, strategy: Strategy, optimiser: Optimiser, settings: LearnerSettings) -> Step:
    """How a learner takes its steps: captured on a GPU, if settings and strategy allow it."""
    is_captured = settings.graphs and network.theta.is_cuda and strategy.is_capturable()
    return (CapturedStep if is_captured else Step)(network, strategy, optimiser, settings.clip_norm)


class _Still(NamedTuple):
    """A step whose tensors stay where they are: what it reads, what it writes, and how it is run."""

    batch: Batch
    loss: Tensor
    logits: Tensor
    run: Callable[[], None]


class CapturedStep(Step):
    """A step that asks the device nothing before its end, captured once for each kind of batch.

    Guard, clipping and optimiser decide on the device. A kind of batch, told by the sizes of its parts, is captured
    after a few sound steps since the last `forget`; until then, and where a module cannot be captured, its steps are
    taken as `Step` takes them. Of too many kinds the one that was not used for the longest is dropped. On a CPU there
    is nothing to capture: the operations of a graph run directly, with the bits that `Step` gives.
    """

    def __init__(self, network: Network, strategy: Strategy, optimiser: Optimiser, clip_norm: float) -> None:
        super().__init__(network, strategy, optimiser, clip_norm)
        self._seen: Counter[Hashable] = Counter()
        self._stills: OrderedDict[Hashable, _Still] = OrderedDict()
        self._can_capture = True
        self._stream: torch.cuda.Stream | None = None
        if not network.theta.is_cuda:
            LOG.info("no GPU is used: the operations of a step that would be captured run directly")

    def __call__(self, mixed: Batch, curvature: float) -> tuple[float, Tensor]:
        """As `Step` has it; the logits are a copy."""
        kind = (mixed.appended, *((name, part.shape, part.dtype) for name, part in mixed.parts.items()))
        if kind not in self._stills and self._seen[kind] >= OFTEN and self._can_capture:
            self._prepare(kind, mixed, curvature)
        if kind not in self._stills:
            value, logits = super().__call__(mixed, curvature)
            self._seen[kind] += math.isfinite(value)
            return value, logits
        self._stills.move_to_end(kind)
        still, parts = self._stills[kind], mixed.parts
        for name, part in still.batch.parts.items():
            part.copy_(parts[name])
        still.run()
        return float(still.loss), still.logits.clone()

    def forget(self) -> None:
        """Drops all graphs: they hold addresses and numbers."""
        self._seen.clear()
        self._stills.clear()

    def _prepare(self, kind: Hashable, mixed: Batch, curvature: float) -> None:
        """Keeps a still step for batches like this one, if it can be captured."""
        batch, theta, layout = mixed.clone(), self._network.theta, self._network.layout
        loss, logits = theta.new_zeros(()), theta.new_empty(len(mixed), len(self._network.columns))
        recorded = self._recorded(lambda: self._learn(batch, curvature, loss, logits))
        if recorded is None or self._network.layout is not layout:
            self._can_capture = False
            return
        if len(self._stills) == MOST_GRAPHS:
            self._seen.pop(self._stills.popitem(last=False)[0])
        self._stills[kind] = _Still(batch, loss, logits, recorded)

    def _learn(self, batch: Batch, curvature: float, loss: Tensor, logits: Tensor) -> None:
        """The whole step on the device; its results go to `loss` and `logits`."""
        network = self._network
        buffers = list(network.module.buffers())
        before = [buffer.clone() for buffer in buffers]
        found, answers = self._gradient(batch)
        norm = torch.dot(network.gradient, network.gradient).double().sqrt()
        is_sound = found.isfinite() & norm.isfinite() & ~huge(answers, batch)
        for buffer in buffers:
            is_sound &= buffer.isfinite().all()
        network.gradient.mul_((self._clip_norm / norm).clamp(max=1.0).float())
        self._optimiser.step(network, curvature, skip=(~is_sound).float())
        for buffer, kept in zip(buffers, before, strict=True):
            buffer.copy_(torch.where(is_sound, buffer, kept))
        loss.copy_(found.masked_fill(~is_sound, math.nan))
        logits.copy_(answers)

    def _recorded(self, run: Callable[[], None]) -> Callable[[], None] | None:
        """What repeats the operations of `run`, None if it cannot be captured; nothing has changed."""
        if not self._network.theta.is_cuda:
            return run
        device = self._network.theta.device
        before, random = Snapshot(self._network, self._optimiser), torch.cuda.get_rng_state(device)
        recorded = None
        try:
            recorded = self._graph(run, device).replay
        except RuntimeError as error:
            why = str(error).partition("\n")[0]
            LOG.warning("steps are not captured as CUDA graphs; learner.graphs: false says so at once: %s", why)
        torch.cuda.synchronize(device)
        before.restore(self._network, self._optimiser)
        torch.cuda.set_rng_state(random, device)
        return recorded

    def _graph(self, run: Callable[[], None], device: torch.device) -> "torch.cuda.CUDAGraph":
        """Takes some steps and captures one more, all on a stream of their own."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP):
                run()
        torch.cuda.current_stream(device).wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            run()
        return graph
