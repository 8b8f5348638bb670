"""Copies of events outside the trainer's own database: in the feedback log's file and among remembered predictions."""

from collections.abc import Sequence, Set
from contextlib import suppress

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

    def erase(self, subject: str, instances: Set[bytes]) -> tuple[int, int]:
        """Deletes a subject's dead letters, and requests that hold one of its encoded instances; how many it were.

        Raises:
            FeedbackUnavailable: a file cannot be written now; the same call may be made again.
        """
        letters = self._log.erase(subject)
        return letters, self._predictions.erase(lambda body: self._holds(body, instances))

    def close(self) -> None:
        """Releases the log."""
        self._log.close()

    def _holds(self, body: bytes, instances: Set[bytes]) -> bool:
        with suppress(InvalidInstance):
            return any(row.tobytes() in instances for row in self._decode.batch(instances_of(body)))
        return False
