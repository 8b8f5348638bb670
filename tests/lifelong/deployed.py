"""A Ray cluster of two nodes as Kubernetes would start them, each by its own command, and what KubeRay asks of it."""

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from service.environment import free_port

PATIENCE_SECONDS = 240.0
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"
HERE = "127.0.0.1"
ROOM = {"replica": 1}


class Deployed:
    """The head with room for one replica, and the node that joins it; `close` ends every process of them."""

    def __init__(self, directory: Path) -> None:
        self.port, self._gcs, self._dashboard = free_port(), free_port(), free_port()
        self._directory = directory
        self._started: list[subprocess.Popen[bytes]] = []
        self._token = secrets.token_hex(32)
        own = {"RAY_AUTH_MODE": "token", TOKEN_VARIABLE: self._token, "RAY_USAGE_STATS_ENABLED": "0"}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        root = str(Path(__file__).parents[2])
        self._variables = os.environ | {"PATH": programs, "PYTHONPATH": root} | own
        self._http = httpx.Client(
            base_url=f"http://{HERE}:{self._dashboard}/api",
            headers={"authorization": f"Bearer {self._token}"},
            trust_env=False,
            timeout=60.0,
        )

    def start_head(self) -> None:
        """Returns once the dashboard answers."""
        ports = f"--port={self._gcs} --dashboard-port={self._dashboard} --ray-client-server-port={free_port()}"
        place = f"--temp-dir={self._directory}/ray --dashboard-host={HERE}"
        room = f"--num-cpus=0 --resources='{json.dumps(ROOM)}'"
        head = self._start("head", f"exec ray start --head --block {room} {ports} {place} {self._node()}")
        self.until(self._answers, head)

    def join(self, then: str) -> None:
        """A node with no room for a replica but for one peer of a trainer, and a command of its own.

        Ray gives up a node whose parts do not start within seconds, as on a busy machine: Kubernetes would try again.
        """
        cluster = f"{HERE}:{self._gcs}"
        start = f"ray start --address={cluster} --num-cpus=1 {self._node()}"
        self._start("joined", f"until {start}; do sleep 1; done; exec {then} --cluster {cluster}")

    def deploy(self, **arguments: Any) -> Any:
        """Hands over a Serve configuration as KubeRay does; returns what became of the application."""
        replica = {"name": "replica", "num_replicas": 1, "ray_actor_options": {"num_cpus": 0, "resources": ROOM}}
        application = {"name": "lifelong", "route_prefix": "/", "import_path": "lifelong.application:build"}
        document = {
            "http_options": {"host": HERE, "port": self.port},
            "applications": [application | {"args": arguments, "deployments": [replica]}],
        }
        self._http.put("/serve/applications/", json=document).raise_for_status()
        return self.until(self._settled)

    def until(self, look: Any, process: "subprocess.Popen[bytes] | None" = None) -> Any:
        """What `look` returns as soon as it is something; fails with the logs when a process or the time is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline, self.logs()
            assert process is None or process.poll() is None, self.logs()
            time.sleep(0.2)
        return found

    def close(self) -> None:
        """Ends everything that has this cluster's token."""
        self._http.close()
        for process in psutil.process_iter():
            if _environment(process).get(TOKEN_VARIABLE) == self._token:
                process.kill()
        for started in self._started:
            started.wait()

    def logs(self) -> str:
        """What both nodes have printed."""
        return "".join(path.read_text() for path in sorted(self._directory.glob("*.log")))

    def _node(self) -> str:
        agent = f"--dashboard-agent-listen-port={free_port()} --node-ip-address={HERE}"
        return f"{agent} --min-worker-port=0 --max-worker-port=0 --object-store-memory=80000000 --disable-usage-stats"

    def _start(self, name: str, script: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "lifelong", "node", "--", "bash", "-c", script]
        with (self._directory / f"{name}.log").open("wb") as log:
            options: dict[str, Any] = {"env": self._variables, "cwd": self._directory, "start_new_session": True}
            self._started.append(subprocess.Popen(command, stdout=log, stderr=log, **options))
        return self._started[-1]

    def _answers(self) -> bool:
        try:
            return self._http.get("/version").status_code == 200
        except httpx.TransportError:
            return False

    def _settled(self) -> Any:
        application = self._http.get("/serve/applications/").json()["applications"].get("lifelong", {})
        return application if application.get("status") in {"RUNNING", "DEPLOY_FAILED"} else None


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
