"""What a user may decide about probes, task ends and promotion; no torch, so that the command line reads it quickly."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.inputs import Specification

Share = Annotated[float, Field(gt=0.0, le=1.0)]
CurriculumKind = Literal["given", "easy_first", "hard_first", "similar_next", "dissimilar_next"]


class ProbeSettings(Specification):
    """Which events are held out to measure every version with; they are never trained on.

    `fraction` of all events, chosen by a hash of the event id, are probes. A task keeps at most `rows_per_task` of
    them, shared fairly among its labels: 1,000 rows show a loss of two points, 100 rows one of seven.
    """

    fraction: float = Field(default=0.1, gt=0.0, le=0.5)
    rows_per_task: int = Field(default=1000, ge=1, le=100_000)


class TaskSettings(Specification):
    """When a task ends by itself, and in which order queued tasks are learned.

    `close_after_events`: that many events of other tasks came in a row. `close_after_idle_seconds`: nothing of it
    came for so long. 0 switches a rule off, and an explicit close always works.

    `curriculum`: `given` learns events as they come. With any other, where more than 512 are waiting, up to
    `backlog_events` of them are taken at once and the new tasks among them learned one after the other: by how much of
    each a copy of the network learns in 20 steps (`easy_first`, `hard_first`), or from the first one always to the most
    or least similar one left (`similar_next`, `dissimilar_next`). Nothing is promoted before all of it is learned.
    """

    close_after_events: int = Field(default=200, ge=0, le=10_000_000)
    close_after_idle_seconds: float = Field(default=600.0, ge=0.0, le=31_536_000.0)
    curriculum: CurriculumKind = "given"
    backlog_events: int = Field(default=10_000, ge=1_000, le=1_000_000)


class PromotionSettings(Specification):
    """When a new version may replace the serving one; every accuracy is a share of one, 0.02 is two points.

    `mode`: `auto` serves what passes the gate; `apprentice` learns and measures but serves nothing new; `manual`
    leaves what passed waiting for a person, who promotes it by `rollback` with its version number.
    `min_interval_seconds` is the shortest time between two promotions.

    The gate (formulae in `docs/gate.md`): `alpha` is the chance, per decision, of seeing a loss where there is none.
    `floor_drop` is the loss on 1,000 rows that counts as a loss without any test, on n rows times √(1000/n); sets of
    fewer than `floor_rows` rows are judged by significance alone, and sets of fewer than `min_rows` only together.
    With a measured gain elsewhere one version may cost a task up to `max_drop`, and all versions since its best one
    together up to `budget`. `max_negative_flips` bounds the share of rows that were right and become wrong.

    `refused`: after a refusal the learner goes on (`continue`) or returns to the champion's state (`restore`).
    `keep_versions` is how many versions without an alias are kept.
    """

    mode: Literal["auto", "apprentice", "manual"] = "auto"
    min_interval_seconds: float = Field(default=2.0, ge=0.0, le=86_400.0)
    max_drop: Share = 0.10
    budget: Share = 0.20
    alpha: float = Field(default=0.05, gt=0.0, le=0.5)
    floor_drop: Share = 0.02
    floor_rows: int = Field(default=100, ge=1, le=100_000)
    min_rows: int = Field(default=20, ge=1, le=100_000)
    max_negative_flips: Share = 0.04
    refused: Literal["continue", "restore"] = "continue"
    keep_versions: int = Field(default=20, ge=1, le=100_000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_drop > self.budget:
            raise ValueError("promotion.max_drop: one step may not cost more than promotion.budget allows in all")
        if self.min_rows > self.floor_rows:
            raise ValueError("promotion.min_rows: must not be above promotion.floor_rows")
        return self
