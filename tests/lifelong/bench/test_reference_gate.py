"""What the literature says of the families of methods holds here: on the 8×8 digits always, on MNIST where it is."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

from contracts.labels import Scenario
from lifelong.bench.reference import Run, choose, rerun
from lifelong.bench.runs import Results
from lifelong.bench.sources import images
from lifelong.bench.stream import split
from lifelong.bench.study import Method, Protocol, Study, plain_learner
from lifelong.bench.tables import hsu
from lifelong.data import DATA_DIR_VARIABLE, mnist_directory, small_digits
from networks.settings import MlpSpec

PROTOCOL = Protocol(MlpSpec(hidden=[100]), plain_learner(batch_size=32), epochs=10)
DIGITS = images(small_digits())
Claim = Callable[[Path], None]


def lies_between(scenario: Scenario, method: Method, lowest: float, highest: float, _: Path) -> None:
    """Average accuracy on the split digits."""
    torch.set_num_threads(1)
    outcome = Study(split(DIGITS, 2, scenario), PROTOCOL, method, seed=0).run()
    assert lowest <= outcome.average_accuracy <= highest


def is_as_published(name: str, scenario: Scenario, directory: Path) -> None:
    """One run of a cell of the table of Hsu et al."""
    (cell,) = rerun(choose(hsu.TABLE, [name], [scenario], 1), Results(directory / "runs", Run), Console(quiet=True))
    assert cell.verdict in {"within", "better"}, f"{cell.mean:.2f} against {cell.target}"


CLAIMS: dict[str, Claim] = {
    "fine-tuning forgets classes": partial(lies_between, "class", Method("fine-tuning"), 0.15, 0.25),
    "EWC alone does, too": partial(lies_between, "class", Method("EWC", [{"kind": "ewc"}]), 0.15, 0.30),
    "replay keeps them": partial(
        lies_between, "class", Method("replay", [{"kind": "replay", "capacity": 200, "rows": 32}]), 0.85, 1.0
    ),
    "joint training learns all": partial(lies_between, "class", Method("joint", is_joint=True), 0.92, 1.0),
    "SI keeps tasks": partial(lies_between, "task", Method("SI", [{"kind": "si"}]), 0.93, 1.0),
    "LwF keeps tasks": partial(lies_between, "task", Method("LwF", [{"kind": "lwf"}]), 0.95, 1.0),
    "separate models keep tasks": partial(lies_between, "task", Method("separate", [{"kind": "separate"}]), 0.95, 1.0),
}
DATA = {DATA_DIR_VARIABLE: os.environ.get(DATA_DIR_VARIABLE, "../shared/data")}
if mnist_directory(DATA):
    CLAIMS |= {
        "published: EWC, task": partial(is_as_published, "EWC", "task"),
        "published: SI, task": partial(is_as_published, "SI", "task"),
        "published: rehearsal, class": partial(is_as_published, "Naive rehearsal", "class"),
        "published: offline, class": partial(is_as_published, "Offline", "class"),
    }


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_what_is_known_of_the_methods_holds(claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_DIR_VARIABLE, DATA[DATA_DIR_VARIABLE])
    claim(tmp_path)
