"""Runs in MLflow, one for each version: they hold its files and its metrics."""

import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from contracts.errors import InvalidArtifact
from contracts.versions import FILES, Artifact
from registry.connection import Connection
from registry.document import DIGEST, ERASURE, FOLDER, VERSION, Measurement

if TYPE_CHECKING:
    from mlflow.entities import FileInfo, Run
    from mlflow.entities.model_registry import ModelVersion


class FileStore(Protocol):
    """What is used of MLflow's artifact repositories, which have no types of their own."""

    def log_artifacts(self, local_dir: str, artifact_path: str) -> None:
        """Stores the files of a local directory in a folder."""

    def list_artifacts(self, path: str) -> "list[FileInfo]":
        """What a folder holds; nothing when there is none."""

    def download_artifacts(self, artifact_path: str, dst_path: str) -> str:
        """Copies a file into a local directory and says where."""

    def delete_artifacts(self, artifact_path: str) -> None:
        """Deletes a folder."""


def source_of(run_id: str | None) -> str:
    """Where MLflow finds the files of the version that a run made; it stays true when the artifacts are moved."""
    return f"runs:/{run_id}/{FOLDER}"


class Runs:
    """The runs of one model, all in one experiment. Its methods raise MLflow's own errors."""

    def __init__(self, connection: Connection, experiment: str) -> None:
        self._client, self._address, self._artifact_root = connection
        self._name = experiment

    def left_behind(self, tags: Mapping[str, str]) -> "Run | None":
        """The run of the version with these tags that a crash left without a version."""
        experiment = self._client.get_experiment_by_name(self._name)
        if experiment is None:
            return None
        condition = f"tags.`{DIGEST}` = '{tags[DIGEST]}'"
        found = self._client.search_runs([experiment.experiment_id], condition, max_results=1)
        return found[0] if found else None

    def begin(self, artifact: Artifact, tags: Mapping[str, str]) -> "Run":
        """A new run; the first one makes the experiment."""
        name = f"{artifact.model.model}-{artifact.version}"
        return self._client.create_run(self._experiment_id(), tags=dict(tags), run_name=name)

    def write(self, run: "Run", files: Mapping[str, bytes]) -> None:
        """Stores files in the run's model folder, in place of those of the same name."""
        with tempfile.TemporaryDirectory(prefix="lifelong-") as staging:
            for name, content in files.items():
                (Path(staging) / name).write_bytes(content)
            self._files(run).log_artifacts(staging, FOLDER)

    def finish(self, run: "Run", measurements: Sequence[Measurement]) -> None:
        """Logs the metrics and marks the run as finished; again with the same metrics it changes nothing."""
        from mlflow.entities import Metric
        from mlflow.utils.validation import MAX_METRICS_PER_BATCH

        # The run's start, not the present, is the time: so that a repeat writes the same rows again.
        metrics = [Metric(key, value, run.info.start_time, step) for key, value, step in measurements]
        for first in range(0, len(metrics), MAX_METRICS_PER_BATCH):
            self._client.log_batch(run.info.run_id, metrics[first : first + MAX_METRICS_PER_BATCH])
        self._client.set_terminated(run.info.run_id, end_time=int(time.time() * 1000))

    def read(self, version: "ModelVersion") -> dict[str, bytes]:
        """Those of a version's four files that are there.

        Raises:
            InvalidArtifact: `source_not_allowed`.
        """
        stored = self._files(self._own_run(version))
        present = {Path(entry.path).name for entry in stored.list_artifacts(FOLDER) if not entry.is_dir}
        files = {}
        with tempfile.TemporaryDirectory(prefix="lifelong-") as staging:
            for name in present.intersection(FILES):
                files[name] = Path(stored.download_artifacts(f"{FOLDER}/{name}", staging)).read_bytes()
        return files

    def withdraw(self, versions: Collection[int], erasure: str) -> None:
        """Deletes the files of all runs of these versions, be they registered or not, and then tags the runs."""
        for run in list(self._all()):
            number = run.data.tags.get(VERSION, "")
            if number.isdecimal() and int(number) in versions and ERASURE not in run.data.tags:
                self._delete(run)
                self._client.set_tag(run.info.run_id, ERASURE, erasure)

    def erase(self, version: "ModelVersion") -> None:
        """Deletes a version's files; the run stays for its metrics.

        Raises:
            InvalidArtifact: `source_not_allowed`.
        """
        self._delete(self._own_run(version))

    def _delete(self, run: "Run") -> None:
        stored = self._files(run)
        if stored.list_artifacts(FOLDER):
            stored.delete_artifacts(FOLDER)

    def _all(self) -> "Iterator[Run]":
        experiment = self._client.get_experiment_by_name(self._name)
        token = None
        while experiment is not None:
            page = self._client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _own_run(self, version: "ModelVersion") -> "Run":
        """The version's run, if its files lie where this model's are written: a registry can name any place."""
        if version.run_id is None or version.source != source_of(version.run_id):
            raise InvalidArtifact("source_not_allowed", "the version's source is not the folder of its own run")
        run = self._client.get_run(version.run_id)
        experiment = self._client.get_experiment_by_name(self._name)
        if experiment is None or run.info.experiment_id != experiment.experiment_id:
            raise InvalidArtifact("source_not_allowed", "the version's run is not one of this model")
        root = (self._artifact_root or experiment.artifact_location).rstrip("/")
        if run.info.artifact_uri != f"{root}/{run.info.run_id}/artifacts":
            raise InvalidArtifact("source_not_allowed", "the version's files lie outside the model's own artifacts")
        return run

    def _files(self, run: "Run") -> FileStore:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        files: FileStore = get_artifact_repository(run.info.artifact_uri, tracking_uri=self._address)
        return files

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self._name, artifact_location=self._artifact_root))
