"""Streams are read line by line however they arrive, and go on, or end with a name, when they break."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifelong.client import AsyncClient, Client, Patience, RefusedLine, StreamedPrediction
from lifelong.client.lines import BUNCH_BYTES, BUNCH_LINES, MAX_RETRY_SECONDS, EventReader, Lines
from lifelong.errors import RequestRefused, ServiceUnreachable
from tests.lifelong.both_clients import KINDS, Awaited
from tests.lifelong.scripted import Asked, Reply, Script

pytestmark = pytest.mark.unit
NDJSON = {"content_type": "application/x-ndjson"}
EVENTS = {"content_type": "text/event-stream; charset=utf-8"}
REFUSED = {"error": "wrong_shape", "detail": "an instance must have the shape [2]"}


def answered(label: str) -> dict[str, Any]:
    return {"prediction_id": f"id-{label}", "label": label, "probability": 0.5, "version": 3}


def lines(*documents: Any) -> bytes:
    return b"".join(msgspec.json.encode(document) + b"\n" for document in documents)


def event(number: int, kind: str = "task") -> bytes:
    data = {"event": kind, "time": float(number), "data": {"number": number}}
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), msgspec.json.encode(data))


@pytest.fixture(params=list(KINDS))
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Client]:
    with KINDS[request.param](address, "digits") as client:
        yield client


def test_every_instance_gets_its_answer_or_why_it_has_none(client: Client, script: Script) -> None:
    labels = ["a", "\u2028line\x85ends\u2029", "b"]
    script.say(200, lines(answered(labels[0]), REFUSED, answered(labels[1]) | {"scores": {"b": 0.5}}), **NDJSON)
    one, two, three = client.predict_stream([[1, 2], [1], "\u2028\n"], task="t&o", scores=True)
    assert one == StreamedPrediction("id-a", "a", 0.5, 3)
    assert two == RefusedLine("wrong_shape", "an instance must have the shape [2]")
    assert three == StreamedPrediction(f"id-{labels[1]}", labels[1], 0.5, 3, {"b": 0.5})
    (asked,) = script.requests
    assert asked.path == "/v1/models/digits/predict?task=t%26o&scores=true"
    assert asked.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in asked.body.decode().rstrip("\n").split("\n")] == [[1, 2], [1], "\u2028\n"]


def _echo(asked: Asked) -> Reply:
    rows = asked.body.decode().splitlines()
    return Reply(200, lines(*(answered(str(len(row))) for row in rows)), {"content-type": "application/x-ndjson"})


@pytest.mark.parametrize("length", [1, BUNCH_BYTES // 10, BUNCH_BYTES + 1])
def test_a_long_stream_is_sent_in_requests_that_fit(client: Client, script: Script, length: int) -> None:
    script.replies.append(_echo)
    n_rows = 2 * BUNCH_LINES + 1 if length == 1 else 25
    found = list(client.predict_stream("x" * length for _ in range(n_rows)))
    assert [answer.label for answer in found if isinstance(answer, StreamedPrediction)] == [str(length + 2)] * n_rows
    counts = [asked.body.count(b"\n") for asked in script.requests]
    assert max(counts) <= BUNCH_LINES
    assert all(len(asked.body) <= BUNCH_BYTES or asked.body.count(b"\n") == 1 for asked in script.requests)
    assert len(script.requests) == {1: 3, BUNCH_BYTES // 10: 3, BUNCH_BYTES + 1: 25}[length]


def test_instances_are_read_as_they_are_needed(client: Client, script: Script) -> None:
    script.replies.append(_echo)
    rows = iter(range(10 * BUNCH_LINES))
    answers = client.predict_stream(rows)
    next(answers)
    answers.close()
    assert next(rows) <= BUNCH_LINES + 1


def test_instances_can_come_asynchronously(address: str, script: Script) -> None:
    script.replies.append(_echo)

    async def rows() -> AsyncIterator[str]:
        for length in range(BUNCH_LINES + 2):
            yield "x" * length

    with Awaited(address, "digits") as client:
        found = [answer.label for answer in client.predict_stream(rows())]
    assert found == [str(length + 2) for length in range(BUNCH_LINES + 2)]
    assert len(script.requests) == 2


def test_nothing_to_ask_asks_nothing(client: Client, script: Script) -> None:
    assert list(client.predict_stream([])) == []
    assert script.requests == []


def test_what_breaks_before_its_first_line_is_sent_again(client: Client, script: Script) -> None:
    script.say(429, {"error": "overloaded"}, Retry_After="0")
    script.hang_up()
    script.say(200, b'{"prediction_id":"cut', is_cut=True, **NDJSON)
    script.say(200, lines(answered("a"), answered("b")), **NDJSON)
    found = [answer.label for answer in client.predict_stream([1, 2])]
    assert found == ["a", "b"]
    assert len({asked.body for asked in script.requests}) == 1
    assert len(script.requests) == 4


@pytest.mark.parametrize("is_cut", [True, False])
def test_what_breaks_after_a_line_was_given_is_not_sent_again(client: Client, script: Script, is_cut: bool) -> None:
    script.say(200, lines(answered("a")), is_cut=is_cut, **NDJSON)
    answers = client.predict_stream([1, 2])
    assert next(answers).label == "a"
    with pytest.raises(ServiceUnreachable, match="1 of a request's 2 lines") as caught:
        next(answers)
    assert caught.value.code == "stream_broken"
    assert len(script.requests) == 1


def test_more_answers_than_instances_are_an_error(client: Client, script: Script) -> None:
    script.say(200, lines(answered("a"), answered("b")), **NDJSON)
    with pytest.raises(ServiceUnreachable, match="2 of a request's 1 lines"):
        list(client.predict_stream([1]))


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"label":"a"}\n', b"\xff\n"])
def test_a_line_that_is_no_answer_is_named(client: Client, script: Script, line: bytes) -> None:
    script.say(200, line, **NDJSON)
    with pytest.raises(ServiceUnreachable) as caught:
        list(client.predict_stream([1]))
    assert caught.value.code == "unexpected_answer"


def test_a_stream_that_is_refused_as_a_whole_says_why(client: Client, script: Script) -> None:
    script.say(415, {"error": "unsupported_media_type", "detail": "the body must be JSON"})
    with pytest.raises(RequestRefused, match="must be JSON"):
        next(client.predict_stream([1]))


def test_news_goes_on_after_the_last_event_when_a_connection_ends(client: Client, script: Script) -> None:
    script.say(200, b"retry: 1\n\n" + event(4) + event(5), **EVENTS)
    script.hang_up()
    script.say(503, {"error": "too_many_streams"}, Retry_After="0")
    script.say(200, b": nothing new\n\n" + event(6) + event(7)[:-1], is_cut=True, **EVENTS)
    script.say(200, event(7), **EVENTS)
    news = client.news()
    assert [next(news).data["number"] for _ in range(4)] == [4, 5, 6, 7]
    news.close()
    assert [asked.headers.get("last-event-id") for asked in script.requests] == [None, "5", "5", "5", "6"]
    assert {asked.path for asked in script.requests} == {"/v1/models/digits/stream"}


def test_news_can_begin_in_the_past_and_leaves_out_what_is_not_known(client: Client, script: Script) -> None:
    script.say(200, event(1, "invented") + b"data: nonsense\n\n" + event(2, "promotion"), **EVENTS)
    assert next(client.news(since=0)).event == "promotion"
    assert script.requests[0].headers["last-event-id"] == "0"


def test_news_ends_when_nobody_answers_for_long(address: str, script: Script) -> None:
    script.say(200, b"retry: 1\n\n" + event(1), **EVENTS)
    script.hang_up()
    with Client(address, "digits", Patience(total_seconds=0.1)) as client:
        news = client.news()
        assert next(news).time == 1.0
        with pytest.raises(ServiceUnreachable, match="nothing answers"):
            next(news)


@pytest.mark.parametrize("call", ["news", "predict_stream"])
def test_a_stream_that_is_left_frees_its_connection(address: str, script: Script, call: str) -> None:
    script.replies.append(_endless)
    limits = {"news": (), "predict_stream": (range(2),)}
    with Awaited(address, "digits") as client:
        stream = getattr(client, call)(*limits[call])
        next(stream)
        stream.close()
        assert isinstance(client.client, AsyncClient)
        assert client.client._http._transport._pool.connections == []
    with Client(address, "digits") as plain:
        plain_stream = getattr(plain, call)(*limits[call])
        next(plain_stream)
        plain_stream.close()
        assert plain._http._transport._pool.connections == []  # type: ignore[attr-defined]


def _endless(asked: Asked) -> Reply:
    if asked.method == "GET":
        return Reply(200, event(1), {"content-type": "text/event-stream"}, is_cut=True)
    return Reply(200, lines(answered("a")), {"content-type": "application/x-ndjson"}, is_cut=True)


SENT = b": hello\nretry: 20\n\nid: 7\ndata: one\ndata:two\n\ndata\r\n\r\nid: 8\n\nretry: x\nother: y\n"
SENT += b"data: \xe2\x80\xa8\n\n"


@given(st.lists(st.integers(0, len(SENT)), max_size=8).map(sorted))
def test_events_do_not_depend_on_how_they_arrive(cuts: list[int]) -> None:
    reader = EventReader()
    pieces = [SENT[start:end] for start, end in zip([0, *cuts], [*cuts, len(SENT)], strict=True)]
    found = [data for piece in pieces for data in reader.feed(piece)]
    assert found == [b"one\ntwo", b"", "\u2028".encode()]
    assert (reader.last_id, reader.retry_seconds) == ("8", 0.02)


def test_a_number_without_an_event_moves_on_too() -> None:
    reader = EventReader()
    assert list(reader.feed(b"id: 9\n\n")) == []
    assert reader.last_id == "9"


def test_an_event_that_was_cut_leaves_nothing_behind() -> None:
    reader = EventReader("3")
    assert list(reader.feed(b"id: 4\ndata: lost\nda")) == []
    reader.disconnected()
    assert list(reader.feed(b"data: next\n\n")) == [b"next"]
    assert reader.last_id == "3"


def test_a_service_cannot_ask_for_too_long_a_pause() -> None:
    reader = EventReader()
    list(reader.feed(b"retry: 999999999\n\n"))
    assert reader.retry_seconds == MAX_RETRY_SECONDS
    list(reader.feed(b"retry: 9999999999999\n\n"))
    assert reader.retry_seconds == MAX_RETRY_SECONDS


@given(st.lists(st.binary(max_size=5), max_size=8))
def test_lines_are_those_between_line_feeds(chunks: list[bytes]) -> None:
    reader = Lines()
    found = [line for chunk in chunks for line in reader.feed(chunk)]
    whole = [line.removesuffix(b"\r") for line in b"".join(chunks).split(b"\n")[:-1]]
    assert found == whole
