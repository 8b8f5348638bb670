"""What a load generator saw."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from benchmarks.serving.connection import LOST, Answer


@dataclass
class Samples:
    """Latencies in seconds of the answers with 200, how often there was which status, and the time it took.

    `late` are the seconds between when a request was meant to be sent and when it was; they are part of its latency.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0

    def add(self, answer: Answer, latency: float) -> None:
        """Counts one answer."""
        self.statuses[answer.status] += 1
        if answer.status == HTTPStatus.OK:
            self.latencies.append(latency)
        elif answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.without_retry_after += not answer.has_retry_after

    @property
    def rate(self) -> float:
        """Answers with 200 a second."""
        return self.statuses[HTTPStatus.OK] / self.seconds if self.seconds else 0.0

    def milliseconds(self, share: float) -> float:
        """The latency that a share of the answers with 200 stayed within."""
        return 1000 * quantile(self.latencies, share)

    def failures(self) -> dict[str, int]:
        """Answers other than 200, by status; `lost` for none at all."""
        failed = sorted(status for status in self.statuses if status != HTTPStatus.OK)
        return {"lost" if status == LOST else str(status): self.statuses[status] for status in failed}


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed; NaN when there is none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    # The tolerance keeps 0.55 · 100 = 55.00000000000001 from asking for one value more.
    rank = math.ceil(share * len(ordered) - 1e-9)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def pooled(parts: Iterable[Samples]) -> Samples:
    """Several runs as one."""
    whole = Samples()
    for part in parts:
        whole.seconds += part.seconds
        whole.latencies += part.latencies
        whole.late += part.late
        whole.statuses += part.statuses
        whole.without_retry_after += part.without_retry_after
    return whole
