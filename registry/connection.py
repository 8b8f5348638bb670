"""The way to MLflow: an embedded one on SQLite or a server; quiet, without telemetry, and quick to give up."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from registry import embedded
from registry.errors import RegistryUnavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# MLflow's own defaults make 7 retries of up to 120 s: a server that is down would hold its caller for minutes.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
    # Every failure reaches the caller as RegistryUnavailable, so MLflow's own traceback says nothing new.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
PRIVACY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}


class Connection(NamedTuple):
    """A client with the address it speaks to, and the artifact root of an embedded MLflow; a server has its own."""

    client: "MlflowClient"
    address: str
    artifact_root: str | None


@contextmanager
def reaching_mlflow() -> Iterator[None]:
    """Turns every way in which MLflow, its database or the network can fail into one error.

    Raises:
        RegistryUnavailable: `registry_unavailable`, with one word for the reason.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        # MLflow calls an unreachable server an internal error; what it met on the way says more.
        code = getattr(error, "error_code", "INTERNAL_ERROR")
        reason = type(error.__context__ or error).__name__ if code == "INTERNAL_ERROR" else code
        raise RegistryUnavailable("registry_unavailable", f"the registry did not do as asked: {reason}") from error


def connect(uri: str | None, directory: Path) -> Connection:
    """A client of the server at `uri`, or with None of the embedded MLflow, made in `directory` if it is not there.

    A server is not contacted yet.

    Raises:
        RegistryUnavailable: `registry_unavailable`, when the embedded database cannot be opened.
    """
    _restrain()
    from mlflow.tracking import MlflowClient

    if uri is not None:
        return Connection(MlflowClient(tracking_uri=uri, registry_uri=uri), uri, None)
    with reaching_mlflow():
        address, artifact_root = embedded.prepare(directory)
        return Connection(MlflowClient(tracking_uri=address, registry_uri=address), address, artifact_root)


def _restrain() -> None:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    os.environ.update(PRIVACY)
