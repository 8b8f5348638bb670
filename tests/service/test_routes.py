"""The framework routes: documents, operations, health, news, pages."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.erasures import Erasure
from contracts.status import News
from service.settings import ServingSettings
from tests.service.inprocess import InProcessService, call
from tests.service.versions import artifact, record, status

pytestmark = pytest.mark.unit


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path) as running:
        running.promote(artifact(1, processed_through=10, weights=b""), generation=1)
        running.run(running.hub.report(msgspec.json.encode(status())))
        running.run(running.hub.remember([msgspec.json.encode(record(version)) for version in (1, 2)]))
        yield running


def test_status_says_who_is_champion_and_how_far_it_has_learned(service: InProcessService) -> None:
    document = service.get("/v1/models/pets").document
    assert (document["model"], document["version"], document["trainer"]) == ("pets", 1, "running")
    assert (document["processed_through"], document["average_accuracy"]) == (10, 0.9)
    assert document["ledger"]["received"] == 10
    assert document["labels"] == ["cat", "dog"]
    assert service.get("/v1/models").document == {"models": [document]}


def test_matrix_has_the_documented_names(service: InProcessService) -> None:
    document = service.get("/v1/models/pets/matrix").document
    assert document["R"] == [[0.9]]
    names = {"tasks", "R", "baseline", "average_accuracy", "backward_transfer", "forward_transfer", "forgetting"}
    assert set(document) == names


def test_versions_show_lineage_and_decision(service: InProcessService) -> None:
    listed = service.get("/v1/models/pets/versions?max_results=1").document
    assert [version["version"] for version in listed["versions"]] == [2]
    assert listed["next_page_token"] == "2"
    one = service.get("/v1/models/pets/versions/1").document
    assert one["lineage"]["processed_through"] == 0
    assert one["probes"]["decision"]["verdict"] == "promote"


def test_operations_are_relayed_to_the_trainer(service: InProcessService) -> None:
    assert service.post("/v1/models/pets/tasks/default/close", b"").document == {"done": True}
    service.post("/v1/models/pets/rollback", b"")
    service.post("/v1/models/pets/rollback", {"version": 3})
    assert service.trainer.asked == [("close", "default"), ("rollback", None), ("rollback", 3)]


def test_a_subject_is_forgotten_whatever_its_name_holds(service: InProcessService) -> None:
    reply = service.request("DELETE", "/v1/models/pets/subjects/a/b é%", [])
    assert (reply.status, reply.document) == (202, {"erasure": "e1", "state": "waiting"})
    assert reply.headers["location"] == "/v1/models/pets/erasures/e1"
    assert service.trainer.asked == [("erase", "a/b é%")]
    for name in ("", "a\x00", "a\n", "a" * 201):
        assert service.request("DELETE", f"/v1/models/pets/subjects/{name}", []).status == 422
    assert len(service.trainer.asked) == 1


def test_erasures_are_shown(service: InProcessService) -> None:
    erasure = Erasure(id="e1", subject_sha256="0" * 64, state="retraining", asked_at=1.0, withdrawn=[2])
    service.run(service.hub.certify([msgspec.json.encode(erasure)]))
    expected = msgspec.to_builtins(erasure) | {"answering": 0}
    assert service.get("/v1/models/pets/erasures/e1").document == expected
    assert service.get("/v1/models/pets/erasures").document == {"erasures": [expected]}
    assert service.get("/v1/models/pets/erasures/e2").document["error"] == "unknown_erasure"


@pytest.mark.parametrize(("code", "expected"), [("unknown_task", 404), ("version_not_kept", 409), ("odd", 422)])
def test_a_refusal_of_the_trainer_is_a_problem(service: InProcessService, code: str, expected: int) -> None:
    service.trainer.answer = msgspec.json.encode({"error": code, "detail": "why"})
    reply = service.post("/v1/models/pets/tasks/default/close", b"")
    assert (reply.status, reply.document["error"], reply.document["detail"]) == (expected, code, "why")


def test_an_absent_trainer_is_worth_another_try(service: InProcessService) -> None:
    service.trainer.is_away = True
    reply = service.post("/v1/models/pets/rollback", b"")
    assert (reply.status, reply.document["error"]) == (503, "trainer_unavailable")
    assert reply.headers["retry-after"] == "1"


def test_health(service: InProcessService) -> None:
    assert service.get("/v2/health/live").document == {"live": True}
    assert service.get("/v2/health/ready").document == {"live": True, "ready": True}
    service.host.champion.settled.clear()
    assert service.get("/v2/health/ready").status == 503
    assert service.get("/v2/health/live").status == 200
    service.host.champion.serving = None
    reply = service.predict({"instances": [[1, 2, 3, 4]]})
    assert (reply.status, reply.document["error"]) == (503, "starting")


def test_metrics_are_prometheus_text(service: InProcessService) -> None:
    reply = service.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'lifelong_average_accuracy_ratio{model="pets"} 0.9' in reply.body


def test_the_openapi_document_describes_every_route(service: InProcessService) -> None:
    paths = service.get("/openapi.json").document["paths"]
    model = "/v1/models/{model}"
    for route in ("predict", "feedback", "rollback", "tasks/{task}/close"):
        assert "post" in paths[f"{model}/{route}"], route
    for path in ("/v1/models", model, f"{model}/matrix", f"{model}/versions", f"{model}/stream", "/metrics"):
        assert "get" in paths[path], path
    schema = paths[f"{model}/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["instances"]
    assert schema["properties"]["task"]["pattern"] == "^[a-z0-9][a-z0-9_-]{0,62}$"  # \Z is Python's alone


@pytest.mark.parametrize("path", ["/", "/docs", "/static/console.js", "/static/docs.js", "/static/style.css"])
def test_pages_come_from_here_alone(service: InProcessService, path: str) -> None:
    reply = service.get(path)
    assert reply.status == 200
    assert reply.headers["content-security-policy"].startswith("default-src 'self'")
    assert b"http://" not in reply.body
    assert b"https://" not in reply.body


def test_news_are_streamed_as_they_happen_and_after_the_last_one_seen(
    service: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stream.STREAM_SECONDS", 0.3)
    monkeypatch.setattr("service.hub.POLL_SECONDS", 0.05)
    first, last = service.run(service.hub.news(0))
    promotion = msgspec.json.encode(News(event="promotion", time=1.0, data={"version": 2}))

    async def watch(headers: list[tuple[bytes, bytes]]) -> Any:
        begun = asyncio.Event()
        stream = call(service.app, "GET", "/v1/models/pets/stream", [b"", b""], headers, begun)
        watching = asyncio.create_task(stream)
        await begun.wait()
        await service.hub.narrate([promotion])
        return await watching

    reply = service.run(watch([]))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.startswith(b"retry: 1000\nid: %d\n\n" % first)
    assert b"event: promotion\ndata: " + promotion in reply.body
    assert b"id: %d\n" % (first + 1) in reply.body
    again = service.run(watch([(b"last-event-id", b"%d" % first)]))
    assert again.body.count(b"event: promotion") == 2
    assert last


def test_streams_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stream.STREAM_SECONDS", 0.2)
    monkeypatch.setattr("service.hub.POLL_SECONDS", 0.05)

    async def open_two(app: Any) -> list[int]:
        streams = (call(app, "GET", "/v1/models/pets/stream", [b""]) for _ in range(2))
        return [reply.status for reply in await asyncio.gather(*streams)]

    with InProcessService(tmp_path, settings=ServingSettings(max_streams=1)) as service:
        assert service.run(open_two(service.app)) == [200, 503]
        assert service.get("/v1/models/pets/stream").status == 200
