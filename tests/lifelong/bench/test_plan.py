"""Named data sets, methods and plans: what they become, and what is refused before any work."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import InvalidConfiguration
from contracts.inputs import ImageInput, TensorInput, TextInput
from lifelong.bench.experiment import Experiment
from lifelong.bench.methods import methods, parse_method
from lifelong.bench.orders import Order, Tasks
from lifelong.bench.plan import StreamPlan, learner_for, network_for
from lifelong.bench.sources import Source, open_source
from lifelong.bench.study import Protocol, plain_learner
from lifelong.errors import BadFile, MissingDataSet
from networks.settings import ConvSpec, MlpSpec, TextSpec
from trainer.learner import PRECISIONS
from trainer.optimiser import OPTIMISERS

pytestmark = pytest.mark.unit
DOMAINS = {"bank_account": ["pay", "save"], "travel": ["fly", "drive"]}


@pytest.fixture(scope="module")
def digits() -> Source:
    return open_source("digits")


@pytest.fixture
def intents(tmp_path: Path) -> Source:
    return open_source("clinc150", put_intents(tmp_path, DOMAINS))


def put_intents(directory: Path, domains: Any) -> dict[str, str]:
    (directory / "clinc150").mkdir()
    rows = [[f"please {intent}", intent] for intents in DOMAINS.values() for intent in intents]
    (directory / "clinc150" / "data_full.json").write_text(json.dumps({"train": rows * 2, "test": rows}))
    (directory / "clinc150" / "domains.json").write_text(json.dumps(domains))
    return {"LIFELONG_DATA_DIR": str(directory)}


def test_digits_are_bytes_with_their_names(digits: Source) -> None:
    assert digits.arrays.spec == ImageInput(shape=(8, 8))
    assert list(digits.arrays.names) == [str(digit) for digit in range(10)]


def test_intents_come_domain_by_domain(intents: Source) -> None:
    assert list(intents.arrays.names) == ["pay", "save", "fly", "drive"]
    assert intents.arrays.train_labels.tolist() == [0, 1, 2, 3] * 2
    assert StreamPlan().task_sizes(intents) == [2, 2]
    assert StreamPlan().titles(intents) == ["bank account", "travel"]
    plan = StreamPlan(classes_per_task=2)
    assert plan.titles(intents, plan.parts(intents, [0, 2, 1, 3])) == ["pay, fly", "save, drive"]


def test_intents_that_are_not_there_or_altered_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataSet, match=r"data_full\.json"):
        open_source("clinc150", {"LIFELONG_DATA_DIR": str(tmp_path)})
    with pytest.raises(BadFile, match=r"data_full\.json: train\[0\]: expected .* an intent of domains\.json"):
        open_source("clinc150", put_intents(tmp_path, {"travel": ["fly"]}))


QUERY = r"expected \[text, intent\], a text of 1 to \d+ characters and an intent of domains\.json"


@pytest.mark.parametrize(
    ("path", "damaged", "said"),
    [
        (["train", 3], ["", "fly"], rf"data_full\.json: train\[3\]: {QUERY}"),
        (["train", 3], [" \n", "fly"], rf"data_full\.json: train\[3\]: {QUERY}"),
        (["train", 3], ["\ud800", "fly"], rf"data_full\.json: train\[3\]: {QUERY}"),
        (["test", 1], [7, "fly"], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], ["go", ["fly"]], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], ["go", "swim"], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], ["go"], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], "go", rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], None, rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test"], {"go": "fly"}, r"data_full\.json: test: expected a list of queries"),
        (["test"], None, r"data_full\.json: test: expected a list of queries"),
        (
            ["test", 1],
            ["go", "pay"],
            r"data_full\.json: test: expected a query of each intent, domains\.json: bank_.*\[1\]",
        ),
        ([], [], r"data_full\.json: train: expected a list of queries"),
    ],
)
def test_a_damaged_query_is_one_line_with_file_and_entry(
    tmp_path: Path, path: list[Any], damaged: Any, said: str
) -> None:
    environment = put_intents(tmp_path, DOMAINS)
    file = tmp_path / "clinc150" / "data_full.json"
    content = {"all": json.loads(file.read_text())}
    holder: Any = content
    *before, last = ["all", *path]
    for step in before:
        holder = holder[step]
    holder[last] = damaged
    file.write_text(json.dumps(content["all"]))
    with pytest.raises(BadFile, match=said) as caught:
        open_source("clinc150", environment)
    assert caught.value.code == "bad_data_set"
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        ([], "expected domains with their intents"),
        ({}, "expected domains with their intents"),
        ({"travel": "fly"}, r"travel: expected a list of intents"),
        ({"travel": []}, r"travel: expected a list of intents"),
        ({"travel": ["fly", 3]}, r"travel: expected a list of intents"),
        ({"bank": ["pay", "save"], "travel": ["fly", "pay"]}, r"travel\[1\]: expected an intent of no other domain"),
        ({"bank": ["pay", "save", "drive"], "travel": ["fly"]}, r"travel: expected 3 intents, as bank has"),
    ],
)
def test_damaged_domains_are_one_line_with_their_place(tmp_path: Path, domains: Any, said: str) -> None:
    with pytest.raises(BadFile, match=rf"domains\.json: {said}"):
        open_source("clinc150", put_intents(tmp_path, domains))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\xff", b"[" * 100_000])
def test_a_file_of_queries_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    environment = put_intents(tmp_path, DOMAINS)
    (tmp_path / "clinc150" / "data_full.json").write_bytes(content)
    with pytest.raises(BadFile, match=r"data_full\.json: not JSON"):
        open_source("clinc150", environment)


def test_an_unknown_data_set_is_answered_with_those_known() -> None:
    with pytest.raises(MissingDataSet, match="mnist, digits, clinc150"):
        open_source("mnits")


def test_a_method_is_named_by_its_kinds_or_as_in_a_configuration() -> None:
    assert parse_method("replay+ewc").strategies == [{"kind": "replay"}, {"kind": "ewc"}]
    listed = parse_method("[{kind: replay, capacity: 50}, {kind: ewc}]")
    assert listed.strategies == [{"kind": "replay", "capacity": 50}, {"kind": "ewc"}]
    assert listed.name == "replay (capacity 50) + ewc"
    assert parse_method('{"kind": "l2"}').name == "l2"


def test_bounds_stand_around_the_methods() -> None:
    chosen = methods(["replay", "joint"], with_bounds=True)
    assert [each.name for each in chosen] == ["fine-tuning", "replay", "joint"]
    assert [each.is_joint for each in chosen] == [False, False, True]
    assert [each.name for each in methods(["replay"], with_bounds=False)] == ["replay"]
    assert methods([], with_bounds=True)[1].name == "replay + ewc"


def test_cumulative_training_needs_no_strategy() -> None:
    (method,) = methods(["cumulative"], with_bounds=False)
    assert method.is_cumulative
    assert not method.strategies


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("replay+ewk", "did you mean: ewc"),
        ("[{kind: replay, capacity: 0}]", "strategies.0.capacity"),
        ("[{kind: replay, capcity: 3}]", "did you mean: capacity"),
        ("[replay", "not valid YAML"),
        ("[replay]", "a list of strategies"),
        ("[{capacity: 3}]", r"strategies\.0\.kind"),
    ],
)
def test_a_method_that_is_none(text: str, said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        parse_method(text)


def test_a_method_named_twice_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="named twice"):
        methods(["replay", "replay"], with_bounds=True)


@pytest.mark.parametrize(
    ("plan", "sizes", "titles"),
    [
        (StreamPlan(), [2] * 5, ["0, 1", "2, 3", "4, 5", "6, 7", "8, 9"]),
        (StreamPlan(tasks=2), [5, 5], ["0 … 4", "5 … 9"]),
        (StreamPlan(tasks=3), [4, 3, 3], ["0 … 3", "4, 5, 6", "7, 8, 9"]),
        (StreamPlan(tasks=10), [1] * 10, [str(digit) for digit in range(10)]),
        (StreamPlan(tasks=3, classes_per_task=2), [2] * 3, ["0, 1", "2, 3", "4, 5"]),
        (StreamPlan("rotated", "domain", tasks=3), [10] * 3, ["0°", "60°", "120°"]),
        (StreamPlan("permuted", "domain", tasks=2), [10] * 2, ["as it is", "order 2"]),
    ],
)
def test_a_plan_is_a_stream(digits: Source, plan: StreamPlan, sizes: list[int], titles: list[str]) -> None:
    assert plan.task_sizes(digits) == sizes
    assert plan.titles(digits) == titles
    assert len(plan.stream(digits).experiences) == len(sizes)


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_every_class_is_learned_where_tasks_have_unequally_many(digits: Source, scenario: Any) -> None:
    plan = StreamPlan("split", scenario, tasks=3)
    stream = plan.stream(digits, plan.parts(digits, range(9, -1, -1)))
    assert sum(len(each.train.targets) for each in stream.experiences) == len(digits.arrays.train_labels)
    places = [sorted(set(each.test.targets.tolist())) for each in stream.experiences]
    if scenario == "domain":
        assert places == [[0, 1, 2, 3], [0, 1, 2], [0, 1, 2]]
        assert [column.label for column in stream.columns] == ["0", "1", "2", "3"]
    else:
        assert places == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
        assert [column.label for column in stream.columns] == [str(digit) for digit in range(9, -1, -1)]


def test_two_classes_a_task_are_usual_and_an_odd_one_is_not_left_out(digits: Source) -> None:
    three = replace(digits.arrays, names=["0", "1", "2"])
    assert StreamPlan().task_sizes(Source(three)) == [2, 1]
    assert StreamPlan(scenario="task").task_sizes(Source(three)) == [3]


def test_tasks_of_unequally_many_classes_stay_themselves_in_another_order(digits: Source) -> None:
    plan = StreamPlan(tasks=3)
    tasks = Tasks(plan.parts(digits), [0.3, 0.2, 0.1], np.eye(3).tolist())
    parts = tasks.parts(Order("reversed", [2, 1, 0]))
    assert parts == [[7, 8, 9], [4, 5, 6], [0, 1, 2, 3]]
    assert plan.titles(digits, parts) == ["7, 8, 9", "4, 5, 6", "0 … 3"]
    assert plan.stream(digits, parts).columns_of(0) == 3


@pytest.mark.parametrize(
    ("plan", "epochs", "notes"),
    [
        (StreamPlan(), 17, []),
        (StreamPlan(tasks=3), 40, ["10 classes in 3 tasks: they have 4, 3, 3"]),
        (StreamPlan(tasks=2, classes_per_task=4), 40, ["2 tasks of 4 classes: 2 of 10 are not learned"]),
        (StreamPlan("permuted", "domain"), 5, []),
    ],
)
def test_what_may_surprise_in_a_plan_is_said(digits: Source, plan: StreamPlan, epochs: int, notes: list[str]) -> None:
    experiment = Experiment(digits, plan, Protocol(MlpSpec(), plain_learner(), epochs))
    assert experiment.notes == notes
    assert experiment.document()["notes"] == notes


@pytest.mark.parametrize(
    ("plan", "epochs", "settings", "said"),
    [
        (
            StreamPlan(),
            1,
            {},
            r"5 of 5 tasks take fewer than 50 steps, the shortest 3: .* --epochs 17, .*batch_size",
        ),
        (StreamPlan(), 2, {"batch_size": 8}, None),
        (StreamPlan(), 1, {"batch_size": 6}, r"5 of 5 tasks .* the shortest 4[0-9]: .* --epochs 2, "),
        (StreamPlan("rotated", "domain"), 4, {}, r"5 of 5 tasks .* the shortest 48: .* --epochs 5, "),
    ],
)
def test_tasks_that_take_too_few_steps_are_said_with_the_options_that_change_it(
    digits: Source, plan: StreamPlan, epochs: int, settings: dict[str, Any], said: str | None
) -> None:
    notes = Experiment(digits, plan, Protocol(MlpSpec(), plain_learner(**settings), epochs)).notes
    assert len(notes) == (said is not None)
    assert re.search(said or "", "".join(notes))


def test_the_steps_that_are_said_are_those_that_are_taken(digits: Source) -> None:
    experiment = Experiment(digits, StreamPlan(tasks=2), Protocol(MlpSpec(hidden=[4]), plain_learner(), 2))
    run = experiment.run_one(parse_method("fine-tuning"), seed=0)
    ends = [max(point.step for point in run.curve if point.place == place) for place in range(2)]
    assert f"the shortest {min(ends[0], ends[1] - ends[0])}:" in experiment.notes[0]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (StreamPlan(classes_per_task=3), "--classes-per-task 3: 10 classes can be shared out 1, 2, 5, 10 a task"),
        (StreamPlan(classes_per_task=20), "--classes-per-task 20: 10 classes can be shared out 1, 2, 5, 10 a task"),
        (StreamPlan(tasks=6, classes_per_task=2), "--classes-per-task 2: expected 1 at most for 6 tasks of 10 classes"),
        (StreamPlan(tasks=11), "11 tasks: expected 10 at most: there are 10 classes, and a task needs 1"),
        (StreamPlan(tasks=11, classes_per_task=1), "11 tasks: expected 10 at most"),
        (StreamPlan(scenario="task", tasks=6), "6 tasks: expected 5 at most: there are 10 classes, and a task needs 2"),
        (StreamPlan(scenario="domain", classes_per_task=1), "at least two classes"),
        (StreamPlan("rotated", "domain", classes_per_task=2), "has all classes"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(digits: Source, plan: StreamPlan, said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        plan.stream(digits)


@pytest.mark.parametrize(("kind", "said"), [("permuted", "cannot be permuted"), ("rotated", "only images")])
def test_texts_are_neither_permuted_nor_turned(intents: Source, kind: Any, said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        StreamPlan(kind, "domain").stream(intents)


def test_the_network_suits_the_instances_unless_it_is_named() -> None:
    assert isinstance(network_for(None, TextInput()), TextSpec)
    assert isinstance(network_for(None, ImageInput(shape=(8, 8))), MlpSpec)
    assert isinstance(network_for("conv", ImageInput(shape=(8, 8))), ConvSpec)
    assert network_for("{kind: mlp, hidden: [30]}", TensorInput(shape=(3,))) == MlpSpec(hidden=[30])


@pytest.mark.parametrize("text", ["mpl", "[1", "3", "{kind: mlp, hiden: [3]}", "{kind: mlp, hidden: [0]}", "text"])
def test_a_network_that_is_none_or_cannot_read_the_instances(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="network"):
        network_for(text, TensorInput(shape=(3,)))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("{batchsize: 8}", r"--learner: expected one of batch_size, .*did you mean batch_size\?"),
        ("{optimiser: adamw}", "--learner: optimiser: Input should be 'adam', 'sgd' or 'adagrad'"),
        ("{batch_size: 0}", "--learner: batch_size: Input should be greater than 0"),
        ("sgd", "--learner: must be settings such as"),
        ("{", "--learner: line 1: not valid YAML"),
    ],
)
def test_a_learner_that_cannot_be_is_refused_by_what_is_wrong(value: str, complaint: str) -> None:
    with pytest.raises(InvalidConfiguration, match=complaint):
        learner_for(value)


def test_every_optimiser_and_precision_can_be_asked_for() -> None:
    for optimiser in OPTIMISERS:
        for precision in PRECISIONS:
            chosen = learner_for(f"{{optimiser: {optimiser}, precision: {precision}}}")
            assert (chosen.optimiser, chosen.precision, chosen.min_steps) == (optimiser, precision, 0)


@pytest.mark.parametrize(
    "text", ["2024-13-45", "{batch_size: 2024-13-45}", "[" * 3000, "{batch_size: 8, batch_size: 9}"]
)
def test_what_yaml_stumbles_over_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="--learner"):
        learner_for(text)


def test_a_strength_that_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match=r"strategies\.0\.strength: must be 1e\+30 at most"):
        parse_method("{kind: ewc, strength: 1.0e+300}")


@pytest.mark.parametrize("strategy", ["separate", "icarl"])
def test_a_method_that_cannot_learn_a_stream_is_refused_before_any_work(digits: Source, strategy: str) -> None:
    experiment = Experiment(digits, StreamPlan(scenario="domain"), Protocol(MlpSpec(), plain_learner()))
    with pytest.raises(InvalidConfiguration, match=strategy):
        experiment.check(parse_method(strategy))


def test_idx_files_of_different_sizes_are_refused(tmp_path: Path) -> None:
    for part, side in (("train", 8), ("t10k", 4)):
        images = bytes([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, side, 0, 0, 0, side]) + bytes(4 * side * side)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1]))
    with pytest.raises(BadFile, match="different sizes"):
        open_source(str(tmp_path / "train-images-idx3-ubyte"))
