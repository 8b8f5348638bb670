"""Fixtures of the registry's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.server import MlflowServer


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A running server; whoever stops it starts it again."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the embedded MLflow of all tests that name a model of their own: to make its tables is slow."""
    return tmp_path_factory.mktemp("embedded")
