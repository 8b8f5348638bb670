"""A trainer that leads a crew comes to what it comes to alone, through a restart, and tells it in pieces that fit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from contracts.labels import Column
from tests.trainer.actors import Actors
from tests.trainer.pipeline import Bench, digit_events
from tests.trainer.ranks import Processes
from trainer import telling
from trainer.batch import Batch
from trainer.settings import LearnerSettings
from trainer.telling import PIECE_BYTES, in_pieces, put_together

pytestmark = pytest.mark.unit
REPLAY_AND_EWC: list[dict[str, Any]] = [
    {"kind": "replay", "capacity": 80, "rows": 32},
    {"kind": "ewc", "strength": 100.0},
]
TASKS = {"first": [0, 1], "second": [2, 3], "third": [4, 5]}
SHORT_BYTES = 4096


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("peers"))
    yield processes
    processes.close()


@pytest.fixture
def actors(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actors]:
    actors = Actors(processes, monkeypatch)
    yield actors
    actors.leave()


def bench(directory: Path, workers: int, recruit: Callable[..., Any] | None = None) -> Bench:
    learner = LearnerSettings(min_steps=20, workers=workers, device="cpu")
    return Bench(directory, recruit, strategies=REPLAY_AND_EWC, learner=learner)


def teach(subject: Bench, task: str) -> None:
    """Feeds a task in three parts and ends it."""
    events = digit_events(TASKS[task], task)
    for part in range(3):
        subject.feed(events[part::3])
        subject.drain()
    subject.trainer.close_task(task)


def checkpoint(subject: Bench) -> dict[str, Tensor]:
    """Ends the trainer; all tensors that it leaves: network, optimiser, Fisher information, what its buffer keeps."""
    subject.trainer.end()
    newest = max((subject.config.directory / "trainer" / "checkpoints").glob("*.safetensors"))
    return {name: each for name, each in load_file(newest).items() if name not in ("boundary", "document")}


def assert_same(led: Bench, alone: Bench) -> None:
    assert led.status.matrix == alone.status.matrix
    assert led.status.ledger == alone.status.ledger
    one, other = checkpoint(led), checkpoint(alone)
    assert one.keys() == other.keys()
    assert any(name.endswith(".ids") and len(each) == 80 for name, each in one.items())
    for name, each in one.items():
        exactly = {} if each.is_floating_point() else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(each, other[name], **(exactly or {"rtol": 1e-3, "atol": 1e-5}), msg=name)


def test_a_leader_and_its_crew_come_to_what_one_process_comes_to_through_a_restart(
    tmp_path: Path, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    led, alone = bench(tmp_path / "led", 3, actors.recruit), bench(tmp_path / "alone", 1)
    for task in ("first", "second"):
        for subject in (led, alone):
            teach(subject, task)
    assert (led.status.workers, alone.status.workers) == (3, 1)
    assert_same(led, alone)

    monkeypatch.setattr(telling, "PIECE_BYTES", SHORT_BYTES)
    actors.put_bytes.clear()
    led.reopen()
    assert sum(actors.put_bytes) > 80 * 64 * 4  # the whole buffer, each row of 64 float32
    alone.reopen()
    for subject in (led, alone):
        teach(subject, "third")
    assert max(actors.put_bytes) == SHORT_BYTES
    assert_same(led, alone)


def test_what_is_told_comes_as_it_was_and_in_pieces() -> None:
    rows = Batch(torch.arange(300), torch.rand(300, 128, 128), torch.arange(300), torch.zeros(300, dtype=torch.int64))
    weighed = Batch(rows.ids, rows.inputs[:, 0] > 0.5, rows.targets, rows.tasks, torch.rand(300), appended=7)
    arguments = ({"theta": torch.rand(5)}, {"seed": 2**62, "names": [None, "a"]}, [rows, weighed], [Column("0", "b")])
    pieces = in_pieces(arguments)
    assert len(pieces) == 3
    assert max(map(len, pieces)) == PIECE_BYTES
    tensors, document, (whole, marked), columns = put_together(b"".join(pieces))
    assert torch.equal(tensors["theta"], arguments[0]["theta"])
    assert (document, columns) == (arguments[1], arguments[3])
    for told, meant in ((whole, rows), (marked, weighed)):
        assert told.appended == meant.appended
        assert told.parts.keys() == meant.parts.keys()
        assert all(torch.equal(part, meant.parts[name]) for name, part in told.parts.items())
