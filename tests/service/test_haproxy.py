"""What HAProxy itself answers, and which requests it repeats when a replica takes them along."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from service import environment, haproxy

pytestmark = pytest.mark.unit
PATIENCE_SECONDS = 60.0
POLL_SECONDS = APART_SECONDS = 0.02
CONFIG = f"""global
    tune.bufsize {haproxy.BUFFER_BYTES}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option redispatch 1
    retry-on conn-failure empty-response
    errorfile 502 {{directory}}/lost.http
    errorfile 503 {{directory}}/lost.http
frontend http_frontend
    bind fd@{{listener}}
    default_backend replicas
backend default_backend
    http-request return status 404 content-type text/plain string "absent"
backend replicas
    http-reuse always
    server one 127.0.0.1:{{replica}}
frontend prometheus
    bind 127.0.0.1:0
listen stats
    bind 127.0.0.1:0
"""
LOST = {0, 503}
"""Of a request that is not repeated: closed without an answer on a connection that HAProxy used before, or said."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Replica:
    """Answers every request but the second, which it takes along, on whichever connection it comes; keeps all heads."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heads: list[bytes] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Ends it, once HAProxy's connections are closed."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, suppress(ConnectionError):
            while True:
                head = b"".join(iter(lines.readline, b"\r\n")) if lines.peek() else b""
                if not head:
                    return
                self.heads.append(head)
                lines.read(length_of(head))
                if len(self.heads) == 2:
                    return
                connection.sendall(OK)


class Front(NamedTuple):
    """A running HAProxy and the replica behind it."""

    port: int
    replica: Replica

    def ask(self, *parts: bytes) -> "Answer":
        """The answer to a request that is sent in parts."""
        with self.connected() as connection:
            return asked(connection, *parts)

    def connected(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    head: bytes
    body: bytes

    @property
    def problem(self) -> tuple[int, Any]:
        """Its status and code, when it is a problem document."""
        assert b"content-type: application/problem+json" in self.head
        document = msgspec.json.decode(self.body)
        assert document["status"] == self.status
        return self.status, document["error"]


def asked(connection: socket.socket, *parts: bytes) -> Answer:
    """The answer on a connection that stays open; with status 0 when it is closed without one."""
    for part in parts[:-1]:
        connection.sendall(part)
        time.sleep(APART_SECONDS)
    connection.sendall(parts[-1])
    with connection.makefile("rb") as lines:
        head = b"".join(iter(lines.readline, b"\r\n")) if lines.peek() else b""
        return Answer(int(head.split()[1]) if head else 0, head, lines.read(length_of(head)))


def length_of(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)


@contextmanager
def running(directory: Path) -> Iterator[Front]:
    environment.environment(directory)  # writes what HAProxy answers
    with closing(Replica()) as replica, socket.create_server(("127.0.0.1", 0)) as listener:
        given = CONFIG.format(directory=directory, listener=listener.fileno(), replica=replica.port)
        config = directory / "haproxy.cfg"
        config.write_text(haproxy.adapted(given, directory))
        process = subprocess.Popen([environment._bundled_haproxy(), "-f", config], pass_fds=[listener.fileno()])
        try:
            yield Front(listener.getsockname()[1], replica)
        finally:
            process.kill()
            process.wait()


def post(path: str) -> tuple[bytes, bytes]:
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n".encode(), b"{}"


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"OPTIONS * HTTP/1.1", (404, "unknown_route")),
        (b"GET /-/%72outes HTTP/1.1", (404, "unknown_route")),
        (b"BREW / HTTP/1.1", (405, "method_not_allowed")),
        (b"CONNECT localhost:80 HTTP/1.1", (405, "method_not_allowed")),
    ],
)
def test_what_haproxy_refuses_is_a_problem_document(tmp_path: Path, head: bytes, problem: tuple[int, str]) -> None:
    with running(tmp_path) as front:
        assert front.ask(head + b"\r\nhost: localhost:80\r\n\r\n").problem == problem
    assert front.replica.heads == []


@pytest.mark.parametrize("request_bytes", [b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n"])
def test_what_is_not_http_is_refused_without_a_document(tmp_path: Path, request_bytes: bytes) -> None:
    with running(tmp_path) as front:
        assert front.ask(request_bytes).status == 400
    assert front.replica.heads == []


def test_a_head_and_a_body_that_never_end_are_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "HEAD_SECONDS", 1)
    monkeypatch.setattr(haproxy, "BODY_SECONDS", 1)
    head, _ = post("/v1/models/pets/predict")
    with running(tmp_path) as front:
        assert front.ask(head[:-2]).status == 408
        assert front.ask(head).problem == (408, "body_too_slow")
    assert front.replica.heads == []


def test_a_body_that_is_too_long_to_repeat_is_not_waited_for(tmp_path: Path) -> None:
    head, _ = post("/v1/models/pets/predict")
    with running(tmp_path) as front, front.connected() as connection:
        connection.sendall(head.replace(b"length: 2", b"length: 200000"))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not front.replica.heads:
            assert time.monotonic() < deadline, "the replica was not asked"
            time.sleep(POLL_SECONDS)


@pytest.mark.parametrize("path", ["/v1/models/pets/predict", "/v1/models/pets/explain", "/v2/models/pets/infer"])
def test_a_question_that_a_replica_took_along_is_asked_again(tmp_path: Path, path: str) -> None:
    with running(tmp_path) as front, front.connected() as connection:
        assert [asked(connection, *post(path)).status for _ in range(2)] == [200, 200]
    assert len(front.replica.heads) == 3


@pytest.mark.parametrize(("kibibytes", "statuses"), [(30, {200}), (31, LOST)])
def test_head_and_body_together_must_fit_the_buffer_to_be_asked_again(
    tmp_path: Path, kibibytes: int, statuses: set[int]
) -> None:
    head = b"POST /v1/models/digits/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    size = (kibibytes << 10) - len(head % 10_000)
    with running(tmp_path) as front, front.connected() as connection:
        assert asked(connection, head % size, b" " * size).status == 200
        assert asked(connection, head % size, b" " * size).status in statuses


@pytest.mark.parametrize(
    "path", ["/v1/models/pets/feedback", "/v1/models/pets/feedb%61ck", "/v1/models/pets/rollback", "/v2?/predict"]
)
def test_an_order_is_never_given_twice(tmp_path: Path, path: str) -> None:
    with running(tmp_path) as front:
        assert front.ask(b"".join(post(path))).status == 200
        assert front.ask(b"".join(post(path))).status in LOST
    assert len(front.replica.heads) == 2


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [(b"4bf92f35-77b3.4da6:a", True), (b"a\x1b[2J", False), (b"a b", False), (b"\xc3\xa9", False), (b"a" * 129, False)],
    ids=["an id", "an escape", "a space", "not ASCII", "long"],
)
def test_only_ids_are_taken_for_ids_of_requests(tmp_path: Path, value: bytes, is_kept: bool) -> None:
    with running(tmp_path) as front:
        assert front.ask(b"GET / HTTP/1.1\r\nhost: x\r\nx-request-id: " + value + b"\r\n\r\n").status == 200
    assert (b"x-request-id: " + value in front.replica.heads[0]) == is_kept
    assert (b"x-request-id" in front.replica.heads[0]) == is_kept
