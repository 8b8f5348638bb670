"""Tags, metrics and pyfunc files, without MLflow."""

import msgspec
import pytest
from pydantic import ValidationError

from contracts.versions import LINEAGE, Artifact, sha256
from registry import document
from registry.settings import RegistrySettings
from tests.registry.versions import MATRIX, version

pytestmark = pytest.mark.unit


def test_tags_say_what_a_person_filters_by() -> None:
    assert document.tags(version(2)) == {
        "lifelong.version": "2",
        "lifelong.sha256": sha256(version(2).files()[LINEAGE]),
        "lifelong.verdict": "promote",
        "lifelong.reasons": "a gain",
        "lifelong.parent": "1",
        "lifelong.round": "20",
        "lifelong.code_version": "0.1.0",
        "lifelong.strategies": "replay,ewc",
        "lifelong.tasks": "zero-one,two-three",
        "lifelong.processed_through": "9",
        "lifelong.seed": "0",
    }
    assert document.tags(version(1))["lifelong.parent"] == ""


def test_tags_fit_every_database() -> None:
    artifact = version(1)
    tasks = [f"task\0{number}" for number in range(2000)]
    probes = msgspec.structs.replace(artifact.probes, tasks=tasks)
    tag = document.tags(artifact._replace(probes=probes))["lifelong.tasks"]
    assert len(tag) == document.MAX_TAG_CHARACTERS
    assert "\0" not in tag


def test_the_digest_tells_versions_of_the_same_number_apart() -> None:
    assert document.digest(version(1, b"a")) != document.digest(version(1, b"b"))
    assert document.digest(version(1)) == document.digest(Artifact.from_files(version(1).files()))


def test_metrics_have_the_task_index_as_step() -> None:
    assert set(document.measurements(version(1), MATRIX)) == {
        ("accuracy", 0.75, 0),
        ("accuracy", 0.5, 1),
        ("below_best", 0.25, 0),
        ("average_accuracy", 0.625, 1),
        ("backward_transfer", -0.25, 1),
        ("forgetting", 0.25, 0),
        ("forgetting", 0.0, 1),
    }


def test_a_version_before_any_probe_set_has_no_metrics() -> None:
    artifact = version(1)
    decision = msgspec.structs.replace(artifact.probes.decision, tasks=[])
    probes = msgspec.structs.replace(artifact.probes, tasks=[], rows=[], accuracy=[], decision=decision)
    assert document.measurements(artifact._replace(probes=probes), None) == []


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "file:///etc", "databricks", "http://", "", "http:// x"])
def test_the_address_must_be_that_of_a_server(uri: str) -> None:
    with pytest.raises(ValidationError):
        RegistrySettings(uri=uri)


@pytest.mark.parametrize("uri", [None, "http://mlflow:5000", "https://mlflow.example/prefix"])
def test_a_server_or_none_can_be_set(uri: str | None) -> None:
    assert RegistrySettings(uri=uri).uri == uri
