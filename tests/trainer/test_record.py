"""The record is a tree: chains, rollbacks, and which examples count as undone."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from trainer.examples import StoredExample
from trainer.record import ROOT, Round
from trainer.stores import Stores

pytestmark = pytest.mark.unit


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores.open(tmp_path, "test")


def record_round(stores: Stores, sequence: int) -> int:
    """Stores one example and the round that trains it, on top of the present tip."""
    number = stores.record.next_number()
    example = StoredExample(sequence, f"e{sequence}", b"", "train", "task", "label", None, 0.0, b"")
    with stores.database.transaction():
        stores.examples.add([example], number)
        stores.record.append(
            [Round(number=number, parent=stores.record.tip, first_sequence=sequence, last_sequence=sequence, steps=1)]
        )
    return number


def sequences(stores: Stores) -> list[int]:
    return [example.sequence for example in stores.examples.between(1, 100, "train")]


def test_what_is_taken_out_of_the_record_was_never_there(stores: Stores) -> None:
    first, second, third = [record_round(stores, sequence) for sequence in (1, 2, 3)]
    with stores.database.transaction():
        stores.record.move_tip(first)
    fourth = record_round(stores, 4)
    assert stores.record.since([second]) == {second, third}
    assert stores.record.since([first]) == {first, second, third, fourth}
    longer = replace(stores.record.step(third), steps=7)
    with stores.database.transaction():
        stores.record.revise({first: None, third: longer, fourth: None})
    assert [(step.number, step.parent) for step in stores.record.chain(third)] == [(third, second), (second, ROOT)]
    assert stores.record.step(third) == longer
    assert stores.record.way(third) == [third, second]
    assert stores.record.tip == ROOT
    assert stores.record.next_number() == fourth + 1


def test_a_chain_goes_back_to_the_root(stores: Stores) -> None:
    numbers = [record_round(stores, sequence) for sequence in (1, 2, 3)]
    assert [step.number for step in stores.record.chain(numbers[-1])] == numbers[::-1]
    assert list(stores.record.chain(ROOT)) == []


def test_moving_the_tip_undoes_what_came_after_it(stores: Stores) -> None:
    first, _, _ = (record_round(stores, sequence) for sequence in (1, 2, 3))
    stores.record.move_tip(first)
    assert sequences(stores) == [1]
    branch = record_round(stores, 4)
    assert sequences(stores) == [1, 4]
    assert [step.number for step in stores.record.chain(branch)] == [branch, first]


def test_numbers_are_never_used_twice(stores: Stores) -> None:
    first, second = record_round(stores, 1), record_round(stores, 2)
    stores.record.move_tip(first)
    assert record_round(stores, 3) > second


def test_moving_the_tip_touches_nothing_but_what_it_undoes(stores: Stores) -> None:
    *_, last = [record_round(stores, sequence) for sequence in range(1, 101)]
    before = stores.database.connection.total_changes()
    stores.record.move_tip(last - 1)
    assert stores.database.connection.total_changes() - before == 2
    plan = "EXPLAIN QUERY PLAN UPDATE events SET undone=1 WHERE step IN (1, 2)"
    assert "USING INDEX events_by_step" in stores.database.rows(plan)[0][-1]


def test_moving_forward_again_restores_what_was_undone(stores: Stores) -> None:
    first, second = record_round(stores, 1), record_round(stores, 2)
    stores.record.move_tip(first)
    stores.record.move_tip(second)
    assert sequences(stores) == [1, 2]
