"""iCaRL: few well-chosen examples of every class, and the class whose examples look most alike is the answer."""

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize, one_hot

from contracts.labels import Scenario
from networks.flat import Network, find_head
from trainer import herding
from trainer.batch import Batch, append, concatenate
from trainer.distillation import Teacher
from trainer.loss import competing
from trainer.memory import ReplayBuffer, equal_shares
from trainer.states import State, join, part_of
from trainer.strategy import Fetch, Naive

NEVER, NEVER_FACTOR = -1e4, 1e3
"""Score of a class of which no example was ever seen."""


@dataclass(config=ConfigDict(extra="forbid"))
class ICaRL(Naive):
    """Σ_columns BCE(σ(logit), q), averaged over a step's rows, in the place of the classification loss.

    For a class that has exemplars q is what the network answered at the last task's end, for any other whether it is
    the row's own. A new row of a class that has exemplars, which the paper does not know, has q = 1 for that class.
    `capacity` exemplars are shared out equally among the classes, chosen by herding on features of length one when a
    task ends, and `rows` of them are appended to each step.

    The answer is the class whose exemplars' mean feature is nearest, all features of length one: that of the largest
    φ(x) · μ_c for means μ_c of length one, so the predictor is the network with another head. Classes without exemplars
    are represented by a sample of the rows seen. The head is scaled by `sharpness` over the mean length of φ, which
    changes no answer: softmax then sees about `sharpness` times the cosine.
    Where no class is added, old answers hold back what new rows teach: plain fine-tuning is better there.
    (Rebuffi et al., *iCaRL: Incremental Classifier and Representation Learning*, 2017.)
    """

    owns = frozenset({"loss", "predictor"})
    scenario: ClassVar[Scenario | None] = "class"

    capacity: int = Field(default=2000, gt=0, le=10_000_000)
    rows: int = Field(default=128, gt=0, le=65_536)
    sharpness: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts without exemplars."""
        self._generator = torch.Generator().manual_seed(self.seed)
        self._teacher = Teacher()
        self._exemplars: Batch | None = None
        self._recent = ReplayBuffer(self.capacity, True, self.seed)
        self._head: tuple[Tensor, Tensor] | None = None

    def before_task(self, network: Network, task: int) -> None:  # noqa: ARG002
        """The head may have grown."""
        self._head = None

    def replay(self, network: Network, batch: Batch) -> Batch:  # noqa: ARG002
        """The batch with `rows` exemplars; no row counts in the classification loss."""
        exemplars = self._held(batch)
        if exemplars is None:
            return replace(batch, weights=torch.zeros_like(batch.targets, dtype=torch.float32))
        drawn = torch.randint(len(exemplars), (self.rows,), generator=self._generator)
        return append(batch, exemplars.select(drawn.to(batch.ids.device)), keeps=0.0, share=0.0)

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:
        """The whole loss of a step."""
        wanted = self._wanted(network, batch, logits.shape[1])
        losses = binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        mask = competing(network, batch)
        return (losses if mask is None else losses * mask).sum() / len(batch)

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Samples the new rows of classes without exemplars."""
        self._head = None
        exemplars = self._held(batch)
        if exemplars is not None:
            batch = batch.select(~torch.isin(batch.targets, exemplars.targets))
        self._recent.insert(batch)

    def after_task(self, network: Network, examples: Batch) -> None:
        """Chooses exemplars of the task's classes, and takes the network as it is now for the teacher."""
        if len(examples) == 0:
            return
        self._head = None
        self._teacher.capture(network)
        self._exemplars = self._chosen(network, examples)
        waiting = self._recent_rows(self._exemplars.targets)
        self._recent = ReplayBuffer(self.capacity, True, int(torch.randint(2**62, (), generator=self._generator)))
        if waiting is not None:
            self._recent.insert(waiting)

    def predictor(self, network: Network) -> Network:
        """The network with the head of nearest means, or the network itself before the first step."""
        if self._exemplars is None and len(self._recent) == 0:
            return network
        if self._head is None:
            self._head = self._nearest_means(network)
        weight, bias = self._head
        copy = network.with_head(weight)
        head = find_head(copy.module)
        if head.bias is not None:
            head.bias.data.copy_(bias)
        return copy

    def state_dict(self) -> State:
        """Exemplars and sampled rows as ids, the teacher, and the generator."""
        ids = torch.empty(0, dtype=torch.int64) if self._exemplars is None else self._exemplars.ids.clone()
        parts = join({"teacher": self._teacher.state_dict(), "recent": self._recent.state_dict()})
        return {"exemplars": ids, "generator": self._generator.get_state(), **parts}

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Holds the same examples again."""
        self._exemplars = examples(state["exemplars"]) if len(state["exemplars"]) else None
        self._generator.set_state(state["generator"])
        self._teacher.load_state_dict(part_of(state, "teacher"))
        self._recent.load_state_dict(part_of(state, "recent"), examples)
        self._head = None

    def _wanted(self, network: Network, batch: Batch, n_columns: int) -> Tensor:
        """q `(n, columns)` in 0…1."""
        own = one_hot(batch.targets, n_columns).to(torch.float32)
        exemplars = self._held(batch)
        if exemplars is None:
            return own
        old = torch.bincount(exemplars.targets).nonzero().squeeze(1)
        wanted = own.clone()
        wanted[:, old] = self._teacher(network, batch.inputs)[:, old].sigmoid()
        is_new = ~torch.isin(batch.ids, exemplars.ids)
        return torch.where(is_new[:, None] & (own > 0), own, wanted)

    def _chosen(self, network: Network, examples: Batch) -> Batch:
        """Exemplars of all classes, class by class, those of the examples' classes chosen anew."""
        exemplars = self._held(examples)
        known = examples if exemplars is None else concatenate([exemplars, examples])
        counts = torch.bincount(known.targets)
        targets = counts.nonzero().squeeze(1)
        shares = equal_shares(counts[targets].cpu().numpy(), self.capacity).tolist()
        is_new = torch.isin(targets, examples.targets).tolist()
        kept = []
        for target, share, new in zip(targets, shares, is_new, strict=True):
            rows = known.select(known.targets == target)
            order = herding.select(normalize(herding.features_of(network, rows.inputs)), share) if new else slice(share)
            kept.append(rows.select(order))
        return concatenate(kept)

    def _held(self, beside: Batch) -> Batch | None:
        """The exemplars, on the device of these rows."""
        if self._exemplars is not None:
            self._exemplars = self._exemplars.to(beside.inputs.device)
        return self._exemplars

    def _recent_rows(self, beside: Tensor) -> Batch | None:
        """The sampled rows of classes other than these."""
        if len(self._recent) == 0:
            return None
        rows = self._recent.read(torch.arange(len(self._recent)))
        return rows.select(~torch.isin(rows.targets, beside.to(rows.targets.device)))

    def _nearest_means(self, network: Network) -> tuple[Tensor, Tensor]:
        """Weight `(columns, features)` and bias `(columns,)` of the head of nearest means."""
        device = network.theta.device
        held = [self._recent_rows(torch.empty(0, dtype=torch.int64)), self._exemplars]
        rows = concatenate([batch.to(device) for batch in held if batch is not None])
        features = herding.features_of(network, rows.inputs)
        classes = one_hot(rows.targets, len(network.columns)).to(features.dtype)
        means = normalize(classes.T @ normalize(features))
        scale = self.sharpness / features.norm(dim=1).mean().clamp(min=1e-6)
        is_known = classes.any(dim=0)
        away = -NEVER_FACTOR * means.sum(dim=0)  # without a bias: far from all that is known
        return torch.where(is_known[:, None], means, away) * scale, torch.where(is_known, 0.0, NEVER)
