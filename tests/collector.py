"""What spans are sent to: a server that reads OTLP over HTTP as any collector does."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

PATIENCE_SECONDS = 60.0
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def place_of(traceparent: str) -> str:
    """What a `traceparent` names, without its version and its flags, which OTLP leaves out."""
    return traceparent[3:-3]


class Received(NamedTuple):
    """One span, and what its sender said of itself."""

    span: Span
    sender: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return self.span.name

    @property
    def facts(self) -> dict[str, Any]:
        """Its attributes."""
        return _facts(self.span.attributes)

    @property
    def place(self) -> str:
        """Its trace and its own id."""
        return f"{self.span.trace_id.hex()}-{self.span.span_id.hex()}"

    @property
    def links(self) -> list[str]:
        """The places that it links to, in order."""
        return [f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in self.span.links]

    @property
    def is_failed(self) -> bool:
        """Whether it is marked as an error."""
        return self.span.status.code == Status.STATUS_CODE_ERROR

    def is_child_of(self, place: str) -> bool:
        """Whether that is its parent, in one trace."""
        return f"{self.span.trace_id.hex()}-{self.span.parent_span_id.hex()}" == place


class Collector:
    """The spans that came so far; while it `refuses`, none come."""

    def __init__(self, port: int) -> None:
        self.refuses = False
        self.received: list[Received] = []
        self.variables = {ENDPOINT: f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keeps the spans of one request."""
        for sent in request.resource_spans:
            sender = _facts(sent.resource.attributes)
            self.received += [Received(span, sender) for scope in sent.scope_spans for span in scope.spans]

    def wait(self, name: str, is_it: Callable[[Received], bool] = lambda _: True) -> Received:
        """The first span of that name for which it holds, which is awaited."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            for one in list(self.received):
                if one.name == name and is_it(one):
                    return one
            time.sleep(0.02)
        raise AssertionError([(one.name, one.facts, one.links) for one in self.received])


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            content = gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body
            assert self.path == "/v1/traces"
            if not collector.refuses:
                collector.take(ExportTraceServiceRequest.FromString(content))
            self.send_response(400 if collector.refuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _facts(attributes: Sequence[Any]) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))
