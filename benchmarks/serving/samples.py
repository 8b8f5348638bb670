"""What a load generator saw."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from benchmarks.serving.connection import NAMES, Answer


@dataclass
class Samples:
    """What came of the requests of one run, which took `seconds`.

    Of the answers with 200 `latencies` are the seconds from when their request was meant to be sent, `services` those
    from when it was sent. `late` is the difference, of all requests that were sent.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    services: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0

    def add(self, answer: Answer, latency: float, service: float) -> None:
        """Counts one answer."""
        self.statuses[answer.status] += 1
        if answer.status == HTTPStatus.OK:
            self.latencies.append(latency)
            self.services.append(service)
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
        """Requests that did not come to a 200, by status; `lost` came to no answer, `unsent` never left."""
        failed = sorted((status, count) for status, count in self.statuses.items() if status != HTTPStatus.OK and count)
        return {NAMES.get(status, str(status)): count for status, count in failed}


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
        whole.services += part.services
        whole.late += part.late
        whole.statuses += part.statuses
        whole.without_retry_after += part.without_retry_after
    return whole
