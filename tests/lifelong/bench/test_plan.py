"""Named data sets, methods and plans: what they become, and what is refused before any work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts.errors import InvalidConfiguration
from contracts.inputs import ImageInput, TensorInput, TextInput
from lifelong.bench.experiment import Experiment
from lifelong.bench.methods import methods, parse_method
from lifelong.bench.orders import Order, Tasks
from lifelong.bench.plan import StreamPlan, learner_for, network_for
from lifelong.bench.sources import Source, open_source
from lifelong.bench.stream import Arrays
from lifelong.bench.study import Protocol, plain_learner
from lifelong.errors import BadFile, MissingDataSet
from networks.settings import ConvSpec, MlpSpec, TextSpec
from trainer.learner import PRECISIONS
from trainer.optimiser import OPTIMISERS

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def digits() -> Source:
    return open_source("digits")


@pytest.fixture
def intents() -> Source:
    labels, spec = np.arange(4), TextInput()
    rows = torch.from_numpy(spec.encode(["a word"] * 4))
    arrays = Arrays("intents", spec, ["pay", "save", "fly", "drive"], rows, labels, rows, labels)
    return Source(arrays, groups=("bank_account", "travel"))


def test_digits_are_bytes_with_their_names(digits: Source) -> None:
    assert digits.arrays.spec == ImageInput(shape=(8, 8))
    assert list(digits.arrays.names) == [str(digit) for digit in range(10)]


def test_labels_in_groups_are_a_task_a_group(intents: Source) -> None:
    assert StreamPlan().task_sizes(intents) == [2, 2]
    assert StreamPlan().titles(intents) == ["bank account", "travel"]
    plan = StreamPlan(classes_per_task=2)
    assert plan.titles(intents, plan.parts(intents, [0, 2, 1, 3])) == ["pay, fly", "save, drive"]


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
    ("plan", "said"),
    [
        (StreamPlan(classes_per_task=3), "--classes-per-task 3: 10 classes can be shared out 1, 2, 5, 10 a task"),
        (StreamPlan(classes_per_task=20), "--classes-per-task 20: 10 classes can be shared out 1, 2, 5, 10 a task"),
        (
            StreamPlan(scenario="domain", classes_per_task=3),
            "--classes-per-task 3: 10 classes can be shared out 2, 5, 10 a task",
        ),
        (StreamPlan(scenario="task", classes_per_task=20), "10 classes can be shared out 2, 5, 10 a task"),
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


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
@pytest.mark.parametrize("settings", [{}, {"tasks": 2}, {"classes_per_task": 1}, {"kind": "rotated"}])
def test_a_single_class_is_no_stream(digits: Source, scenario: Any, settings: dict[str, Any]) -> None:
    single = Source(replace(digits.arrays, names=["0"]))
    with pytest.raises(InvalidConfiguration, match=r"a stream needs at least two classes: .* has 1"):
        StreamPlan(scenario=scenario, **settings).task_sizes(single)


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
