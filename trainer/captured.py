"""A step of learning as one CUDA graph: the processor launches it whole instead of kernel after kernel."""

import logging
import math
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
    when it comes again after a sound step since the network's shape changed or a task ended; until then, and where a
    module cannot be captured, its steps are taken as `Step` takes them. On a CPU there is nothing to capture: the
    operations of a graph run directly, with the bits that `Step` gives.
    """

    def __init__(self, network: Network, strategy: Strategy, optimiser: Optimiser, clip_norm: float) -> None:
        super().__init__(network, strategy, optimiser, clip_norm)
        self._seen: set[Hashable] = set()
        self._stills: dict[Hashable, _Still] = {}
        self._layout = network.layout
        self._can_capture = True
        if not network.theta.is_cuda:
            LOG.info("no GPU is used: the operations of a step that would be captured run directly")

    def __call__(self, mixed: Batch, curvature: float) -> tuple[float, Tensor]:
        """As `Step` has it; the logits are a copy."""
        if self._layout is not self._network.layout:
            self.forget()
        still = self._still(mixed, curvature)
        if still is None:
            value, logits = super().__call__(mixed, curvature)
            if math.isfinite(value):
                self._seen.add(_kind(mixed))
            return value, logits
        parts = mixed.parts
        for name, part in still.batch.parts.items():
            part.copy_(parts[name])
        still.run()
        return float(still.loss), still.logits.clone()

    def forget(self) -> None:
        """Drops all graphs: they hold addresses and numbers."""
        self._seen.clear()
        self._stills.clear()
        self._layout = self._network.layout

    def _still(self, mixed: Batch, curvature: float) -> _Still | None:
        """The still step for batches like this one, if there is one or one can be made now."""
        kind = _kind(mixed)
        is_due = kind in self._seen and self._can_capture and len(self._stills) < MOST_GRAPHS
        if kind not in self._stills and is_due and (still := self._prepare(mixed, curvature)):
            self._stills[kind] = still
        return self._stills.get(kind)

    def _prepare(self, mixed: Batch, curvature: float) -> _Still | None:
        batch, theta = mixed.clone(), self._network.theta
        loss, logits = theta.new_zeros(()), theta.new_empty(len(mixed), len(self._network.columns))

        def run() -> None:
            self._learn(batch, curvature, loss, logits)

        graph = self._capture(run) if theta.is_cuda else run
        return None if graph is None else _Still(batch, loss, logits, graph)

    def _learn(self, batch: Batch, curvature: float, loss: Tensor, logits: Tensor) -> None:
        """The whole step on the device; its results go to `loss` and `logits`."""
        network = self._network
        buffers = [buffer.clone() for buffer in network.module.buffers()]
        found, answers = self._gradient(batch)
        norm = torch.dot(network.gradient, network.gradient).double().sqrt()
        is_sound = found.isfinite() & norm.isfinite() & ~huge(answers, batch)
        for buffer in network.module.buffers():
            is_sound &= buffer.isfinite().all()
        network.gradient.mul_((self._clip_norm / norm).clamp(max=1.0).float())
        self._optimiser.step(network, curvature, skip=(~is_sound).float())
        for buffer, kept in zip(network.module.buffers(), buffers, strict=True):
            buffer.copy_(torch.where(is_sound, buffer, kept))
        loss.copy_(found.masked_fill(~is_sound, math.nan))
        logits.copy_(answers)

    def _capture(self, run: Callable[[], None]) -> Callable[[], None] | None:
        """A graph of what `run` does, None if that cannot be captured; network and optimiser are what they were."""
        device = self._network.theta.device
        before, random = Snapshot(self._network, self._optimiser), torch.cuda.get_rng_state(device)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        try:
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    run()
            torch.cuda.current_stream(device).wait_stream(stream)
            with torch.cuda.graph(graph, stream=stream):
                run()
        except RuntimeError as error:
            LOG.warning("steps are taken operation by operation, they cannot be captured: %s", type(error).__name__)
            self._can_capture = False
        before.restore(self._network, self._optimiser)
        torch.cuda.set_rng_state(random, device)
        return graph.replay if self._can_capture else None


def _kind(batch: Batch) -> Hashable:
    return (batch.appended, *((name, part.shape, part.dtype) for name, part in batch.parts.items()))
