"""A server that is down, hangs or is none is unavailable; once it is back all goes on."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import RegistryUnavailable
from registry.store import Registry
from tests.registry.server import MlflowServer
from tests.registry.versions import version

pytestmark = pytest.mark.real

CALLS: list[Callable[[Registry], object]] = [
    lambda registry: registry.register(version(2)),
    lambda registry: registry.point(1, None, None, 2),
    lambda registry: registry.champion(),
    lambda registry: registry.read(1),
    lambda registry: registry.versions(),
    lambda registry: registry.prune({1}),
]


def test_a_server_that_was_down_is_used_again(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    registry = Registry("outage", mlflow_server.uri, tmp_path)
    registry.register(version(1))
    registry.point(1, None, None, 1)
    mlflow_server.stop()
    try:
        for call in CALLS:
            with pytest.raises(RegistryUnavailable):
                call(registry)
        opened_meanwhile = Registry("outage", mlflow_server.uri, tmp_path)
    finally:
        mlflow_server.start()
    for call in CALLS:
        call(registry)
    assert opened_meanwhile.champion() == (1, 2)
    assert opened_meanwhile.versions() == [1]
    assert opened_meanwhile.read(1) == version(1)


def test_a_server_that_never_answers_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        registry = Registry("digits", f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
        with pytest.raises(RegistryUnavailable):
            registry.champion()


def test_the_address_and_its_password_are_not_in_the_error(tmp_path: Path) -> None:
    registry = Registry("digits", "http://user:secret@127.0.0.1:9", tmp_path)
    with pytest.raises(RegistryUnavailable) as refusal:
        registry.champion()
    assert "secret" not in refusal.value.detail
    assert "127.0.0.1" not in refusal.value.detail
