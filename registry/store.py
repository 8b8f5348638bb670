"""Versions in MLflow: written once, read back whole, named by aliases. It mirrors decisions and makes none."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import InvalidArtifact
from contracts.status import Matrix
from contracts.versions import CHALLENGER, CHAMPION, PREVIOUS, Artifact
from registry import document
from registry.connection import connect, reaching_mlflow
from registry.document import DIGEST, GENERATION, VERSION
from registry.errors import RegistryUnavailable, UnregisteredVersion
from registry.runs import Runs, source_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


class Registry:
    """The versions of one model. One process writes (`register`, `point`, `prune`), any number read.

    Our version numbers are tags, for MLflow numbers versions itself; of two MLflow versions with the same number of
    ours (a state directory was begun anew) the later one counts. Every call raises `RegistryUnavailable` within
    seconds when MLflow cannot be reached; the same call may be made again, whatever was done of it.
    """

    def __init__(self, model: str, uri: str | None, directory: Path) -> None:
        """Opens the server at `uri`, or with None the embedded MLflow in `directory`."""
        connection = connect(uri, directory)
        self._model = model
        self._client = connection.client
        self._runs = Runs(connection, f"lifelong/{model}")
        self._held: dict[int, ModelVersion] | None = None  # the writer's: None until it has looked, or must look again

    def register(self, artifact: Artifact, matrix: Matrix | None = None) -> None:
        """Stores a version with its tags and metrics; the same version again changes nothing.

        `matrix` is the accuracy matrix at that version: transfer and forgetting are logged from it.
        """
        tags = document.tags(artifact)
        with self._reaching():
            is_repeat = self._held is None  # only then can an attempt have ended half way
            held = self._versions_held()
            if artifact.version in held and held[artifact.version].tags.get(DIGEST) == tags[DIGEST]:
                return
            run = (self._runs.left_behind(tags) if is_repeat else None) or self._runs.begin(artifact, tags)
            self._runs.write(run, artifact.files() | document.loading_files(artifact, run.info.run_id))
            self._runs.finish(run, document.measurements(artifact, matrix))
            held[artifact.version] = self._client.create_model_version(
                self._model, source_of(run.info.run_id), run_id=run.info.run_id, tags=tags, await_creation_for=0
            )

    def point(self, champion: int, previous: int | None, challenger: int | None, generation: int) -> None:
        """Sets the aliases, and last the generation; an alias that is None or whose version is gone is removed.

        Raises:
            UnregisteredVersion: `unregistered_version`, the champion is not registered; nothing has changed.
        """
        with self._reaching():
            held = self._versions_held()
            if champion not in held:
                raise _unregistered(champion)
            present = self._client.get_registered_model(self._model).aliases
            for alias, version in ((PREVIOUS, previous), (CHALLENGER, challenger), (CHAMPION, champion)):
                self._set_alias(alias, present.get(alias), None if version is None else held.get(version))
            self._client.set_registered_model_tag(self._model, GENERATION, str(generation))

    def champion(self) -> tuple[int, int] | None:
        """Version and generation of the champion; None while the registry names none that was registered here."""
        with self._reaching():
            model = self._registered_model()
            if model is None or CHAMPION not in model.aliases:
                return None
            version = self._client.get_model_version(self._model, str(model.aliases[CHAMPION])).tags.get(VERSION, "")
            generation = model.tags.get(GENERATION, "")
            return (int(version), int(generation)) if version.isdecimal() and generation.isdecimal() else None

    def read(self, version: int) -> Artifact:
        """A version, whole, as it was registered.

        Raises:
            UnregisteredVersion: `unregistered_version`.
            InvalidArtifact: a file is missing or altered, or the registry points outside its own artifacts.
        """
        with self._reaching():
            found = _latest(self._search(f"name = '{self._model}' and tags.`{VERSION}` = '{version}'")).get(version)
            if found is None:
                raise _unregistered(version)
            files = self._runs.read(found)
        return Artifact.from_files(files)

    def versions(self) -> list[int]:
        """The numbers of all versions that are registered, in order."""
        with self._reaching():
            return sorted(_latest(self._search(f"name = '{self._model}'")))

    def prune(self, keep: Collection[int]) -> None:
        """Deletes all versions but those in `keep` and those that an alias names; their runs keep the metrics."""
        with self._reaching():
            aliased = {str(number) for number in self._client.get_registered_model(self._model).aliases.values()}
            kept = {str(version.version) for number, version in self._versions_held().items() if number in keep}
            for version in list(self._search(f"name = '{self._model}'")):
                if str(version.version) not in aliased | kept:
                    self._delete(version)
            self._held = None

    def withdraw(self, versions: Collection[int], erasure: str) -> None:
        """Deletes these versions and their files, for an erasure that their runs, which keep the metrics, then name."""
        gone = set(versions)
        with self._reaching():
            for version in list(self._search(f"name = '{self._model}'")):
                if int(version.tags[VERSION]) in gone:
                    self._delete(version)
            self._runs.withdraw(gone, erasure)
            self._held = None

    def _delete(self, version: "ModelVersion") -> None:
        # Files first: a crash in between leaves a version that the next call finds. Files that are not ours stay.
        with suppress(InvalidArtifact):
            self._runs.erase(version)
        self._client.delete_model_version(self._model, str(version.version))

    def _versions_held(self) -> "dict[int, ModelVersion]":
        if self._held is None:
            if self._registered_model() is None:
                self._client.create_registered_model(self._model)
            self._held = _latest(self._search(f"name = '{self._model}'"))
        return self._held

    def _registered_model(self) -> "RegisteredModel | None":
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(self._model)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _set_alias(self, alias: str, present: str | None, wanted: "ModelVersion | None") -> None:
        if wanted is None and present is not None:
            self._client.delete_registered_model_alias(self._model, alias)
        elif wanted is not None and str(present) != str(wanted.version):
            self._client.set_registered_model_alias(self._model, alias, str(wanted.version))

    def _search(self, condition: str) -> "Iterator[ModelVersion]":
        """The versions that were registered here, not those that a person added."""
        token = None
        while True:
            page = self._client.search_model_versions(condition, max_results=1000, page_token=token)
            yield from (version for version in page if version.tags.get(VERSION, "").isdecimal())
            token = page.token
            if not token:
                return

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            with reaching_mlflow():
                yield
        except RegistryUnavailable:
            self._held = None
            raise


def _latest(versions: "Iterator[ModelVersion]") -> "dict[int, ModelVersion]":
    """By our number, the MLflow version that was made last."""
    in_order = sorted(versions, key=lambda version: int(version.version))
    return {int(version.tags[VERSION]): version for version in in_order}


def _unregistered(version: int) -> UnregisteredVersion:
    return UnregisteredVersion("unregistered_version", f"the registry holds no version {version}")
