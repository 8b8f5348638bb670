"""Copies of events outside the trainer's own database: in the feedback log's file and among remembered predictions."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from functools import partial

import msgspec

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

    def erase(self, digests: Mapping[str, Set[bytes]]) -> tuple[Counter[str], Counter[str]]:
        """Deletes the dead letters of subjects, and requests that hold an instance with one of their digests.

        Returns how many letters, and how many requests, it were of each.

        Raises:
            FeedbackUnavailable: a file cannot be written now; the same call may be made again.
        """
        letters = self._log.erase(digests.keys())
        return letters, self._predictions.erase(partial(self._owners, digests))

    def close(self) -> None:
        """Releases the log's file, which with Kafka nobody else here has opened."""
        self._log.close()

    def _owners(self, digests: Mapping[str, Set[bytes]], body: bytes) -> set[str]:
        """The subjects that have an instance in a remembered request; what cannot be read is nobody's."""
        with suppress(InvalidInstance, msgspec.MsgspecError, ValueError):
            rows = {digest(row.tobytes()) for row in self._decode.batch(instances_of(body))}
            return {subject for subject, own in digests.items() if not own.isdisjoint(rows)}
        return set()


def digest(instance: bytes) -> bytes:
    """By which an encoded instance is found again without being kept."""
    return hashlib.blake2b(instance, digest_size=16).digest()
