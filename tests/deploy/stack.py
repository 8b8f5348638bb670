"""All that compose.yaml starts with the profiles kafka, mlflow and monitoring, on this machine without containers."""

import contextlib
import secrets
import subprocess
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import httpx
import pytest

from lifelong.client import Client
from service.environment import free_port
from tests.broker import Broker, free_ports
from tests.deploy.composed import DEPLOY, composed, example, services
from tests.deploy.containers import PROGRAMS, Container, Machine, substituted, words
from tests.deploy.prometheus import Prometheus
from tests.deploy.stores import Database
from tests.driver import short_directory

PROFILES = ("kafka", "mlflow", "monitoring")
SECRETS = ("RAY_AUTH_TOKEN", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD")
NOT_HERE = {"grafana", "mlflow-artifacts"}
"""Debian has no Grafana, and a folder of ours needs no change of owner."""
START_SECONDS = 400.0
MODEL = "digits"
HERE = "127.0.0.1"


class Stack:
    """The services of the file in the order in which they wait for each other."""

    def __init__(self, directory: Path, database: Path) -> None:
        self.directory = directory
        self._open = contextlib.ExitStack()
        self.machine = Machine()
        names = ["gcs", "mlflow", "postgres", "prometheus", "machine"]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True)) | {"service": free_port()}
        self._agents = {"service": free_port(), "trainer": free_port()}
        variables = example(uncommented=True) | {name: secrets.token_hex(32) for name in SECRETS}
        variables["COMPOSE_PROFILES"], variables["CPU_TRAINERS"] = ",".join(PROFILES), ""
        self.services = services(composed(variables), PROFILES)
        self._broker = Broker(directory, self._kafka_properties())
        environment = self.services["postgres"]["environment"]
        self._database = Database(database, self._ports["postgres"], environment)
        self.prometheus = Prometheus(f"http://{HERE}:{self._ports['prometheus']}")
        self.registry_uri = f"http://{HERE}:{self._ports['mlflow']}"
        self.address = f"http://{HERE}:{self._ports['service']}"
        self.token = ""

    @property
    def kafka_from_outside(self) -> str:
        """Where programs of this machine reach the broker."""
        return f"localhost:{self._ports['machine']}"

    def start(self) -> None:
        """Starts everything; each part waits until those that it depends on are healthy."""
        self._configure()
        starts: dict[str, Callable[[], None]] = {
            "kafka": self._broker.start,
            "postgres": self._start_postgres,
            "mlflow": self._start_mlflow,
            "service": lambda: self._start_ours("service", self.is_live),
            "trainer": lambda: self._start_ours("trainer", self.is_trained),
            "prometheus": self._start_prometheus,
        }
        assert set(starts) == set(self.services) - NOT_HERE
        waits = {name: service.get("depends_on", {}) for name, service in self.services.items()}
        for name in TopologicalSorter(waits).static_order():
            if name not in NOT_HERE:
                starts[name]()

    def container(self, name: str) -> Container:
        """The running container of a service."""
        (found,) = [container for container in self.machine.containers if container.name == name]
        return found

    def client(self) -> Client:
        """A client with the operator's token."""
        return Client(self.address, MODEL, token=self.token)

    def is_live(self) -> bool:
        """What the image's health check asks."""
        return self._answers(f"{self.address}/v2/health/live")

    def is_ready(self) -> bool:
        """Whether it knows what to serve."""
        return self._answers(f"{self.address}/v2/health/ready")

    def is_trained(self) -> bool:
        """Whether the service hears from a trainer."""
        with self.client() as client:
            return client.status().trainer == "running"

    def passes_its_check(self, name: str) -> bool:
        """What the file's health check of a container that has one says."""
        own = {"127.0.0.1:52365": f"{HERE}:{self._agents[name]}"}
        _, *check = substituted(self.services[name]["healthcheck"]["test"], own)
        return subprocess.run(check, env={"PATH": PROGRAMS}, capture_output=True, check=False).returncode == 0

    def close(self) -> None:
        """Ends everything."""
        self.machine.close()
        self.prometheus.close()
        self._broker.kill()
        self._open.close()

    def _configure(self) -> None:
        """The mounted files with this machine's addresses, and the tokens that docs/compose.md makes."""
        (self.directory / "lifelong").mkdir()  # as the image has it
        text = (DEPLOY / "compose" / "model" / "model.yaml").read_text()
        (self.directory / "model.yaml").write_text(substituted(text, self._folders()))
        (self.directory / "rules.yml").write_text((DEPLOY / "prometheus" / "rules.yml").read_text())
        text = (DEPLOY / "compose" / "prometheus.yml").read_text()
        own = {"10s": "1s", "service:8000": f"{HERE}:{self._ports['service']}"}
        (self.directory / "prometheus.yml").write_text(substituted(text, self._folders() | own))
        self.token = self._new_token("operator", "admin")
        (self.directory / "metrics-token").write_text(self._new_token("prometheus", "predict"))

    def _new_token(self, name: str, role: str) -> str:
        environment = self._environment("service") | {"PATH": PROGRAMS}
        command = ["lifelong", "token", "add", "model.yaml", name, "--role", role]
        made = subprocess.run(command, env=environment, cwd=self.directory, capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def _start_ours(self, name: str, is_healthy: Callable[[], bool]) -> None:
        """A container with a Ray node and a program on it; its own /tmp is another folder for Ray."""
        ports = f"--min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port={self._agents[name]}"
        own = {
            "ray start": f"ray start {ports} --ray-client-server-port={free_port()}",
            "--port=6379": f"--port={self._ports['gcs']}",
            "--port 8000": f"--port {self._ports['service']}",
        }
        command = substituted(words(self.services[name]), self._addresses() | own)
        environment = self._environment(name) | {"RAY_TMPDIR": str(self._open.enter_context(short_directory()))}
        self._run(Container(name, command, environment, self.directory), is_healthy)

    def _start_postgres(self) -> None:
        self._database.prepare()
        self._run(
            Container("postgres", self._database.command, {}, self._database.directory), self._database.is_healthy
        )

    def _start_mlflow(self) -> None:
        port = self._ports["mlflow"]
        own = {"0.0.0.0": HERE, "--port=5000": f"--port={port}", f"{HERE}:5000": f"{HERE}:{port}"} | self._folders()
        own["postgres:5432"] = f"{HERE}:{self._ports['postgres']}"
        command = substituted(words(self.services["mlflow"]), own)
        environment = substituted(self.services["mlflow"]["environment"], own)
        container = Container("mlflow", command, environment, self.directory)
        self._run(container, lambda: self._answers(f"{self.registry_uri}/health"))

    def _start_prometheus(self) -> None:
        own = {"0.0.0.0:9090": f"{HERE}:{self._ports['prometheus']}"} | self._folders()
        command = ["prometheus", *substituted(self.services["prometheus"]["command"], own)]
        container = Container("prometheus", command, {}, self.directory)
        self._run(container, lambda: self._answers(f"{self.prometheus.address}/-/ready"))

    def _run(self, container: Container, is_healthy: Callable[[], bool]) -> None:
        self.machine.run(container, is_healthy, START_SECONDS)

    def _environment(self, name: str) -> dict[str, str]:
        filled: dict[str, str] = substituted(self.services[name]["environment"], self._addresses())
        return filled

    def _addresses(self) -> dict[str, str]:
        return self._folders() | {
            "service:6379": f"{HERE}:{self._ports['gcs']}",
            "kafka:9092": self._broker.bootstrap_servers,
            "mlflow:5000": f"{HERE}:{self._ports['mlflow']}",
        }

    def _folders(self) -> dict[str, str]:
        targets = ["/etc/lifelong", "/etc/prometheus", "/run/secrets", "/tmp"]
        kept = {f"/var/lib/{name}": str(self.directory / name) for name in ("lifelong", "mlflow")}
        return kept | {"=/prometheus": f"={self.directory}/prometheus"} | dict.fromkeys(targets, str(self.directory))

    def _kafka_properties(self) -> str:
        """The image's own rule: `KAFKA_A_B` is the property `a.b`."""
        own = {
            "0.0.0.0": HERE,
            ":19092": f":{self._ports['machine']}",
            "kafka:9092": f"{HERE}:{{port}}",
            ":9092": ":{port}",
            ":9093": ":{controller_port}",
            "/var/lib/kafka": "{directory}",
        }
        environment = substituted(self.services["kafka"]["environment"], own)
        named = {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in environment.items()}
        return "".join(f"{name}={value}\n" for name, value in named.items())

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(url, trust_env=False, timeout=5.0).is_success
        except httpx.TransportError:
            return False


@contextlib.contextmanager
def running(factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, started; ended afterwards."""
    with short_directory() as database:
        stack = Stack(factory.mktemp("compose"), database)
        try:
            stack.start()
            yield stack
        finally:
            stack.close()
