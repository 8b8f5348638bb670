"""The trainer's stores over its one database."""

from pathlib import Path
from typing import NamedTuple, Self

from trainer.checkpoint import Checkpoints
from trainer.database import Database
from trainer.examples import ExampleStore
from trainer.history import History
from trainer.record import Record


class Stores(NamedTuple):
    """Examples, record, checkpoints and history; changes to several of them share `database.transaction()`."""

    database: Database
    examples: ExampleStore
    record: Record
    checkpoints: Checkpoints
    history: History

    @classmethod
    def open(cls, directory: Path, fingerprint: str) -> Self:
        """Opens or creates the stores in the trainer's state directory.

        Raises:
            ForeignState: when the directory was written for something else.
        """
        database = Database(directory / "state.db", fingerprint)
        checkpoints = Checkpoints(database, directory / "checkpoints")
        return cls(database, ExampleStore(database), Record(database), checkpoints, History(database))
