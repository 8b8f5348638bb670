"""Accepted feedback on its way to Kafka: forwarded from the hub's process, so that no replica waits for a broker."""

from pathlib import Path

import msgspec

from contracts.status import Ledger
from feedback.forwarder import Forwarder
from feedback.settings import KafkaSettings
from feedback.sqlite import SqliteLog


class Outbox:
    """Forwards one model's accepted events for as long as its process lives; a new one goes on where it stopped."""

    def __init__(self, path: Path, settings: KafkaSettings, model: str) -> None:
        self._log = SqliteLog(path)
        self._forwarder = Forwarder(self._log, settings, model)
        self._forwarder.start()

    def added_to(self, ledger: Ledger) -> Ledger:
        """The trainer's ledger with what only the outbox knows: events not forwarded yet, duplicates refused."""
        waiting, refused = self._forwarder.pending(), self._log.duplicates_refused()
        return msgspec.structs.replace(
            ledger,
            received=ledger.received + waiting + refused,
            pending=ledger.pending + waiting,
            duplicate=ledger.duplicate + refused,
        )
