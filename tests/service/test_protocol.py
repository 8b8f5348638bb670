"""The Open Inference Protocol as a client of Triton speaks it, and its documents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from contracts.inputs import parse_input
from networks.build import from_document
from networks.predictor import Predictor
from tests.service.inprocess import InProcessService
from tests.service.listening import listening
from tests.service.versions import TENSOR, artifact

pytestmark = pytest.mark.unit
ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
VERSIONS = {version: artifact(version) for version in (1, 2)}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    with listening(tmp_path_factory.mktemp("pets"), VERSIONS) as address:
        yield triton.InferenceServerClient(address)


def expected(version: int) -> list[str]:
    model = VERSIONS[version].model
    return Predictor(from_document(model, VERSIONS[version].weights), model).predict(ROWS, None)[0]


def test_server_and_model_are_alive_and_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pets")
    assert client.is_model_ready("pets", "1")
    assert not client.is_model_ready("pets", "3")
    assert not client.is_model_ready("cars")


def test_metadata_say_what_goes_in_and_comes_out(client: triton.InferenceServerClient) -> None:
    server = client.get_server_metadata()
    assert server["name"] == "lifelong"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("pets")
    assert (model["name"], model["versions"]) == ("pets", ["1", "2"])
    assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
    assert [output["name"] for output in model["outputs"]] == ["label", "probability", "prediction_id", "scores"]
    assert client.get_model_metadata("pets", "1")["versions"] == ["1"]


def test_the_repository_index_names_every_version(client: triton.InferenceServerClient) -> None:
    index = client.get_model_repository_index()
    assert [(one["name"], one["version"], one["state"]) for one in index] == [
        ("pets", "1", "READY"),
        ("pets", "2", "READY"),
    ]


@pytest.mark.parametrize("sends_binary", [True, False])
@pytest.mark.parametrize("wants_binary", [True, False])
@pytest.mark.parametrize("version", [1, 2])
def test_triton_client_infers(
    client: triton.InferenceServerClient, sends_binary: bool, wants_binary: bool, version: int
) -> None:
    given = triton.InferInput("input", list(ROWS.shape), "FP32")
    given.set_data_from_numpy(ROWS, binary_data=sends_binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=wants_binary) for name in ("label", "scores")]
    result = client.infer("pets", [given], str(version), wanted, request_id="a-1")
    answer = result.get_response()
    assert (answer["id"], answer["model_version"]) == ("a-1", str(version))
    labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label").tolist()]
    assert labels == expected(version)
    scores = result.as_numpy("scores")
    assert scores.shape == (5, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)


def test_without_wanted_outputs_all_come(client: triton.InferenceServerClient) -> None:
    given = triton.InferInput("input", list(ROWS.shape), "FP32")
    given.set_data_from_numpy(ROWS)
    result = client.infer("pets", [given])
    assert result.as_numpy("probability").shape == (5,)
    assert len(set(result.as_numpy("prediction_id").tolist())) == 5


def test_a_fault_reaches_the_client_by_its_code(client: triton.InferenceServerClient) -> None:
    given = triton.InferInput("input", [1, 3], "FP32")
    given.set_data_from_numpy(ROWS[:1, :3])
    with pytest.raises(InferenceServerException, match="wrong_shape"):
        client.infer("pets", [given])


def test_a_client_that_compresses_is_told_so(client: triton.InferenceServerClient) -> None:
    given = triton.InferInput("input", list(ROWS.shape), "FP32")
    given.set_data_from_numpy(ROWS)
    with pytest.raises(InferenceServerException, match="unsupported_encoding"):
        client.infer("pets", [given], request_compression_algorithm="gzip")


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [
        ({"kind": "image", "shape": [2, 2]}, [("input", "UINT8", [-1, 2, 2])]),
        ({"kind": "text"}, [("input", "BYTES", [-1])]),
        ({"kind": "story"}, [("input", "BYTES", [-1])]),
        (
            {"kind": "tabular", "columns": {"age": "number", "colour": ["red", "blue"]}},
            [("age", "FP64", [-1]), ("colour", "BYTES", [-1])],
        ),
    ],
)
def test_every_input_kind_has_its_tensors(tmp_path: Path, spec: Any, inputs: Any) -> None:
    with InProcessService(tmp_path, input=parse_input(spec)) as service:
        described = service.get("/v2/models/pets").document["inputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in described] == inputs


def test_before_the_first_version_nothing_is_ready(tmp_path: Path) -> None:
    with InProcessService(tmp_path, input=parse_input(TENSOR)) as service:
        assert service.get("/v2/models/pets/ready").status == 409
        assert service.get("/v2/models/pets").document["versions"] == []
        [entry] = service.post("/v2/repository/index", {}).document
        assert (entry["name"], entry["state"]) == ("pets", "UNAVAILABLE")
        assert service.get("/v2/models/pets/versions/1").document["error"] == "unknown_version"
        assert service.get("/v2/models/cars").document["error"] == "unknown_model"
