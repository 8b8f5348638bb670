"""Copies of events outside the trainer's own database: in the feedback log's file and among remembered predictions."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from functools import partial

from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidInstance
from feedback.join import instances_of
from feedback.predictions import PredictionLog
from feedback.sqlite import PARTITION, SqliteLog


class Copies:
    """What must go with a subject's examples; `elsewhere` says in sentences what only others can delete."""

    def __init__(
        self, log: SqliteLog, predictions: PredictionLog, decode: InstanceDecoder, elsewhere: Sequence[str]
    ) -> None:
        self._log = log
        self._predictions = predictions
        self._decode = decode
        self.elsewhere = list(elsewhere)

    def position(self) -> int:
        """The position of the last accepted event."""
        return self._log.end()[PARTITION] - 1

    def is_clear(self, position: int) -> bool:
        """Whether the log keeps none of the events up to a position."""
        return self._log.is_clear(position)

    def erase(self, instances: Mapping[str, Set[bytes]]) -> tuple[Counter[str], Counter[str]]:
        """Deletes the dead letters of subjects, and requests that hold one of their encoded instances.

        Returns how many letters, and how many requests, it were of each.

        Raises:
            FeedbackUnavailable: a file cannot be written now; the same call may be made again.
        """
        letters = self._log.erase(instances.keys())
        return letters, self._predictions.erase(partial(self._owners, instances))

    def close(self) -> None:
        """Releases the log."""
        self._log.close()

    def _owners(self, instances: Mapping[str, Set[bytes]], body: bytes) -> set[str]:
        """The subjects that have an instance in a remembered request."""
        with suppress(InvalidInstance):
            rows = {row.tobytes() for row in self._decode.batch(instances_of(body))}
            return {subject for subject, own in instances.items() if not own.isdisjoint(rows)}
        return set()
