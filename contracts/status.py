"""What the trainer tells the service about itself: the status document, the matrix, the ledger and the news."""

from typing import Any, Literal

import msgspec

from contracts.erasures import ErasureCounts
from contracts.versions import Lineage, ProbeReport, Reason, Verdict

JoinOutcome = Literal["joined", "unknown"]
"""Whether the prediction that an event named instead of an instance was remembered."""
NAMESPACE = "lifelong"


def hub_name(model: str) -> str:
    """Ray actor name of a model's hub, the service's one long-lived process."""
    return f"hub:{model}"


def trainer_name(model: str) -> str:
    """Ray actor name of a model's trainer."""
    return f"trainer:{model}"


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Where every received event is: `received` always equals the sum of the others."""

    received: int = 0
    trained: int = 0
    probe: int = 0
    duplicate: int = 0
    late: int = 0
    quarantined: int = 0
    dead: int = 0
    pending: int = 0

    @property
    def balances(self) -> bool:
        """Whether nothing was lost and nothing was counted twice."""
        parts = self.trained + self.probe + self.duplicate + self.late + self.quarantined + self.dead + self.pending
        return self.received == parts


class Matrix(msgspec.Struct, frozen=True, kw_only=True, rename={"accuracy": "R"}):
    """The accuracy matrix: `accuracy[i][j]` in 0…1 is measured on probe set j after task i; null where unmeasured."""

    tasks: list[str] = []
    accuracy: list[list[float | None]] = []
    baseline: list[float | None] = []
    average_accuracy: float | None = None
    backward_transfer: float | None = None
    forward_transfer: float | None = None
    forgetting: list[float | None] = []


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One task as the trainer sees it; `accuracy` and `min_accuracy` are the champion's on its probe set."""

    task: str
    state: Literal["open", "closed"]
    trained: int
    probes: int
    accuracy: float | None = None
    best_accuracy: float | None = None
    min_accuracy: float | None = None


class Durations(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that the trainer's last work of each kind took; null where there was none yet.

    `train_step` is the mean over the steps of the last `round`; `decision` is measuring, judging and publishing;
    `event_to_served` is the age that the oldest event of the last promoted version had when it was announced.
    """

    train_step: float | None = None
    round: float | None = None
    decision: float | None = None
    consolidation: float | None = None
    event_to_served: float | None = None


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps learning finite, since the trainer's state began.

    `rate_curvature` is the learning rate times the largest second derivative of the penalties in the last round: plain
    gradient descent takes its steps at a smaller rate where it is above 1, for other optimisers it is only a measure.
    `skipped_steps` had a loss or a gradient that was not finite, `restored_rounds` left the network as it was, and
    `quarantined_rows` are learned no more, because each of them alone broke a step.
    """

    rate_curvature: float = 0.0
    skipped_steps: int = 0
    restored_rounds: int = 0
    quarantined_rows: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate lets a version cost a task, as shares of one: alone, and with all since the task's best."""

    max_drop: float
    budget: float


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Unix seconds of what happened last; null where it has not.

    `event`: the newest example was accepted. `round`: a round was learned. `rollback`: the learner went back to the
    champion or an older version.
    """

    event: float | None = None
    round: float | None = None
    rollback: float | None = None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """How many parameters a network has in all.

    Where it keeps tasks apart, `tasks` are those that each has for itself, and `free` those that none has claimed yet.
    """

    total: int = 0
    free: int = 0
    tasks: dict[str, int] = {}


class TrainerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The trainer's status, whole; it is sent after every change and at least once a second.

    `gate` counts decisions by verdict and `reasons` their codes, of which a decision may have several; `joins` counts
    the events that named a prediction instead of an instance. All three go back to the beginning of the state.
    """

    model: str
    version: int
    generation: int
    round: int
    processed_through: int
    served_position: int
    labels: list[str]
    tasks: list[TaskStatus]
    matrix: Matrix
    ledger: Ledger
    gate: dict[str, int]
    seconds: Durations
    device: str
    registry_lag: int
    promoted_at: float
    lag: int
    capacity: Capacity = Capacity()
    guards: Guards = Guards()
    reasons: dict[Verdict, dict[Reason, int]] = {}
    limits: Limits | None = None
    times: Times = Times()
    joins: dict[JoinOutcome, int] = {}
    workers: int = 1
    erasures: ErasureCounts = ErasureCounts()


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version as the `versions` routes show it; `withdrawn` names the erasure that its files were deleted for."""

    version: int
    aliases: list[str]
    lineage: Lineage
    probes: ProbeReport
    withdrawn: str | None = None


class News(msgspec.Struct, frozen=True, kw_only=True):
    """One server-sent event: what happened, when (Unix seconds), and its facts."""

    event: Literal["round", "task", "decision", "promotion", "rollback", "erasure", "events", "training"]
    time: float
    data: dict[str, Any]
