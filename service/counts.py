"""What a replica counts: cheap on the request path, handed to the hub as increments."""

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import msgspec

from contracts.metrics import LATENCY_BUCKETS_SECONDS
from contracts.status import JoinOutcome


class Durations(msgspec.Struct):
    """A histogram's increments: one count a bucket of the catalogue, the last one unbounded."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_SECONDS) + 1))
    sum_seconds: float = 0.0

    def note(self, bucket: int, seconds: float) -> None:
        """Counts one duration."""
        self.buckets[bucket] += 1
        self.sum_seconds += seconds

    def add(self, other: "Durations") -> None:
        """Adds another histogram of the same buckets."""
        self.buckets = [mine + more for mine, more in zip(self.buckets, other.buckets, strict=True)]
        self.sum_seconds += other.sum_seconds


class Increments(msgspec.Struct):
    """What happened at one replica since the last time it told the hub."""

    predictions: dict[int, int] = {}
    dropped: int = 0
    requests: dict[tuple[str, str], int] = {}
    durations: dict[str, Durations] = {}
    joins: dict[JoinOutcome, int] = {}
    answers: dict[int, Durations] = {}


class Counts:
    """A replica's counters of one model. It belongs to the thread of the replica's event loop.

    `dropped` says how many answered requests could not be remembered since the replica began.
    """

    def __init__(self, dropped: Callable[[], int] = int) -> None:
        self._dropped = dropped
        self._dropped_taken = 0
        self._reset()

    def predicted(self, version: int, n_instances: int) -> None:
        """Counts answered instances."""
        self._predictions[version] += n_instances

    def answered(self, route: str, outcome: str, seconds: float, version: int | None = None) -> None:
        """Counts one request and how long it took, also by the version that its answer names."""
        self._requests[route, outcome] += 1
        bucket = bisect.bisect_left(LATENCY_BUCKETS_SECONDS, seconds)
        self._durations[route].note(bucket, seconds)
        if version is not None:
            self._answers[version].note(bucket, seconds)

    def joined(self, outcomes: Mapping[JoinOutcome, int]) -> None:
        """Counts events that named a prediction instead of an instance."""
        self._joins.update(outcomes)

    def take(self) -> Increments | None:
        """What was counted since the last call; None when nothing was."""
        dropped = self._dropped() - self._dropped_taken
        if not self._requests and not dropped:
            return None
        increments = Increments(
            predictions=dict(self._predictions),
            dropped=dropped,
            requests=dict(self._requests),
            durations=dict(self._durations),
            joins=dict(self._joins),
            answers=dict(self._answers),
        )
        self._dropped_taken += dropped
        self._reset()
        return increments

    def give_back(self, increments: Increments) -> None:
        """Counts again what `take` returned, because the hub did not get it."""
        self._dropped_taken -= increments.dropped
        for version, n_instances in increments.predictions.items():
            self._predictions[version] += n_instances
        for key, n_requests in increments.requests.items():
            self._requests[key] += n_requests
        for route, durations in increments.durations.items():
            self._durations[route].add(durations)
        self._joins.update(increments.joins)
        for version, durations in increments.answers.items():
            self._answers[version].add(durations)

    def _reset(self) -> None:
        self._predictions: defaultdict[int, int] = defaultdict(int)
        self._requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._durations: defaultdict[str, Durations] = defaultdict(Durations)
        self._joins: Counter[JoinOutcome] = Counter()
        self._answers: defaultdict[int, Durations] = defaultdict(Durations)
