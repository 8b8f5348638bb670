"""Every strategy in `trainer/strategies` keeps the contract, and the contract notices strategies that do not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.trainer.strategy_contract import checks, doubles
from tests.trainer.stream import Stream, learn, learner
from trainer.catalogue import kinds, load, strategy_class
from trainer.strategy import Chain, Naive, Strategy

pytestmark = pytest.mark.unit

SMALL: dict[str, dict[str, Any]] = {
    "replay": {"capacity": 24, "rows": 16},
    "joint": {"rows": 16},
    "ewc": {"fisher_rows": 50},
    "gem": {"capacity": 24},
    "agem": {"capacity": 24, "rows": 16},
    "der": {"capacity": 24, "rows": 16},
    "er_ace": {"capacity": 24, "rows": 16},
    "mir": {"capacity": 24, "rows": 8, "candidates": 16},
    "gdumb": {"capacity": 24, "epochs": 3},
    "generative": {"rows": 16, "hidden": [8], "latent": 4, "likelihood": "gaussian", "learning_rate": 0.01},
    "icarl": {"capacity": 24, "rows": 16},
    "mas": {"importance_rows": 50},
    "scp": {"importance_rows": 50, "rows": 20},
}
"""Settings that make a strategy small enough for the tiny stream; any other runs with its defaults."""
VARIANTS: dict[str, list[dict[str, Any]]] = {
    **{kind: [{"kind": kind, **SMALL.get(kind, {})}] for kind in kinds() if strategy_class(kind).scenario != "task"},
    "replay-reservoir": [{"kind": "replay", **SMALL["replay"], "selection": "reservoir"}],
    "replay-herding": [{"kind": "replay", **SMALL["replay"], "selection": "herding"}],
    "replay-published": [{"kind": "replay", **SMALL["replay"], "weighting": "tasks", "scope": "past"}],
    "der-without-labels": [{"kind": "der", **SMALL["der"], "beta": 0}],
    "gem-few-of-each": [{"kind": "gem", **SMALL["gem"], "task_rows": 4}],
    "mir-balanced": [{"kind": "mir", **SMALL["mir"], "selection": "class_balanced"}],
    "er_ace-balanced": [{"kind": "er_ace", **SMALL["er_ace"], "selection": "class_balanced"}],
    "der+er_ace+replay+gem": [{"kind": kind, **SMALL[kind]} for kind in ("der", "er_ace", "replay", "gem")],
    "ewc-online": [{"kind": "ewc", "mode": "online", "decay": 0.5, "fisher": "sampled"}],
    "ewc-predicted": [{"kind": "ewc", **SMALL["ewc"], "fisher": "predicted"}],
    "l2-latest": [{"kind": "l2", "anchors": "latest"}],
    "si-total": [{"kind": "si", "gradient": "total"}],
    "si-signed": [{"kind": "si", "importance": "signed"}],
    "mas-of-batches": [{"kind": "mas", "rows": 16, "outputs": "mean", "decay": 0.5}],
    "rwalk-of-batches": [{"kind": "rwalk", "fisher": "batch", "interval": 3}],
    "scp-drawn": [{"kind": "scp", **SMALL["scp"], "slices": 5, "decay": 0.5}],
    "lwf-of-tasks": [{"kind": "lwf", "weighting": "tasks", "new_columns": True}],
    "generative-distilled": [{"kind": "generative", **SMALL["generative"], "distill": True}],
    "naive": [],
    "replay+ewc": [{"kind": "replay", **SMALL["replay"]}, {"kind": "ewc", **SMALL["ewc"]}],
}
EXEMPT: dict[str, dict[checks.Check, str]] = {
    "icarl": {
        checks.does_nothing_before_the_first_task_was_learned: "its penalty is the whole loss of every step",
        checks.penalises_only_what_moves_away_from_the_anchor: "its penalty is the whole loss of every step",
    },
    "generative": {checks.keeps_the_new_rows_and_adds_only_rows_it_was_shown: "it replays what it makes up"},
    "generative-distilled": {checks.keeps_the_new_rows_and_adds_only_rows_it_was_shown: "it replays what it makes up"},
    "joint": {checks.needs_no_more_memory_for_more_tasks: "an upper bound, which keeps everything by design"},
}
"""Promises that a method breaks by its definition, and why; every other one it keeps."""


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_strategy(variant: str, check: checks.Check) -> None:
    if check in EXEMPT.get(variant, {}):
        with pytest.raises(AssertionError):
            check(lambda: load(VARIANTS[variant]))
        return
    check(lambda: load(VARIANTS[variant]))


BROKEN: list[tuple[checks.Check, Callable[[], Strategy]]] = [
    (checks.does_nothing_before_the_first_task_was_learned, doubles.Eager),
    (checks.does_nothing_before_the_first_task_was_learned, doubles.Pushing),
    (checks.keeps_the_new_rows_and_adds_only_rows_it_was_shown, lambda: doubles.Overtaking(capacity=24, rows=16)),
    (checks.keeps_the_new_rows_and_adds_only_rows_it_was_shown, lambda: doubles.Inventing(capacity=24, rows=16)),
    (checks.penalises_only_what_moves_away_from_the_anchor, doubles.Unanchored),
    (checks.penalises_only_what_moves_away_from_the_anchor, doubles.Detached),
    (checks.penalises_only_what_moves_away_from_the_anchor, doubles.Rewarding),
    (checks.leaves_network_batch_and_global_generator_alone, doubles.Gambling),
    (checks.leaves_network_batch_and_global_generator_alone, doubles.Scribbling),
    (checks.leaves_network_batch_and_global_generator_alone, doubles.Moving),
    (checks.leaves_network_batch_and_global_generator_alone, doubles.Silencing),
    (checks.gives_the_same_bits_for_the_same_seed, lambda: doubles.Moody(capacity=24, rows=16)),
    (checks.continues_bit_for_bit_from_a_saved_state, lambda: doubles.Forgetful(capacity=24, rows=16)),
    (checks.continues_bit_for_bit_from_a_saved_state, doubles.Amnesic),
    (checks.needs_no_more_memory_for_more_tasks, doubles.Hoarding),
]


@pytest.mark.parametrize(("check", "make"), BROKEN)
def test_a_broken_strategy_is_noticed(check: checks.Check, make: Callable[[], Strategy]) -> None:
    with pytest.raises(AssertionError):
        check(make)


def test_a_broken_chain_is_noticed() -> None:
    with pytest.raises(AssertionError):
        checks.is_the_same_alone_and_in_a_chain(lambda: load([{"kind": "l2"}]), doubles.DeafChain)


def test_every_check_is_proven() -> None:
    proven = {check for check, _ in BROKEN} | {checks.is_the_same_alone_and_in_a_chain}
    assert proven == set(checks.CHECKS)


def test_an_empty_chain_is_plain_fine_tuning() -> None:
    checks.is_the_same_alone_and_in_a_chain(Naive, lambda _: Chain([]))


def test_replay_and_ewc_commute() -> None:
    ends = []
    for spec in (VARIANTS["replay+ewc"], VARIANTS["replay+ewc"][::-1]):
        stream, subject = Stream(), learner(load(spec))
        for task in range(3):
            learn(subject, stream, task)
        ends.append(subject.network.theta)
    assert torch.equal(*ends)
