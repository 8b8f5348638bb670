"""What people see of benchmarks in a terminal: nothing is cut, the next step is said, and so is what was kept."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from lifelong.bench.printed import Comparison
from lifelong.bench.reference import resumable
from lifelong.bench.results import MEASURES, Found, found, run_of
from lifelong.bench.sources import open_source
from lifelong.bench.study import Method, Outcome
from lifelong.errors import MissingDataSet

pytestmark = pytest.mark.unit


def learned(name: str, n_seeds: int) -> Found:
    outcome = Outcome(["a", "b"], [[1.0, None], [0.75, 0.5]], [0.5, 0.25], [], 100, 2.0)
    return found(Method(name), [run_of(outcome, seed, is_joint=False, joint=[1.0, 1.0]) for seed in range(n_seeds)])


def printed(shown: RenderableType, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(shown, highlight=False)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_few_methods_are_columns() -> None:
    lines = printed(Comparison([learned("replay", 1), learned("ewc", 1)], "in %"), 80).splitlines()
    assert "replay" in lines[1]
    assert "ewc" in lines[1]
    assert len(lines) == 4 + len(MEASURES)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_methods_that_have_no_room_beside_each_other_are_rows_and_nothing_is_cut(n_seeds: int) -> None:
    names = ["fine-tuning", "replay + ewc", "replay (capacity 500)", "derpp (alpha 0.1, beta 0.5)", "cumulative", "lwf"]
    said = printed(Comparison([learned(name, n_seeds) for name in names], "in %"), 80)
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80
    words = said.split()
    assert all(word in words for name in names for word in name.split())
    heads = {"forward", "intransi-", "learning-", "curve", "area", "worst-", "stability"}
    assert heads < set(words)
    shown = "62.5 ± 0.0" if n_seeds > 1 else "62.5"
    assert said.count(shown) == 2 * len(names), "average and worst-case accuracy"


def test_one_seed_of_all_measures_does_in_two_tables_of_80_columns() -> None:
    names = ["fine-tuning", "replay + ewc", "replay (capacity 500)", "derpp (alpha 0.1, beta 0.5)", "cumulative", "lwf"]
    assert printed(Comparison([learned(name, 1) for name in names], "after all tasks, in %"), 80).count("┏") == 2


def test_where_mnist_cannot_be_had_the_digits_are_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(MissingDataSet, match="--data digits") as caught:
        open_source("mnist", {"XDG_CACHE_HOME": str(tmp_path)})
    assert caught.value.code == "missing_data_set"


def test_an_interrupted_table_says_that_finished_runs_are_kept() -> None:
    console = Console(file=StringIO(), width=80)
    with pytest.raises(KeyboardInterrupt), resumable(Path("runs.jsonl"), console):
        raise KeyboardInterrupt
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "runs.jsonl" in said
    assert "same command goes on" in said
