"""Rerunning a published table: verdicts, what is stored, what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from contracts.errors import InvalidConfiguration
from contracts.labels import Scenario
from lifelong.bench import reference
from lifelong.bench.reference import Run, choose, document, markdown, rerun
from lifelong.bench.runs import Results
from lifelong.bench.sources import images
from lifelong.bench.stream import Arrays, Stream, split
from lifelong.bench.study import Method, Outcome, Protocol, Study, plain_learner
from lifelong.bench.table import Cell, Entry, Table, Target, published
from lifelong.bench.tables import avalanche, derpp, hsu, vandeven, vandeven_permuted
from lifelong.data import small_digits
from lifelong.errors import BadFile
from networks.settings import MlpSpec

pytestmark = pytest.mark.unit
QUIET = Console(quiet=True)
DIGITS: Arrays = images(small_digits())


def stream(scenario: Scenario, seed: int) -> Stream:
    return split(DIGITS, 2, scenario)


TABLE = Table(
    name="small",
    source="nobody",
    note="",
    protocols={name: Protocol(MlpSpec(hidden=[16]), plain_learner(batch_size=64)) for name in ("task", "class")},
    stream=stream,
    entries=[
        Entry("plain", {"task": Method("plain"), "class": Method("plain")}, {"class": Target(19.0, 3.0)}),
        Entry("joint", {"class": Method("joint", is_joint=True)}),
    ],
    seeds=2,
)


@pytest.mark.parametrize(
    ("got", "verdict"), [([18.0, 22.0], "within"), ([23.5], "better"), ([16.9], "below"), ([17.1], "within")]
)
def test_a_verdict_compares_the_mean_with_the_band(got: list[float], verdict: str) -> None:
    entry = Entry("plain", {"class": Method("plain")}, {"class": Target(20.0, 3.0)})
    assert Cell(entry, "class", got, [1.0]).verdict == verdict
    assert Cell(Entry("plain", {}), "class", got, [1.0]).verdict == "no target"


def test_a_band_is_never_smaller_than_what_tables_print() -> None:
    entry = Entry("plain", {}, {"class": Target(20.0, 0.0)})
    assert Cell(entry, "class", [19.91], [1.0]).verdict == "within"


def test_the_band_of_a_mean_of_few_runs_is_wider() -> None:
    entry = Entry("plain", {}, {"class": Target(20.0, 1.0, runs=20)})
    assert [Cell(entry, "class", [22.5] * runs, [1.0]).verdict for runs in (1, 3, 4, 20)] == [
        "within",
        "within",
        "better",
        "better",
    ]
    assert Cell(entry, "class", [20.0] * 5, [1.0]).band == pytest.approx(2.0)
    cells = [Cell(entry, "class", [20.0] * 5, [1.0])]
    assert document(TABLE, cells)["cells"][0]["band"] == pytest.approx(2.0)
    assert "| 20.00 | ± 2.00 | 20.00 ± 0.00 (5) | within |" in markdown(TABLE, cells)


def test_a_published_row_is_read_scenario_by_scenario() -> None:
    strategy = {"kind": "ewc", "strength": [1.0, 2.0, 3.0], "decay": 0.5}
    entry = published("EWC", "98±1 - 20.5±0.1", strategy, target=lambda mean, spread: Target(mean, 3 * spread))
    assert entry.targets == {"task": Target(98.0, 3.0), "class": Target(20.5, pytest.approx(0.3))}
    assert [method.strategies[0]["strength"] for method in entry.methods.values()] == [1.0, 3.0]
    assert entry.methods["class"].strategies[0]["decay"] == 0.5


def test_runs_are_stored_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, jobs = tmp_path / "runs.jsonl", choose(TABLE, ["plain"], ["class"], None)
    first = rerun(jobs, Results(path, Run), QUIET)
    assert len(path.read_bytes().splitlines()) == 2
    monkeypatch.setattr(reference, "Study", None)
    again = rerun(jobs, Results(path, Run), QUIET)
    assert document(TABLE, again) == document(TABLE, first)
    assert first[0].accuracies[0] == pytest.approx(100 * study_of("class").average_accuracy)


def study_of(scenario: Scenario) -> Outcome:
    torch.set_num_threads(1)
    return Study(stream(scenario, 0), TABLE.protocols[scenario], Method("plain"), 0).run()


def test_a_run_under_other_settings_is_another_run() -> None:
    (job,) = choose(TABLE, ["joint"], [], 1)
    other = Entry("joint", {"class": Method("joint", is_joint=True, learner={"learning_rate": 0.1})})
    assert job.key == choose(TABLE, ["joint"], [], 1)[0].key
    assert job.key != job._replace(entry=other).key
    assert job.key != job._replace(seed=1).key


@pytest.mark.parametrize(
    ("place", "value"), [("torch.__version__", "0.1"), ("lifelong.bench.runs.version", lambda _: "0.0.1")]
)
def test_a_run_of_another_version_is_another_run(monkeypatch: pytest.MonkeyPatch, place: str, value: object) -> None:
    (job,) = choose(TABLE, ["joint"], [], 1)
    before = job.key
    monkeypatch.setattr(place, value)
    assert job.key != before


def test_a_row_that_was_not_measured_in_a_scenario_says_where_it_was() -> None:
    with pytest.raises(InvalidConfiguration, match=r"--scenario: task: small has joint \(class\)") as caught:
        choose(TABLE, ["joint"], ["task"], 1)
    assert caught.value.code == "unknown_cell"
    assert len(choose(TABLE, ["joint", "plain"], ["task"], 1)) == 1


def test_a_row_may_have_a_protocol_of_its_own() -> None:
    (job,) = choose(TABLE, ["joint"], [], 1)
    own = Protocol(MlpSpec(hidden=[8]), plain_learner(batch_size=32))
    other = job._replace(entry=replace(job.entry, protocol=own))
    assert (job.protocol, other.protocol) == (TABLE.protocols["class"], own)
    assert job.key != other.key


@pytest.mark.parametrize(("methods", "scenarios"), [(["plian"], []), ([], ["klass"])])
def test_an_unknown_row_or_scenario_names_the_nearest(methods: list[str], scenarios: list[str]) -> None:
    with pytest.raises(InvalidConfiguration, match=r"did you mean (plain|class)\?"):
        choose(TABLE, methods, scenarios, 1)


@pytest.mark.parametrize(
    "table",
    [hsu.TABLE, vandeven.TABLE, vandeven_permuted.TABLE, avalanche.TABLE, derpp.TABLE],
    ids=lambda table: table.name,
)
def test_every_published_row_can_be_built(table: Table) -> None:
    from trainer.catalogue import load

    for entry in table.entries:
        assert set(entry.targets) <= set(entry.methods)
        for scenario, method in entry.methods.items():
            load(method.strategies, 0, scenario)


def test_a_line_that_a_kill_cut_off_is_made_again_and_takes_no_other_with_it(tmp_path: Path) -> None:
    (job,) = choose(TABLE, ["joint"], [], 1)
    path = tmp_path / "runs"
    rerun([job], Results(path, Run), Console(quiet=True))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert Results(path, Run).find(job.key) is None
    rerun([job], Results(path, Run), Console(quiet=True))
    rerun([job], Results(path, Run), Console(quiet=True))
    assert path.read_bytes().count(b"\n") == 2
    assert Results(path, Run).find(job.key) is not None


@pytest.mark.parametrize("line", [b"my notes", b"5", b'{"key": "1", "method": "of another command"}', b"\xff\xfe"])
def test_a_file_of_something_else_is_refused_by_its_line_and_left_as_it_is(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "runs"
    path.write_bytes(b"\n" + line)
    with pytest.raises(BadFile, match="line 2 is no run of this command"):
        Results(path, Run)
    assert path.read_bytes() == b"\n" + line


def test_results_that_cannot_be_written_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="--results"):
        Results(tmp_path, Run)
