"""A whole trainer on real stores with real digits, and a service that only remembers what it was told."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from contracts.erasures import Erasure
from contracts.inputs import TensorInput
from contracts.labels import LabelSpec
from contracts.status import News, TrainerStatus, VersionRecord
from feedback.settings import PredictionSettings, SqliteSettings
from feedback.sqlite import SqliteLog
from networks.settings import MlpSpec
from trainer.assembly import TrainerConfiguration, assemble
from trainer.intake import split_of
from trainer.leader import Crew
from trainer.loop import Trainer
from trainer.policies import ProbeSettings, PromotionSettings, TaskSettings
from trainer.settings import LearnerSettings

REPLAY_AND_EWC: list[dict[str, Any]] = [{"kind": "replay", "capacity": 500}, {"kind": "ewc", "strength": 100.0}]


class RememberingService:
    """The service's side of the contract: keeps what it is told."""

    def __init__(self) -> None:
        self.generations: list[int] = []
        self.files: dict[str, bytes] = {}
        self.statuses: list[TrainerStatus] = []
        self.news: list[News] = []
        self.versions: list[VersionRecord] = []
        self.erasures: list[Erasure] = []
        self.knows_all = True

    def announce(self, generation: int, files: dict[str, bytes]) -> None:
        self.generations.append(generation)
        self.files = files

    def report(self, status: TrainerStatus) -> bool:
        self.statuses.append(status)
        return self.knows_all

    def narrate(self, news: Sequence[News]) -> None:
        self.news.extend(news)

    def remember(self, versions: Sequence[VersionRecord]) -> None:
        self.versions = list(versions)

    def certify(self, read: Callable[[], Sequence[Erasure]]) -> None:
        self.erasures = list(read())


def configuration(directory: Path, **changes: Any) -> TrainerConfiguration:
    """A small digits model; `changes` replace parts of it."""
    parts: dict[str, Any] = {
        "model": "digits",
        "directory": directory,
        "input": TensorInput(shape=(64,)),
        "labels": LabelSpec(),
        "network": MlpSpec(hidden=[64]),
        "strategies": REPLAY_AND_EWC,
        "feedback": SqliteSettings(),
        "predictions": PredictionSettings(),
        "registry_uri": None,
        "learner": LearnerSettings(min_steps=20),
        "tasks": TaskSettings(close_after_events=0, close_after_idle_seconds=0),
        "probes": ProbeSettings(),
        "promotion": PromotionSettings(min_interval_seconds=0),
    }
    return TrainerConfiguration(**(parts | changes))


class Bench:
    """A trainer beside the log that feeds it; `reopen` is what a restart after a kill does.

    With `recruit` it leads the crew that this makes at every start.
    """

    def __init__(
        self, directory: Path, recruit: Callable[[TrainerConfiguration], Crew] | None = None, **changes: Any
    ) -> None:
        self.config = configuration(directory, **changes)
        self._recruit = recruit
        self.log = SqliteLog(directory / "feedback.db")
        self.reopen()

    def reopen(self) -> None:
        """Builds everything anew from the state directory and nothing else; the trainer before is left as it was."""
        self.service = RememberingService()
        crew = None if self._recruit is None else self._recruit(self.config)
        self.trainer: Trainer = assemble(self.config, self.service, lambda: None, crew)
        self.trainer.begin()

    def feed(self, events: Sequence[dict[str, Any]]) -> None:
        """Appends events to the log, as accepted feedback is."""
        bodies = [(event["event_id"], json.dumps(event).encode()) for event in events]
        self.log.append(bodies)

    def drain(self) -> None:
        """Lets the trainer take everything there is and promote what is due."""
        while self.trainer.advance(0.0):
            pass

    @property
    def status(self) -> TrainerStatus:
        """The last status that the service was told."""
        return self.service.statuses[-1]

    @property
    def fingerprint(self) -> str:
        """Digest of the learner's weights."""
        return hashlib.sha256(self.trainer.network.weights()).hexdigest()


def digit_events(digits: Sequence[int], task: str | None, limit: int = 60) -> list[dict[str, Any]]:
    """Feedback events of scikit-learn's 8×8 digits, mixed, `limit` of each digit."""
    images, labels = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == digit)[:limit] for digit in digits])
    order = np.random.default_rng(0).permutation(rows)
    events = []
    for row in order:
        event: dict[str, Any] = {"event_id": f"digit-{row}", "label": int(labels[row])}
        event["instance"] = [round(float(value) / 16, 4) for value in images[row]]
        if task is not None:
            event["task"] = task
        events.append(event)
    return events


def split(events: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Those of the events that are training rows, or probe rows."""
    return [event for event in events if split_of(event["event_id"], 0.1) == wanted]
