"""What holds for the embedded registry and for a server alike."""

import uuid
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from contracts.errors import InvalidArtifact
from contracts.versions import CHALLENGER, CHAMPION, PREVIOUS, Artifact
from registry.connection import connect
from registry.errors import UnregisteredVersion
from registry.store import Registry
from tests.registry.server import MlflowServer
from tests.registry.versions import MATRIX, MLFLOW_IS_BEHIND_SQLALCHEMY, version

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings(MLFLOW_IS_BEHIND_SQLALCHEMY)]


class Place:
    """Where one test's registry is; each look at it is through a client of its own, as another process has."""

    def __init__(self, uri: str | None, directory: Path) -> None:
        self.model = f"digits-{uuid.uuid4().hex[:8]}"
        self._uri = uri
        self._directory = directory

    def open(self) -> Registry:
        return Registry(self.model, self._uri, self._directory)

    def client(self) -> MlflowClient:
        return connect(self._uri, self._directory).client

    def runs_with_files(self) -> list[bool]:
        client = self.client()
        return sorted(bool(client.list_artifacts(run.info.run_id, "model")) for run in self.runs())

    def runs(self) -> list[Run]:
        return list(self.client().search_runs([self.experiment_id()]))

    def experiment_id(self) -> str:
        experiment = self.client().get_experiment_by_name(f"lifelong/{self.model}")
        assert experiment is not None
        return str(experiment.experiment_id)

    def registered(self) -> list[ModelVersion]:
        return list(self.client().search_model_versions(f"name = '{self.model}'"))

    def add_by_hand(self, number: int, source: str, run: str | None) -> None:
        tags = {"lifelong.version": str(number), "lifelong.sha256": f"{number:064x}"}
        self.client().create_model_version(self.model, source, run, tags=tags)

    def add_run(self) -> str:
        return str(self.client().create_run(self.experiment_id()).info.run_id)


@pytest.fixture(params=["embedded", "server"])
def place(request: pytest.FixtureRequest, embedded: Path) -> Place:
    if request.param == "embedded":
        return Place(None, embedded)
    server: MlflowServer = request.getfixturevalue("mlflow_server")
    return Place(server.uri, embedded)


def test_an_empty_registry_has_no_champion(place: Place) -> None:
    registry = place.open()
    assert registry.champion() is None
    assert registry.versions() == []
    with pytest.raises(UnregisteredVersion):
        registry.read(1)


def test_a_version_is_read_back_whole_by_another_process(place: Place) -> None:
    place.open().register(version(1, b"\x00\xff" * 5000))
    assert place.open().read(1) == version(1, b"\x00\xff" * 5000)


def test_the_same_version_twice_is_one(place: Place) -> None:
    registry = place.open()
    registry.register(version(1))
    registry.register(version(1))
    place.open().register(version(1))
    assert len(place.registered()) == 1


def test_what_a_crash_left_half_done_is_finished(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = place.open()
    registry.register(version(1))
    monkeypatch.setattr(registry._client, "create_model_version", _crash)
    with pytest.raises(KeyboardInterrupt):
        registry.register(version(2))
    assert place.open().versions() == [1]
    again = place.open()
    again.register(version(2))
    assert again.read(2) == version(2)
    assert len(place.runs()) == 2


def test_aliases_and_generation_name_the_champion(place: Place) -> None:
    registry = place.open()
    for number in (1, 2, 3):
        registry.register(version(number))
    registry.point(1, None, None, 1)
    assert place.open().champion() == (1, 1)
    registry.point(2, 1, 3, 2)
    assert place.open().champion() == (2, 2)
    assert place.client().get_registered_model(place.model).aliases.keys() == {CHAMPION, CHALLENGER, PREVIOUS}
    registry.point(1, 2, None, 3)
    assert place.open().champion() == (1, 3)
    assert place.client().get_registered_model(place.model).aliases.keys() == {CHAMPION, PREVIOUS}


def test_our_numbers_need_not_be_those_of_mlflow(place: Place) -> None:
    registry = place.open()
    registry.register(version(7))
    registry.register(version(12))
    registry.point(12, 7, None, 4)
    assert registry.champion() == (12, 4)
    assert registry.versions() == [7, 12]
    assert place.client().get_model_version_by_alias(place.model, CHAMPION).version in (2, "2")


def test_a_champion_must_be_registered(place: Place) -> None:
    registry = place.open()
    registry.register(version(1))
    registry.point(1, None, None, 1)
    with pytest.raises(UnregisteredVersion):
        registry.point(2, 1, None, 2)
    assert registry.champion() == (1, 1)


def test_a_state_directory_begun_anew_goes_before_the_old_one(place: Place) -> None:
    place.open().register(version(1, b"old"))
    anew = place.open()
    anew.register(version(1, b"new"))
    anew.point(1, None, None, 1)
    assert place.open().read(1).weights == b"new"
    anew.prune({1})
    assert len(place.registered()) == 1
    assert place.open().read(1).weights == b"new"


def test_pruning_spares_what_is_kept_or_has_an_alias(place: Place) -> None:
    registry = place.open()
    for number in range(1, 7):
        registry.register(version(number))
    registry.point(2, 1, 4, 1)
    registry.prune({6})
    assert registry.versions() == [1, 2, 4, 6]
    assert [registry.read(number) for number in (1, 2, 4, 6)] == [version(number) for number in (1, 2, 4, 6)]
    with pytest.raises(UnregisteredVersion):
        registry.read(3)
    assert registry.champion() == (2, 1)
    assert place.runs_with_files() == [False] * 2 + [True] * 4


def test_a_withdrawn_version_goes_with_its_files_and_its_run_says_why(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = place.open()
    for number in (1, 2, 3):
        registry.register(version(number))
    registry.point(3, None, None, 1)
    with monkeypatch.context() as crash:
        crash.setattr(MlflowClient, "create_model_version", _crash)
        with pytest.raises(KeyboardInterrupt):
            registry.register(version(4))
    for _ in range(2):
        registry.withdraw([1, 2, 4, 9], "e1")
    assert place.open().versions() == [3]
    with pytest.raises(UnregisteredVersion):
        place.open().read(2)
    assert place.runs_with_files() == [False] * 3 + [True]
    flagged = {run.data.tags["lifelong.version"]: run.data.tags.get("lifelong.erasure") for run in place.runs()}
    assert flagged == {"1": "e1", "2": "e1", "3": None, "4": "e1"}


def test_tags_and_metrics_are_there_for_people(place: Place) -> None:
    registry = place.open()
    registry.register(version(3), MATRIX)
    found = place.client().search_model_versions(
        f"name = '{place.model}' and tags.`lifelong.verdict` = 'promote' and tags.`lifelong.strategies` = 'replay,ewc'"
    )
    assert [mine.tags["lifelong.version"] for mine in found] == ["3"]
    assert found[0].run_id is not None
    run = place.client().get_run(found[0].run_id)
    assert run.info.status == "FINISHED"
    history = place.client().get_metric_history(found[0].run_id, "accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.75), (1, 0.5)]
    assert run.data.metrics["average_accuracy"] == 0.625
    assert run.data.metrics["backward_transfer"] == -0.25
    forgetting = place.client().get_metric_history(found[0].run_id, "forgetting")
    assert [(metric.step, metric.value) for metric in forgetting] == [(0, 0.25), (1, 0.0)]


def test_altered_files_are_refused(place: Place) -> None:
    registry = place.open()
    artifact = version(1)
    registry.register(Artifact(b"other weights", artifact.model, artifact.lineage, artifact.probes))
    with pytest.raises(InvalidArtifact) as refusal:
        registry.read(1)
    assert refusal.value.code == "digest_mismatch"


def test_missing_files_are_refused(place: Place) -> None:
    place.open().register(version(1))
    run = place.add_run()
    place.add_by_hand(2, f"runs:/{run}/model", run)
    with pytest.raises(InvalidArtifact) as refusal:
        place.open().read(2)
    assert refusal.value.code == "missing_file"


def test_a_source_elsewhere_is_refused_and_spared(place: Place) -> None:
    registry = place.open()
    registry.register(version(1))
    registry.point(1, None, None, 1)
    own = place.registered()[0]
    place.add_by_hand(2, f"runs:/{own.run_id}/elsewhere", own.run_id)
    with pytest.raises(InvalidArtifact) as refusal:
        registry.read(2)
    assert refusal.value.code == "source_not_allowed"
    registry.prune(set())
    assert registry.versions() == [1]
    assert registry.read(1) == version(1)


def test_the_run_of_another_model_is_refused(place: Place) -> None:
    registry = place.open()
    registry.register(version(1))
    client = place.client()
    foreign = client.create_run(client.create_experiment(f"foreign-{place.model}")).info.run_id
    place.add_by_hand(2, f"runs:/{foreign}/model", foreign)
    with pytest.raises(InvalidArtifact) as refusal:
        registry.read(2)
    assert refusal.value.code == "source_not_allowed"


def test_versions_that_a_person_added_are_left_alone(place: Place) -> None:
    registry = place.open()
    registry.register(version(1))
    run = place.add_run()
    added = place.client().create_model_version(place.model, f"runs:/{run}/model", run)
    place.client().set_registered_model_alias(place.model, CHAMPION, added.version)
    assert registry.champion() is None
    assert registry.versions() == [1]
    place.client().delete_registered_model_alias(place.model, CHAMPION)
    registry.prune({1})
    assert len(place.registered()) == 2


def test_a_champion_deleted_by_hand_can_be_registered_again(place: Place) -> None:
    registry = place.open()
    registry.register(version(1))
    registry.point(1, None, None, 1)
    found = place.client().get_model_version_by_alias(place.model, CHAMPION)
    place.client().delete_model_version(place.model, found.version)
    assert registry.champion() is None
    again = place.open()
    with pytest.raises(UnregisteredVersion):
        again.point(1, None, None, 1)
    again.register(version(1))
    again.point(1, None, None, 1)
    assert registry.champion() == (1, 1)
    assert registry.read(1) == version(1)


def _crash(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt
