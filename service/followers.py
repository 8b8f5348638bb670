"""Which replica serves which generation, and how far along the feedback log that is."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from contracts.status import TrainerStatus
from service.documents import ReplicaCounts

LIVE_SECONDS = 3.0
"""A replica asks at least once a second; one not heard for this long is dead or cut off."""
GENERATIONS_KEPT = 256


class Generation(NamedTuple):
    """How often the champion has changed; what a trainer announced is newer than all that the registry held.

    The registry outlives a state directory, and the trainer of a new one counts from 1 again.
    """

    is_announced: bool
    number: int


class Expected(NamedTuple):
    """A generation's version, and the position up to which it has learned all feedback."""

    version: int
    processed_through: int


UNKNOWN = Generation(is_announced=False, number=-1)
NO_CHAMPION = Generation(is_announced=False, number=0)


class Followers:
    """The replicas that follow one hub."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, Generation]] = {}
        self._expected: dict[Generation, Expected] = {}

    def expect(self, generation: Generation, expected: Expected) -> None:
        """Takes note of what a generation is."""
        self._expected[generation] = expected
        while len(self._expected) > GENERATIONS_KEPT:
            del self._expected[min(self._expected)]

    def heard(self, replica: str, serving: Generation | None) -> None:
        """Takes note that a replica lives and serves a generation; None: the same as before."""
        if serving is None:
            serving = self._heard.get(replica, (0.0, NO_CHAMPION))[1]
        self._heard[replica] = (time.monotonic(), serving)

    def left(self, replica: str) -> None:
        """Forgets a replica."""
        self._heard.pop(replica, None)

    def serves(self, generation: Generation) -> bool:
        """Whether a live replica serves a generation."""
        return generation in self._live()

    def counts(self, champion: Generation) -> ReplicaCounts:
        """Live replicas by whether they serve the champion's generation."""
        live = self._live()
        serving = sum(generation == champion for generation in live)
        return ReplicaCounts(serving, len(live) - serving)

    def versions(self) -> Mapping[int, int]:
        """How many live replicas serve each version.

        Those are left out that serve nothing, or what was announced to a hub before this one and is not the champion.
        """
        expected = (self._expected.get(generation) for generation in self._live())
        return Counter(served.version for served in expected if served is not None)

    def served_through(self, status: TrainerStatus | None) -> int:
        """The position up to which the version served by every live replica has learned; 0 without a replica.

        A version goes on covering feedback that changes no weight, probe rows and duplicates, after it was made: the
        trainer's own word on the version it last published counts where it is higher.
        """
        positions = []
        for generation in self._live():
            expected = self._expected.get(generation)
            position = 0 if expected is None else expected.processed_through
            if status is not None and generation == Generation(is_announced=True, number=status.generation):
                position = max(position, status.served_position)
            positions.append(position)
        return min(positions, default=0)

    def _live(self) -> list[Generation]:
        oldest = time.monotonic() - LIVE_SECONDS
        for replica in [name for name, (at, _) in self._heard.items() if at < oldest]:
            del self._heard[replica]
        return [generation for _, generation in self._heard.values()]
