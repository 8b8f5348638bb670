"""A server whose certificate comes from an authority of one's own: whoever names that reaches it, and nobody else."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import RegistryUnavailable
from registry.store import Registry
from tests.registry.server import MlflowServer
from tests.registry.versions import version

pytestmark = pytest.mark.real


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine that is its own authority, with its key."""
    key, own = tmp_path / "server.key", tmp_path / "server.crt"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(own)]
    named = ["-subj", "/CN=mlflow", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *named], check=True, capture_output=True)
    own.write_text(own.read_text() + key.read_text())
    return own


@pytest.fixture
def guarded(certificate: Path, tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path, certificate)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_the_variable_of_the_chart_names_the_authority(
    guarded: MlflowServer, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryUnavailable):
        Registry("digits", guarded.uri, tmp_path).register(version(1))
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    Registry("digits", guarded.uri, tmp_path).register(version(1))
    assert Registry("digits", guarded.uri, tmp_path).read(1) == version(1)
