"""Spans on their way to an OpenTelemetry collector; without one nothing of it is imported here and nothing is made.

OpenTelemetry's own variables say where the collector is and all else: there are no settings of ours.
"""

import functools
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from contracts.traces import is_sampled

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SERVICE = "lifelong"
LOGGER = logging.getLogger(__name__)
FLUSH_SECONDS = 2.0
Kind = Literal["INTERNAL", "SERVER"]
Facts = Mapping[str, str | int | list[str]]


class Span:
    """One span that is under way, or what stands for one that nobody makes."""

    def __init__(self, recorded: Any, parent: str | None) -> None:
        self._recorded = recorded
        self._parent = parent

    @property
    def traceparent(self) -> str | None:
        """What to hand on: this span, or what it would have been a child of."""
        if self._recorded is None:
            return self._parent
        own = self._recorded.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"

    def note(self, facts: Facts) -> None:
        """Adds attributes."""
        if self._recorded is not None:
            self._recorded.set_attributes(facts)

    def fail(self, error: str) -> None:
        """Marks it as failed, with a word that says why."""
        if self._recorded is not None:
            from opentelemetry.trace import StatusCode

            self._recorded.set_status(StatusCode.ERROR)
            self._recorded.set_attribute("error.type", error)


class Spans:
    """Makes the spans of one model in this process."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._tracer = tracer()

    @property
    def are_made(self) -> bool:
        """Whether there is a collector."""
        return self._tracer is not None

    @contextmanager
    def span(
        self, name: str, parent: str | None = None, links: Iterable[str] = (), kind: Kind = "INTERNAL", ago: float = 0.0
    ) -> Iterator[Span]:
        """A span that lasts as long as the block, and `ago` seconds before it.

        It is a child of `parent`, or the root of a new trace. It names each of `links` once that was recorded; beyond
        `OTEL_SPAN_LINK_COUNT_LIMIT`, 128, the first ones are left out and counted.
        """
        if self._tracer is None:
            yield Span(None, parent)
            return
        from opentelemetry import trace
        from opentelemetry.context import Context

        recorded = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(trace.NonRecordingSpan(_context(parent)), Context()),
            kind=trace.SpanKind[kind],
            attributes={"lifelong.model": self._model},
            links=[trace.Link(_context(link)) for link in dict.fromkeys(links) if is_sampled(link)],
            start_time=time.time_ns() - int(ago * 1e9),
        )
        span = Span(recorded, parent)
        try:
            yield span
        except Exception as error:
            span.fail(type(error).__name__)
            raise
        finally:
            recorded.end()


def flush() -> None:
    """Sends what waits, as far as two seconds suffice: for a process that is ended without a word."""
    made = tracer()
    if made is not None:
        sending = threading.Thread(target=made.span_processor.force_flush, daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


def _context(traceparent: str | None) -> Any:
    from opentelemetry import trace

    if traceparent is None:
        return trace.INVALID_SPAN_CONTEXT
    _, trace_id, span_id, flags = (int(part, 16) for part in traceparent.split("-"))
    return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))


def _is_wanted() -> bool:
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    has_endpoint = any(os.environ.get(name) for name in ENDPOINTS)
    return has_endpoint and not is_disabled and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none"


@functools.cache
def tracer() -> Any:
    """The tracer of this process, whose spans leave in batches from a thread of its own.

    None without an endpoint, or where OpenTelemetry refuses one of its variables: no request waits for a trace.
    """
    try:
        return _made() if _is_wanted() else None
    except ValueError:
        LOGGER.warning("no spans are made: one of the OTEL_ variables has a value that OpenTelemetry refuses")
        return None


def _made() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer(SERVICE)
