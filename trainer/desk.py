"""Takes requests to forget a subject beside the trainer's own thread, which may be busy for long."""

from contextlib import closing
from pathlib import Path

import apsw

from contracts.erasures import Erasure
from trainer.database import UNWRITABLE, Database
from trainer.erasures import Erasures
from trainer.errors import StateUnwritable


class Desk:
    """Any thread may use it: every call has a connection of its own."""

    def __init__(self, state: Path, fingerprint: str) -> None:
        self._state = state
        self._fingerprint = fingerprint

    def ask(self, subject: str) -> Erasure:
        """Takes a request; it is on disk when this returns, and the trainer finds it there.

        Raises:
            StateUnwritable: `trainer_busy` or `state_unwritable`: nothing was taken.
        """
        try:
            with closing(Database(self._state, self._fingerprint)) as database, database.transaction():
                return Erasures(database).ask(subject)
        except apsw.BusyError:
            raise StateUnwritable("trainer_busy", "the trainer writes its database anew; try again") from None
        except UNWRITABLE as error:
            detail = f"the request cannot be kept now ({type(error).__name__})"
            raise StateUnwritable("state_unwritable", detail) from error

    def newest(self) -> list[Erasure]:
        """As `Erasures.newest`."""
        with closing(Database(self._state, self._fingerprint)) as database:
            return Erasures(database).newest()
