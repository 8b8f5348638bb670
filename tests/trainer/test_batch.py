"""What chained strategies leave of each other's rows, weights and masks."""

from typing import Any

import pytest
import torch

from tests.trainer.stream import Stream, learn, learner
from trainer.batch import Batch, append, extend
from trainer.catalogue import load

pytestmark = pytest.mark.unit


def rows(count: int) -> Batch:
    whole = torch.arange(count)
    return Batch(whole, torch.zeros(count, 1), whole, whole)


def test_new_rows_are_those_that_nobody_appended() -> None:
    batch = append(extend(rows(3), rows(2)), rows(4), keeps=1.0, share=1.0)
    assert (len(batch), batch.appended) == (9, 6)
    assert batch.new.ids.tolist() == [0, 1, 2]
    assert batch.select(slice(0, 5)).new.ids.tolist() == [0, 1, 2, 0, 1]


def test_rows_that_no_strategy_counts_are_not_counted_after_it() -> None:
    batch = Batch(*(getattr(rows(2), name) for name in ("ids", "inputs", "targets", "tasks")), weights=torch.zeros(2))
    mixed = append(batch, rows(2), keeps=1.0, share=1.0)
    assert mixed.weights is not None
    assert not mixed.weights.any()


SMALL: dict[str, dict[str, Any]] = {
    kind: {"kind": kind, "capacity": 24, "rows": 8} for kind in ("replay", "der", "er_ace")
}
JOINT = {"kind": "joint", "rows": 8}
ICARL = {"kind": "icarl", "capacity": 24, "rows": 8}


@pytest.mark.parametrize(
    ("chain", "counted", "is_masked"),
    [
        ([SMALL["er_ace"], JOINT], 2.0, True),
        ([ICARL, JOINT], 0.0, False),
        ([ICARL, SMALL["er_ace"]], 0.0, True),
        ([SMALL["er_ace"], ICARL], 0.0, True),
        ([ICARL, SMALL["der"]], 0.0, False),
        ([SMALL["der"], JOINT], 1.5, False),
    ],
)
def test_a_chain_keeps_what_its_members_say(chain: list[dict[str, Any]], counted: float, is_masked: bool) -> None:
    stream, subject = Stream(), learner(load(chain))
    learn(subject, stream, 0)
    learn(subject, stream, 1)
    mixed = subject.strategy.replay(subject.network, stream.task(1).select(slice(0, 8)))
    assert mixed.weights is not None
    assert float(mixed.weights.sum()) == pytest.approx(counted)
    assert (mixed.mask is not None) is is_masked


@pytest.mark.parametrize("chain", [["replay", "er_ace"], ["er_ace", "replay"]])
def test_new_rows_compete_among_their_own_classes_wherever_exemplars_come_from(chain: list[str]) -> None:
    stream, subject = Stream(), learner(load([SMALL[kind] for kind in chain]))
    learn(subject, stream, 0)
    learn(subject, stream, 1)
    mixed = subject.strategy.replay(subject.network, stream.task(1).select(slice(0, 8)))
    assert mixed.mask is not None
    assert mixed.mask[:8].tolist() == [[False, False, True, True]] * 8
    assert mixed.mask[8:].all()
