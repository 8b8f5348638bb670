"""A real MLflow server for tests: SQLite behind it, artifacts through its proxy, one worker."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx

START_SECONDS = 180.0


class MlflowServer:
    """One server with a directory of its own; it can be stopped and started again on the same port.

    With a certificate, a file that holds the key too, it speaks TLS.
    """

    def __init__(self, directory: Path, certificate: Path | None = None) -> None:
        self._directory = directory
        self._certificate = certificate
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]

    @property
    def uri(self) -> str:
        """Address for clients."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        log = self._directory / "server.log"
        with log.open("ab") as output:
            # A session of its own, so that the server's workers end with it and nothing else does.
            self._process = subprocess.Popen(
                self._command(), env=_environment(), stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server and its workers at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        storage = [
            *("--backend-store-uri", f"sqlite:///{self._directory / 'server.db'}"),
            *("--artifacts-destination", (self._directory / "artifacts").as_uri()),
        ]
        network = ["--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        if self._certificate:
            network += ["--uvicorn-opts", f"--ssl-certfile={self._certificate}"]
        return [sys.executable, "-m", "mlflow", "server", *storage, *network]

    def _answers(self) -> bool:
        try:
            believed = ssl.create_default_context(cafile=self._certificate)
            return httpx.get(f"{self.uri}/health", timeout=5, verify=believed).is_success
        except httpx.TransportError:
            return False


def _environment() -> dict[str, str]:
    return os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
