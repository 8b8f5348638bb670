"""From a caller's span to the round that learned from it and the version that came of it, at a real collector."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import spans
from contracts.inputs import TensorInput
from feedback.errors import FeedbackUnavailable
from feedback.sqlite import SqliteLog
from tests.collector import Collector, collecting, place_of
from tests.service.inprocess import JSON, InProcessService, Reply
from tests.trainer.pipeline import Bench, digit_events, split
from trainer.policies import PromotionSettings, TaskSettings

pytestmark = pytest.mark.unit
FEEDBACK, ROUTE = "/v1/models/pets/feedback", "POST /v1/models/{model}/feedback"
TASKS = {"low": [0, 1], "high": [2, 3]}
EVENTS = split(digit_events([0, 1], "low", limit=20), "train")


def traceparent(number: int, flags: str = "01") -> str:
    """A caller's span."""
    return f"00-{number:032x}-{number:016x}-{flags}"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that this process sends its spans to."""
    with collecting() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        spans.tracer.cache_clear()
        yield running
        spans.tracer().span_processor.shutdown()
        spans.tracer.cache_clear()


@pytest.fixture
def service(collector: Collector, tmp_path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path, input=TensorInput(shape=(64,))) as running:
        yield running


def send(service: InProcessService, events: list[dict[str, Any]], sent: str | None) -> Reply:
    """A feedback request that comes with a caller's span."""
    headers = JSON if sent is None else (*JSON, (b"traceparent", sent.encode()))
    return service.post(FEEDBACK, {"events": events}, headers)


def learned(directory: Path, **changes: Any) -> Bench:
    """A trainer beside the service's log, once it has learned all that is there."""
    bench = Bench(directory, **changes)
    bench.drain()
    bench.trainer.end()
    return bench


@pytest.mark.usefixtures("collector")
def test_nothing_is_made_without_an_endpoint_or_by_a_variable_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variables in (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SPAN_LINK_COUNT_LIMIT": "many"},
    ):
        with monkeypatch.context() as changed:
            for name, value in variables.items():
                changed.setenv(name, value)
            spans.tracer.cache_clear()
            assert not spans.Spans("pets").are_made
            with spans.Spans("pets").span("round", traceparent(1)) as span:
                span.note({"lifelong.round": 1})
                span.fail("nobody")
                assert span.traceparent == traceparent(1)
    spans.tracer.cache_clear()


def test_a_request_a_round_and_a_decision_are_told_and_lead_to_each_other(
    service: InProcessService, collector: Collector, tmp_path: Path
) -> None:
    caller = traceparent(1)
    assert send(service, [*EVENTS, EVENTS[0], {}], caller).status == 202
    request = collector.wait(ROUTE)
    assert request.is_child_of(place_of(caller))
    assert request.sender["service.name"] == "lifelong"
    assert request.facts == {
        "lifelong.model": "pets",
        "http.request.method": "POST",
        "http.route": "/v1/models/{model}/feedback",
        "http.response.status_code": 202,
        "lifelong.accepted": len(EVENTS),
        "lifelong.duplicates": 1,
        "lifelong.rejected": 1,
    }
    assert not request.is_failed

    bench = learned(tmp_path)
    round_ = collector.wait("round")
    assert round_.links == [request.place]
    assert not round_.span.parent_span_id
    facts = {"lifelong.model": "digits", "lifelong.events": len(EVENTS), "lifelong.tasks": ["low"]}
    assert round_.facts == facts | {"lifelong.round": 1}
    decision = collector.wait("decision")
    assert decision.is_child_of(round_.place)
    assert decision.links == [request.place]
    verdict = {"lifelong.verdict": "promote", "lifelong.version": bench.status.version}
    assert decision.facts == facts | verdict | {"lifelong.reasons": decision.facts["lifelong.reasons"]}
    assert decision.facts["lifelong.reasons"]
    assert decision.span.start_time_unix_nano >= round_.span.start_time_unix_nano
    assert decision.span.end_time_unix_nano >= decision.span.start_time_unix_nano


def test_events_link_to_their_own_contexts_where_they_have_some_and_to_what_was_recorded_alone(
    service: InProcessService, collector: Collector, tmp_path: Path
) -> None:
    own, unrecorded = traceparent(7), traceparent(8, "00")
    first, second, third, *_ = EVENTS
    send(service, [first | {"traceparent": own}, second], None)
    send(service, [third], unrecorded)
    root = collector.wait(ROUTE)
    assert not root.span.parent_span_id
    learned(tmp_path)
    assert collector.wait("round").links == [place_of(own), root.place]
    assert [one.name for one in collector.received].count(ROUTE) == 1


def test_a_round_names_128_contexts_and_counts_those_left_out(
    service: InProcessService, collector: Collector, tmp_path: Path
) -> None:
    rows = split(digit_events([0, 1, 2], "low", limit=60), "train")[:140]
    named = [event | {"traceparent": traceparent(number)} for number, event in enumerate(rows, 1)]
    send(service, named, None)
    learned(tmp_path)
    round_ = collector.wait("round")
    assert round_.facts["lifelong.events"] == 140
    assert (len(round_.links), round_.span.dropped_links_count) == (128, 12)


def test_a_curriculum_that_puts_events_in_another_order_keeps_their_contexts(
    service: InProcessService, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.ingest.ROUND_EVENTS", 10)
    tasks = {task: split(digit_events(digits, task, limit=20), "train") for task, digits in TASKS.items()}
    for number, events in enumerate(tasks.values(), 1):
        send(service, [event | {"traceparent": traceparent(number)} for event in events], None)
    learned(tmp_path, tasks=TaskSettings(curriculum="easy_first", close_after_events=0, close_after_idle_seconds=0))
    collector.wait("decision")
    rounds = [one for one in collector.received if one.name == "round"]
    expected = {task: place_of(traceparent(number)) for number, task in enumerate(tasks, 1)}
    assert [one.links for one in rounds] == [[expected[task] for task in one.facts["lifelong.tasks"]] for one in rounds]
    assert {task for one in rounds for task in one.facts["lifelong.tasks"]} == tasks.keys()


def test_a_version_that_is_not_promoted_says_so_and_why(
    service: InProcessService, collector: Collector, tmp_path: Path
) -> None:
    send(service, EVENTS, traceparent(1))
    learned(tmp_path, promotion=PromotionSettings(mode="manual", min_interval_seconds=0))
    decision = collector.wait("decision")
    assert decision.facts["lifelong.verdict"] == "hold"
    assert "not_auto" in decision.facts["lifelong.reasons"]
    assert decision.facts["lifelong.version"] == 2


def test_a_refused_request_is_no_failure_and_an_unwritten_one_is(
    service: InProcessService, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.post(FEEDBACK, b"{").status == 400
    refused = collector.wait(ROUTE)
    assert (refused.facts["http.response.status_code"], refused.is_failed) == (400, False)

    def full(*_: object) -> None:
        raise FeedbackUnavailable("log_unavailable", "feedback.db cannot be used now (FullError)")

    monkeypatch.setattr(SqliteLog, "append", full)
    assert send(service, EVENTS, None).status == 503
    unwritten = collector.wait(ROUTE, lambda one: one.facts["http.response.status_code"] == 503)
    assert unwritten.is_failed
    assert unwritten.facts["error.type"] == "log_unavailable"


def test_a_replica_that_stops_sends_what_still_waits(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    spans.tracer.cache_clear()
    with InProcessService(tmp_path, input=TensorInput(shape=(64,))) as service:
        send(service, EVENTS, None)
        assert not collector.received
    collector.wait(ROUTE)
