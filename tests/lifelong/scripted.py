"""A service that answers over real HTTP what a test has told it to, and remembers what it was asked."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import msgspec


class Asked(NamedTuple):
    """One request; the names of its headers are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Reply(NamedTuple):
    """One answer. A status of 0 closes the connection instead; `is_cut` closes it before the body is whole."""

    status: int
    body: bytes
    headers: dict[str, str]
    is_cut: bool = False


class Script:
    """What is answered, request after request; the last answer is given for ever."""

    def __init__(self) -> None:
        self.replies: list[Reply | Callable[[Asked], Reply]] = []
        self.requests: list[Asked] = []

    def say(self, status: int, document: Any = None, *, is_cut: bool = False, **headers: str) -> None:
        """The next answer: bytes as they are, anything else as JSON."""
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.append(Reply(status, body, named, is_cut))

    def hang_up(self) -> None:
        """The next request gets no answer."""
        self.say(0)

    def reply(self, asked: Asked) -> Reply:
        """The answer to a request."""
        self.requests.append(asked)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply if isinstance(reply, Reply) else reply(asked)


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            reply = script.reply(Asked(self.command, self.path, headers, body))
            self.close_connection = True
            if reply.status == 0:
                return
            length = str(len(reply.body) + reply.is_cut)
            self.send_response(reply.status)
            for name, value in {**reply.headers, "content-length": length}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_DELETE = do_POST  # noqa: N815  the names are http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
            """Nothing is logged."""

    return Handler


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The address at which the script is played."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(script)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
