"""An MLflow without a server: one SQLite file and a folder, that several processes open at any moment."""

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

DATABASE, ARTIFACTS, LOCK = "mlflow.db", "artifacts", "mlflow.lock"


class Embedded(NamedTuple):
    """The addresses by which MLflow opens the database and the artifacts."""

    address: str
    artifact_root: str


def prepare(directory: Path) -> Embedded:
    """Makes the database in `directory` if it is not there and readies it; MLflow finds it whole or not at all.

    Raises:
        sqlite3.Error: the file is damaged or no database.
        OSError: the directory cannot be written.
    """
    directory = directory.resolve()
    database, artifacts = directory / DATABASE, directory / ARTIFACTS
    artifacts.mkdir(parents=True, exist_ok=True)
    # MLflow itself does not survive two processes that make its tables at once, nor a kill while it makes them.
    with _alone(directory / LOCK):
        if not database.exists():
            _create(database, artifacts.as_uri())
        with closing(sqlite3.connect(database, timeout=20)) as connection:
            # With a write-ahead log a reader never holds up the writer, nor the writer a reader.
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                _follow_move(connection, artifacts.as_uri())
    return Embedded(_address(database), artifacts.as_uri())


def _create(database: Path, artifact_root: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    unfinished = database.with_suffix(".new")
    for remains in database.parent.glob(f"{unfinished.name}*"):
        remains.unlink()
    open_store: Callable[[str, str], Any] = SqlAlchemyStore  # it has no types of its own
    open_store(_address(unfinished), artifact_root).engine.dispose()
    unfinished.replace(database)


def _address(database: Path) -> str:
    return "sqlite:///" + str(database).replace("%", "%25").replace("?", "%3F")


def _follow_move(connection: sqlite3.Connection, artifact_root: str) -> None:
    """MLflow stores absolute paths: a state directory that was moved or restored elsewhere would lose its artifacts."""
    ours = "SELECT experiment_id, artifact_location FROM experiments WHERE name LIKE 'lifelong/%'"
    for experiment, location in connection.execute(ours).fetchall():
        if location != artifact_root:
            connection.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ?",
                (artifact_root, len(location) + 1, experiment),
            )
            change = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
            connection.execute(change, (artifact_root, experiment))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits until no other process is in here; the system frees the lock of a process that dies."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
