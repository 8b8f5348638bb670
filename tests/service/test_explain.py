"""The explain route: shapes that follow the instance, any registered version, clear refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.inputs import parse_input
from networks.settings import parse_network
from service.champion import load
from service.errors import RequestFault
from service.shelf import KEPT
from tests.service.inprocess import InProcessService
from tests.service.versions import NETWORK, TENSOR, artifact

pytestmark = pytest.mark.unit
EXPLAIN = "/v1/models/pets/explain"
TABULAR = {"kind": "tabular", "columns": {"age": "number", "colour": ["red", "blue"]}}
TEXT = {"kind": "text", "max_tokens": 8}


def serving(directory: Path, spec: Any, network: Any) -> InProcessService:
    parsed = parse_network(network)
    return InProcessService(
        directory,
        lambda generation, files: load(parsed, generation, files),
        input=parse_input(spec),
        network=parsed,
    )


@pytest.fixture
def pets(tmp_path: Path) -> Iterator[InProcessService]:
    with serving(tmp_path, TENSOR, NETWORK) as service:
        service.promote(artifact(5), 1)
        yield service


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad"])
def test_a_tensor_is_explained_number_by_number(pets: InProcessService, method: str) -> None:
    body = {"instance": [1, 2, 3, 4], "method": method, "target": "dog"}
    document = pets.post(EXPLAIN, body).document
    assert {name: document[name] for name in ("model", "version", "method", "target")} == {
        "model": "pets",
        "version": 5,
        "method": method,
        "target": "dog",
    }
    assert len(document["attribution"]) == 4
    assert any(document["attribution"])


def test_without_a_target_the_prediction_is_explained(pets: InProcessService) -> None:
    predicted = pets.predict({"instances": [[1, 2, 3, 4]]}).document["predictions"][0]["label"]
    document = pets.post(EXPLAIN, {"instance": [1, 2, 3, 4]}).document
    assert (document["target"], document["method"]) == (predicted, "saliency")


def test_a_text_is_explained_word_by_word(tmp_path: Path) -> None:
    with serving(tmp_path, TEXT, {"kind": "text"}) as service:
        service.promote(artifact(1, spec=TEXT, network={"kind": "text"}), 1)
        document = service.post(EXPLAIN, {"instance": "Good  day sir"}).document
    assert document["tokens"] == ["good", "day", "sir", "good day", "day sir"]
    assert len(document["attribution"]) == 5


def test_a_table_row_is_explained_column_by_column(tmp_path: Path) -> None:
    with serving(tmp_path, TABULAR, NETWORK) as service:
        service.promote(artifact(1, spec=TABULAR), 1)
        document = service.post(EXPLAIN, {"instance": {"age": 3, "colour": "red"}}).document
    assert document["attribution"].keys() == {"age", "colour"}


def test_any_registered_version_can_be_asked(pets: InProcessService) -> None:
    pets.registry |= {version: artifact(version) for version in (1, 2, 3)}
    values = {}
    for version in (1, 2, 3, 5):
        document = pets.post(EXPLAIN, {"instance": [1, 2, 3, 4], "version": version, "target": "cat"}).document
        assert document["version"] == version
        values[version] = tuple(document["attribution"])
    assert len(set(values.values())) == 4
    pets.registry.clear()
    for version in (2, 3):
        assert pets.post(EXPLAIN, {"instance": [1, 2, 3, 4], "version": version}).status == 200
    assert KEPT == 2
    refused = pets.post(EXPLAIN, {"instance": [1, 2, 3, 4], "version": 1})
    assert (refused.status, refused.document["error"]) == (404, "unknown_version")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"instance": [1, 2, 3]}, 422, "wrong_shape"),
        ({"instance": "text"}, 422, "wrong_type"),
        ({"instance": [1, 2, 3, 4], "method": "magic"}, 422, "invalid_request"),
        ({"instance": [1, 2, 3, 4], "target": "cow"}, 422, "unknown_label"),
        ({"instance": [1, 2, 3, 4], "unknown": 1}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
        (b"{", 400, "malformed_json"),
    ],
)
def test_bad_input_is_named(pets: InProcessService, body: Any, status: int, error: str) -> None:
    reply = pets.post(EXPLAIN, body)
    assert (reply.status, reply.document["error"]) == (status, error)


def test_without_a_version_there_is_nothing_to_explain(tmp_path: Path) -> None:
    with serving(tmp_path, TENSOR, NETWORK) as service:
        assert service.post(EXPLAIN, {"instance": [1, 2, 3, 4]}).document["error"] == "untrained"
        with pytest.raises(RequestFault, match="no version has been promoted"):
            service.run(service.host.shelf.get(None))
