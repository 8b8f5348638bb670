"""Names the answers of one model, so that feedback may name them instead of repeating an instance."""

from typing import Protocol

from feedback.join import RequestKeys
from service.counts import Counts


class Recorder(Protocol):
    """Remembers the bodies of answered requests by their key."""

    def record(self, key: str, version: int, body: bytes) -> None:
        """Never waits and never raises."""
        ...


class Issuer:
    """Gives every answered request its key, has it remembered, and counts its instances."""

    def __init__(self, recorder: Recorder, counts: Counts) -> None:
        self._recorder = recorder
        self._counts = counts
        self._keys = RequestKeys()

    def issue(self, version: int, body: bytes, n_instances: int) -> str:
        """The key under which `feedback.join` finds the instances of `body` from now on."""
        key = self._keys.issue()
        self._recorder.record(key, version, body)
        self._counts.predicted(version, n_instances)
        return key
