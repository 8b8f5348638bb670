"""A state that was written for another model is refused before anything starts, and by the trainer's own measure."""

from pathlib import Path

import pytest

from contracts.errors import InvalidConfiguration
from contracts.inputs import TensorInput
from lifelong.actors import training
from lifelong.ownership import require_own
from lifelong.settings import Settings
from trainer.assembly import TrainerConfiguration
from trainer.errors import CorruptState
from trainer.stores import Stores

pytestmark = pytest.mark.unit
MINE = Settings(model="digits", input=TensorInput(shape=(4,)))
OTHER = Settings(model="digits", input=TensorInput(shape=(5,)))
PER_TASK = Settings.model_validate(
    {"model": "digits", "input": MINE.input, "labels": {"scenario": "task"}, "strategies": [{"kind": "packnet"}]}
)


def begin(settings: Settings, state: Path) -> Path:
    """Leaves the state that a trainer of these settings begins with."""
    config = TrainerConfiguration.model_validate_json(training(settings, state))
    directory = config.directory / "trainer"
    Stores.open(directory, config.fingerprint).database.close()
    return directory / "state.db"


@pytest.mark.parametrize("settings", [MINE, PER_TASK], ids=["by default", "tasks kept apart"])
def test_a_state_of_the_same_configuration_is_ones_own(tmp_path: Path, settings: Settings) -> None:
    begin(settings, tmp_path)
    require_own(settings, tmp_path)


@pytest.mark.parametrize("settings", [OTHER, PER_TASK], ids=["another input", "another network"])
def test_a_state_of_another_configuration_is_refused(tmp_path: Path, settings: Settings) -> None:
    begin(MINE, tmp_path)
    with pytest.raises(InvalidConfiguration, match="was written for another input") as caught:
        require_own(settings, tmp_path)
    assert caught.value.code == "other_configuration"
    assert caught.value.detail.startswith("digits: ")


def test_a_new_state_directory_is_left_as_it_is(tmp_path: Path) -> None:
    require_own(MINE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    begin(MINE, tmp_path).write_bytes(b"no database" * 100)
    with pytest.raises(CorruptState, match="is damaged"):
        require_own(MINE, tmp_path)
