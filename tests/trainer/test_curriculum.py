"""Which order a backlog gets, from what a copy of the network makes of its tasks."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from contracts.inputs import TensorInput
from contracts.labels import Column, LabelSpec
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from trainer.batch import Batch
from trainer.curriculum import MOST_TASKS, Curriculum
from trainer.decoding import decoded
from trainer.examples import Split, StoredExample
from trainer.learner import Learner
from trainer.policies import CurriculumKind
from trainer.settings import LearnerSettings
from trainer.strategy import Naive
from trainer.task_orders import MEASURED_ROWS, mean_features, measured

pytestmark = pytest.mark.unit
torch.set_num_threads(1)
SPEC = TensorInput(shape=(4,))
SETTINGS = LearnerSettings(learning_rate=0.01)


def untrained() -> Network:
    return build(MlpSpec(hidden=[16]), SPEC, [], seed=0)


def curriculum(kind: CurriculumKind, begun: Sequence[str] = (), copy: Callable[[], Network] = untrained) -> Curriculum:
    return Curriculum(kind, SPEC, LabelSpec(), SETTINGS, lambda: begun, copy)


def cloud(task: str, distance: float, rows: int = 80, centre: float = 0.0) -> list[StoredExample]:
    """Rows of two labels of a task, so far apart from each other; one in eight is a probe. Numbered from 0."""
    random = np.random.default_rng(0)
    examples = []
    for number in range(rows):
        place = number % 2
        split: Split = "probe" if number % 8 == 0 else "train"
        instance = (random.normal(size=4) + centre + distance * place).astype(np.float32).tobytes()
        examples.append(example(f"{task}{number}", task, f"{task}{place}", instance, split))
    return examples


def example(event_id: str, task: str, label: str, instance: bytes, split: Split) -> StoredExample:
    return StoredExample(0, event_id, b"", split, task, label, None, 0.0, instance)


def log_of(*tasks: Sequence[StoredExample]) -> list[StoredExample]:
    """The tasks one after the other, numbered from 11 on."""
    return [each._replace(sequence=number) for number, each in enumerate((e for task in tasks for e in task), 11)]


def order(parts: Sequence[Sequence[StoredExample]]) -> list[str]:
    """The task of each part, which holds no other."""
    assert all(len({each.task for each in part}) <= 1 for part in parts)
    return [part[0].task for part in parts if part]


def arranged(subject: Curriculum, examples: Sequence[StoredExample]) -> list[list[StoredExample]]:
    """The parts when every task is over."""
    return subject.arrange(examples, {each.task for each in examples})


BACKLOG = log_of(cloud("hard", 0.1), cloud("easy", 4.0), cloud("fair", 1.0))


def test_tasks_come_by_what_a_short_run_learns_of_them() -> None:
    assert order(arranged(curriculum("easy_first"), BACKLOG)) == ["easy", "fair", "hard"]
    assert order(arranged(curriculum("hard_first"), BACKLOG)) == ["hard", "fair", "easy"]


def test_of_a_long_task_only_the_rows_are_decoded_that_say_where_it_lies() -> None:
    long = cloud("long", 1.0, rows=8 * MEASURED_ROWS)
    training = [number for number, row in enumerate(long) if row.split == "train"]
    for number in set(training).difference(training[::7]):
        long[number] = long[number]._replace(instance=b"no numbers")
    assert order(arranged(curriculum("similar_next"), log_of(cloud("short", 4.0), long))) == ["short", "long"]


def test_a_long_task_lies_where_all_rows_that_are_measured_lie() -> None:
    rows, network = [row for row in cloud("long", 1.0, rows=3001) if row.split == "train"], untrained()
    whole = mean_features(network, decoded(rows, SPEC))
    assert mean_features(network, decoded(measured(rows), SPEC)).equal(whole)


def test_tasks_come_by_where_they_lie() -> None:
    tasks = log_of(cloud("a", 1.0), cloud("b", 1.0, centre=-9.0), cloud("c", 1.0, centre=1.0))
    assert order(arranged(curriculum("similar_next"), tasks)) == ["a", "c", "b"]
    assert order(arranged(curriculum("dissimilar_next"), tasks)) == ["a", "b", "c"]


def test_every_example_keeps_its_place_within_its_task_and_gets_the_next_number() -> None:
    parts = arranged(curriculum("easy_first"), BACKLOG)
    numbered = [each for part in parts for each in part]
    assert [each.sequence for each in numbered] == [each.sequence for each in BACKLOG]
    for task in ("easy", "fair", "hard"):
        before, after = ([each.event_id for each in rows if each.task == task] for rows in (BACKLOG, numbered))
        assert before == after


def test_tasks_that_were_begun_come_first_and_as_they_came() -> None:
    mixed = [each for pair in zip(cloud("old", 1.0), cloud("older", 1.0), strict=True) for each in pair]
    first, *rest = arranged(curriculum("easy_first", ["old", "older"]), log_of(BACKLOG, mixed))
    assert [each.event_id for each in first] == [each.event_id for each in mixed]
    assert order(rest) == ["easy", "fair", "hard"]


def test_a_single_new_task_has_no_order() -> None:
    mixed = log_of([each for pair in zip(cloud("old", 1.0), cloud("new", 1.0), strict=True) for each in pair])
    assert arranged(curriculum("easy_first", ["old"], refuse), mixed) == [mixed]


def test_a_task_of_probes_alone_is_not_measured() -> None:
    lone = example("lone", "unknown", "label", bytes(16), "probe")
    assert order(arranged(curriculum("easy_first"), log_of(BACKLOG, [lone]))) == ["unknown", "easy", "fair", "hard"]


def test_more_tasks_than_can_be_measured_stay_as_they_came() -> None:
    many = log_of(*(cloud(f"t{number}", 1.0, rows=2) for number in range(MOST_TASKS + 1)))
    assert arranged(curriculum("easy_first", copy=refuse), many) == [many]


def test_a_backlog_without_examples_is_nothing() -> None:
    assert arranged(curriculum("easy_first"), []) == [[]]


def test_what_the_network_has_learned_of_a_task_makes_it_easy() -> None:
    known, new = cloud("known", 0.8), cloud("new", 1.2)

    def taught() -> Network:
        network = build(MlpSpec(hidden=[16]), SPEC, [Column("known0"), Column("known1")], seed=0)
        targets = torch.tensor([network.columns.index(Column(row.label)) for row in known])
        rows = Batch(torch.arange(len(known)), decoded(known, SPEC), targets, torch.zeros_like(targets))
        Learner(network, Naive(), SETTINGS).train(rows, rows, steps=200, number=1)
        return network

    assert order(arranged(curriculum("easy_first"), log_of(known, new))) == ["new", "known"]
    assert order(arranged(curriculum("easy_first", copy=taught), log_of(known, new))) == ["known", "new"]


def refuse() -> Network:
    """A network that must not be asked for."""
    raise AssertionError("there is nothing to measure")


def test_a_task_that_is_not_over_is_learned_last_as_it_came() -> None:
    mixed = log_of(BACKLOG, [row for pair in zip(cloud("open", 3.0), cloud("too", 0.2), strict=True) for row in pair])
    *ordered, last = curriculum("easy_first").arrange(mixed, {"hard", "easy", "fair"})
    assert order(ordered) == ["easy", "fair", "hard"]
    assert [each.event_id for each in last] == [each.event_id for each in mixed[-160:]]
    assert curriculum("easy_first", copy=refuse).arrange(mixed, {"easy", "old"}) == [mixed]
