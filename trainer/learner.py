"""The learner: one written-out loop over the hooks of a strategy."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from contracts.labels import Column
from networks.flat import Network
from networks.standardise import observe
from trainer.batch import Batch, concatenate
from trainer.captured import step_for
from trainer.guard import Quarantine, Snapshot, all_finite
from trainer.optimiser import OPTIMISERS
from trainer.parallel import ParallelStep, Ranks
from trainer.settings import LearnerSettings
from trainer.strategy import Fetch, Strategy

LOG = logging.getLogger(__name__)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SEED_STRIDE = 0x9E3779B1
"""Keeps the rounds of one seed apart from those of the next: more than a stream has rounds."""


class TrainingResult(NamedTuple):
    """What a round did: mean loss in nats (NaN if it changed nothing), steps, those skipped, seconds a step.

    `rate_curvature` is the learning rate times the bound of the penalty's second derivatives. `restored` says that the
    round changed nothing, because every step was skipped or one of them moved the network to where it is not finite.
    `quarantined` are the ids of rows that broke a step for the first time: no later step learns them.
    """

    loss: float
    steps: int
    skipped: int
    step_seconds: float
    rate_curvature: float
    restored: bool
    quarantined: tuple[int, ...]


class Learner:
    """A network, a strategy and an optimiser; the same rounds with the same seeds give the same bits on CPU."""

    def __init__(
        self, network: Network, strategy: Strategy, settings: LearnerSettings, ranks: Ranks | None = None
    ) -> None:
        """With `ranks` it is one of several processes that learn together and are told the same.

        The only one of them learns as one without does, bit for bit.
        """
        self.network = network
        self.strategy = strategy
        self._settings = settings
        self._optimiser = OPTIMISERS[settings.optimiser](settings.learning_rate)
        self._quarantine = Quarantine()
        self._ranks = ranks
        if ranks is None or ranks.size == 1:
            self._step = step_for(network, strategy, self._optimiser, settings)
        else:
            strategy.divide(ranks.owns)
            self._step = ParallelStep(network, strategy, self._optimiser, settings.clip_norm, ranks)

    @property
    def workers(self) -> int:
        """How many processes learn together."""
        return 1 if self._ranks is None else self._ranks.size

    def grow(self, columns: Sequence[Column]) -> None:
        """Gives the network these outputs as well."""
        self.network.grow(columns)

    def before_task(self, task: int) -> None:
        """Tells the strategy that rows of this task follow, or that the head has grown."""
        self.strategy.before_task(self.network, task)
        self._step.forget()

    def train(self, batch: Batch, recent: Batch, steps: int, number: int) -> TrainingResult:
        """Learns a round: each new row once, in order, then samples of them until `steps` steps are taken.

        The network observes the new rows first. Few of them are mixed with `recent` ones in the samples. A round takes
        at least the steps of its one pass. A step whose loss, gradient or buffers are not finite is taken again without
        the rows that alone break it: these are in quarantine from then on. If there are none, it leaves the network as
        it was and is counted. Where the network is not finite after the round, or no step changed it, network and
        optimiser are again what they were before; what the strategy noted of the rows stays. Seeds torch's global
        generator with the learner's seed and the round's number.
        """
        seed = (self._settings.seed * SEED_STRIDE + number) % 2**63
        torch.manual_seed(seed)
        self._step.begin(seed)
        started, known = time.perf_counter(), len(self._quarantine.ids)
        curvature, before = self.strategy.curvature(), Snapshot(self.network, self._optimiser)
        losses = self._losses(batch, recent, steps, curvature)
        kept = [loss for loss in losses if math.isfinite(loss)]
        restored = bool(losses) and not (kept and all_finite([self.network.theta]))
        if restored:
            kept.clear()
            before.restore(self.network, self._optimiser)
            self._step.forget()
            LOG.warning("round %d changed nothing: none of its %d steps left the network finite", number, len(losses))
        return TrainingResult(
            loss=sum(kept) / len(kept) if kept else math.nan,
            steps=len(losses),
            skipped=len(losses) - len(kept),
            step_seconds=(time.perf_counter() - started) / max(len(losses), 1),
            rate_curvature=self._settings.learning_rate * curvature,
            restored=restored,
            quarantined=tuple(self._quarantine.ids[known:]),
        )

    def consolidate(self, examples: Batch) -> float:
        """Ends a task, given its own examples; returns the seconds it took."""
        started = time.perf_counter()
        self.strategy.after_task(self.network, self._quarantine.sound(examples).to(self.network.theta.device))
        self._step.forget()
        return time.perf_counter() - started

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of all tensors, and the rest as JSON; together they continue bit for bit."""
        parts = {"optimiser": self._optimiser.state_dict(), "strategy": self.strategy.state_dict()}
        tensors = {f"network.{name}": tensor.detach().cpu().clone() for name, tensor in self.network.tensors().items()}
        document: dict[str, Any] = {"quarantine": list(self._quarantine.ids), **{part: {} for part in parts}}
        for part, state in parts.items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"{part}.{name}"] = value.cpu()
                else:
                    document[part][name] = value
        return tensors, document

    def restore(self, tensors: dict[str, Tensor], document: dict[str, Any], examples: Fetch) -> None:
        """Continues from a saved state; the network must have the columns it had then."""
        self.network.load_tensors({name.removeprefix("network."): each for name, each in tensors.items()})
        self._quarantine = Quarantine(document["quarantine"])
        parts = {part: dict(document[part]) for part in ("optimiser", "strategy")}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = tensor
        self._optimiser.load_state_dict(parts["optimiser"])
        device = self.network.theta.device
        self.strategy.load_state_dict(parts["strategy"], lambda ids: examples(ids).to(device))
        self._step.forget()

    def _losses(self, batch: Batch, recent: Batch, steps: int, curvature: float) -> list[float]:
        """Observes the new rows and takes a round's steps; the loss of each, NaN where it changed nothing."""
        network, device = self.network, self.network.theta.device
        observe(network.module, self._quarantine.sound(batch).inputs.to(device))
        with network.computing_in(PRECISIONS[self._settings.precision]):
            pieces = map(self._quarantine.sound, self._pieces(batch.to(device), recent.to(device), steps))
            losses = [self._learn(rows, curvature) for rows in pieces if len(rows)]
        network.module.eval()
        return losses

    def _learn(self, rows: Batch, curvature: float) -> float:
        """A step on the rows that can be learned; its loss, NaN if it left the network as it was."""
        while len(sound := self._quarantine.sound(rows)):
            mixed = self._quarantine.blanked(self.strategy.replay(self.network, sound))
            loss, logits = self._step(mixed, curvature)
            if math.isfinite(loss):
                self.strategy.after_step(self.network, sound, logits[: len(sound)])
                return loss
            if not self._quarantine.take(self._step.broken(mixed), len(mixed)):
                break
        return math.nan

    def _pieces(self, batch: Batch, recent: Batch, steps: int) -> Iterator[Batch]:
        """The new rows in equal pieces, then samples of them, filled up with recent rows where they are few."""
        passes = math.ceil(len(batch) / self._settings.batch_size)
        for piece in torch.arange(len(batch)).tensor_split(passes) if passes else ():
            yield batch.select(slice(int(piece[0]), int(piece[-1]) + 1))
        for _ in range(steps - passes):
            own = _sample(batch, self._settings.extra_rows)
            yield concatenate([own, _sample(recent, self._settings.extra_rows - len(own))])


def _sample(batch: Batch, rows: int) -> Batch:
    """At most `rows` rows, without replacement."""
    return batch.select(torch.randperm(len(batch))[:rows].to(batch.ids.device))
