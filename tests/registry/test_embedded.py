"""The embedded MLflow: shared by processes, movable, quiet, and without effect on the rest of the process."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from contracts.errors import InvalidArtifact
from registry.errors import RegistryUnavailable
from registry.store import Registry
from tests.registry.versions import MLFLOW_IS_BEHIND_SQLALCHEMY, version

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings(MLFLOW_IS_BEHIND_SQLALCHEMY)]

LAST = 12
WRITER = f"""
import sys
from pathlib import Path
from registry.store import Registry
from tests.registry.versions import version
registry = Registry("digits", None, Path(sys.argv[1]))
for number in range(1, {LAST + 1}):
    registry.register(version(number))
    registry.point(number, number - 1 or None, None, number)
    registry.prune({{number - 3}})
"""
INSPECTION = """
import json, os, sys
from pathlib import Path
import registry.store
imported_early = "mlflow" in sys.modules
registry.store.Registry("digits", None, Path(sys.argv[1]))
import mlflow
from mlflow.telemetry import get_telemetry_client
facts = {
    "imported_early": imported_early,
    "tracking_uri_set": mlflow.tracking.is_tracking_uri_set() or "MLFLOW_TRACKING_URI" in os.environ,
    "telemetry": get_telemetry_client() is not None,
    "torch": "torch" in sys.modules,
}
sys.stdout.write(json.dumps(facts))
"""


def test_a_writer_and_a_reader_share_it_from_its_first_moment(tmp_path: Path) -> None:
    with _started(WRITER, tmp_path) as writer:
        registry = Registry("digits", None, tmp_path)
        seen = []
        while (champion := registry.champion()) != (LAST, LAST) and writer.poll() is None:
            if champion is not None:
                seen.append(champion)
                assert registry.read(champion[0]) == version(champion[0])
        output, errors = writer.communicate()
    assert (writer.returncode, output, errors) == (0, b"", b"")
    assert seen == sorted(seen)
    assert registry.champion() == (LAST, LAST)
    assert registry.read(LAST) == version(LAST)


def test_a_kill_while_the_tables_are_made_does_no_harm(tmp_path: Path) -> None:
    with _started(WRITER, tmp_path) as killed:
        while not (tmp_path / "mlflow.new-journal").exists() and killed.poll() is None:
            time.sleep(0.01)
        killed.kill()
        killed.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    registry = Registry("digits", None, tmp_path)
    registry.register(version(1))
    assert registry.read(1) == version(1)


def test_it_leaves_the_process_and_its_directory_alone(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with _started(INSPECTION, tmp_path / "state", tmp_path / "here") as inspected:
        output, errors = inspected.communicate()
    assert errors == b""
    assert json.loads(output) == {
        "imported_early": False,
        "tracking_uri_set": False,
        "telemetry": False,
        "torch": False,
    }
    assert list((tmp_path / "here").iterdir()) == []


def test_a_state_directory_can_be_moved(tmp_path: Path) -> None:
    before = Registry("digits", None, tmp_path / "before")
    before.register(version(1))
    before.point(1, None, None, 1)
    (tmp_path / "before").rename(tmp_path / "after wards%20#1")
    after = Registry("digits", None, tmp_path / "after wards%20#1")
    assert after.champion() == (1, 1)
    assert after.read(1) == version(1)
    after.register(version(2))
    assert after.read(2) == version(2)
    after.prune({2})
    assert after.versions() == [1, 2]
    assert not (tmp_path / "before").exists()


def test_artifacts_outside_the_state_directory_are_not_read(embedded: Path, tmp_path: Path) -> None:
    registry = Registry("outside", None, embedded)
    registry.register(version(1))
    for name, content in version(1).files().items():
        (tmp_path / name).write_bytes(content)
    with closing(sqlite3.connect(embedded / "mlflow.db", timeout=20)) as database, database:
        database.execute(
            "UPDATE runs SET artifact_uri = ? WHERE name = 'digits-1' AND experiment_id ="
            " (SELECT experiment_id FROM experiments WHERE name = 'lifelong/outside')",
            (tmp_path.as_uri(),),
        )
    with pytest.raises(InvalidArtifact) as refusal:
        registry.read(1)
    assert refusal.value.code == "source_not_allowed"


def test_a_damaged_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(RegistryUnavailable):
        Registry("digits", None, tmp_path)


def _started(program: str, state: Path, directory: Path | None = None) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-c", program, str(state)]
    return subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
