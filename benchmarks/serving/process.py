"""Servers as processes: started, stopped for a while, ended."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from benchmarks.serving.catalogue import Server
from benchmarks.serving.programs import BATCH_VARIABLE, WEIGHTS_VARIABLE
from benchmarks.serving.wire import Request
from service.environment import free_port

START_SECONDS = 240.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.2


class Running:
    """A server that answers, with all processes that it started."""

    def __init__(self, server: Server, process: psutil.Process, port: int) -> None:
        self.server = server
        self.port = port
        self._root = process

    def pause(self) -> None:
        """Stops all its processes, so that those that poll take no time from the server being measured."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Lets them go on."""
        for process in reversed(self.processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def processes(self) -> list[psutil.Process]:
        """The first process and all below it."""
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """The server, once it has answered; ended afterwards with whatever it started."""
    port = free_port()
    command = server.command()
    with tempfile.TemporaryDirectory(prefix="ll-", ignore_cleanup_errors=True) as directory:
        place = Path(directory)
        with (place / "log").open("w+") as log:
            given = _environment(server, Path(command[0]), place)
            process = subprocess.Popen([*command, str(port), directory], env=given, stdout=log, stderr=log)
            found = Running(server, psutil.Process(process.pid), port)
            try:
                if not _is_answering(process, port, server.request):
                    log.seek(0)
                    raise SystemExit(f"{server.name} did not answer:\n{log.read()[-4000:]}")
                yield found
            finally:
                _end(process, found)


def _environment(server: Server, python: Path, directory: Path) -> dict[str, str]:
    """Our variables, those of the peers' programs, and the peer's own commands before all others."""
    if not server.package:
        return dict(os.environ)
    from benchmarks.serving.version import save_weights

    return {
        **os.environ,
        WEIGHTS_VARIABLE: str(save_weights(directory / "weights.pt")),
        **({BATCH_VARIABLE: "1"} if server.is_batched else {}),
        "BENTOML_DO_NOT_TRACK": "True",
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def _end(process: subprocess.Popen[bytes], found: Running) -> None:
    found.resume()
    processes = found.processes()
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for left in processes:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait()


def _is_answering(process: subprocess.Popen[bytes], port: int, request: Request) -> bool:
    """Waits until a prediction is answered; false when the process ended or is too slow."""
    deadline = time.monotonic() + START_SECONDS
    url = f"http://127.0.0.1:{port}{request.path}"
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):
                answer = client.post(url, content=request.body, headers=dict(request.headers))
                if answer.status_code == httpx.codes.OK:
                    return True
            time.sleep(POLL_SECONDS)
    return False
