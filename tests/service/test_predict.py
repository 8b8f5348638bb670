"""Predictions: the exact answers, the version they name, the memory that feedback joins with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.labels import Column
from service.settings import ServingSettings
from tests.service.inprocess import InProcessService, load_failing
from tests.service.versions import artifact

pytestmark = pytest.mark.unit


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path) as running:
        running.promote(artifact(3, weights=b""), generation=1)
        yield running


def test_an_answer_names_model_version_label_and_probability(service: InProcessService) -> None:
    reply = service.predict({"instances": [[0.25, 0.75, 0, 0], [1, 0, 0, 0]]})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    first, second = reply.document["predictions"]
    identifiers = {first.pop("prediction_id"), second.pop("prediction_id")}
    assert len(identifiers) == 2
    assert reply.document["model"] == "pets"
    assert reply.document["version"] == 3
    assert (first, second) == ({"label": "dog", "probability": 0.75}, {"label": "cat", "probability": 1.0})


def test_scores_are_answered_by_label_when_asked_for(service: InProcessService) -> None:
    (prediction,) = service.predict({"instances": [[0.25, 0.75, 0, 0]], "scores": True}).document["predictions"]
    assert prediction["scores"] == {"cat": 0.25, "dog": 0.75}


def test_scores_in_the_task_scenario_are_those_of_the_task(tmp_path: Path) -> None:
    with InProcessService(tmp_path, labels={"scenario": "task"}) as service:
        columns = [Column("cat", "pets"), Column("oak", "trees")]
        service.promote(artifact(1, weights=b"", columns=columns), generation=1)
        reply = service.predict({"instances": [[1, 0, 0, 0]], "task": "pets", "scores": True})
    assert reply.document["predictions"][0]["scores"] == {"cat": 1.0}


def test_a_large_batch_is_answered_like_small_ones(service: InProcessService) -> None:
    rows = [[index % 2, 0.5, 0, 0.123456789] for index in range(4096)]
    predictions = service.predict({"instances": rows}).document["predictions"]
    assert [prediction["label"] for prediction in predictions] == ["dog", "cat"] * 2048
    assert len({prediction["prediction_id"] for prediction in predictions}) == 4096


def test_before_the_first_promotion_the_model_is_untrained(tmp_path: Path) -> None:
    with InProcessService(tmp_path) as service:
        reply = service.predict({"instances": [[0, 0, 0, 0]]})
    assert (reply.status, reply.document["error"]) == (409, "untrained")


def test_a_promotion_changes_the_version_of_the_next_answer(service: InProcessService) -> None:
    service.promote(artifact(4, weights=b""), generation=2)
    assert service.predict({"instances": [[0, 0, 0, 0]]}).document["version"] == 4


def test_a_text_model_takes_strings_even_those_that_look_like_keys(tmp_path: Path) -> None:
    with InProcessService(tmp_path, input={"kind": "text"}) as service:
        service.promote(artifact(1, weights=b"", spec={"kind": "text"}), generation=1)
        reply = service.predict({"instances": ["instances", "task", '"instances":']})
    assert reply.status == 200


def test_a_fault_of_ours_is_a_problem_without_its_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with InProcessService(tmp_path, loader=load_failing) as service:
        service.promote(artifact(1, weights=b""), generation=1)
        reply = service.predict({"instances": [[0, 0, 0, 0]]})
    assert (reply.status, reply.document["error"]) == (500, "internal_error")
    assert b"ZeroDivision" not in reply.body
    assert "ZeroDivisionError" in caplog.text


def test_more_requests_than_allowed_in_flight_are_told_to_come_back(tmp_path: Path) -> None:
    import asyncio

    from tests.service.inprocess import JSON, call

    async def flood(app: object) -> list[int]:
        body = b'{"instances":[[1,0,0,0]]}'
        requests = (call(app, "POST", "/v1/models/pets/predict", [body], JSON) for _ in range(6))
        replies = await asyncio.gather(*requests)
        assert all(reply.headers["retry-after"] == "1" for reply in replies if reply.status == 429)
        return sorted(reply.status for reply in replies)

    with InProcessService(tmp_path, settings=ServingSettings(max_in_flight=4)) as service:
        service.promote(artifact(1, weights=b""), generation=1)
        assert set(service.run(flood(service.app))) == {200, 429}
        assert service.predict({"instances": [[1, 0, 0, 0]]}).status == 200
