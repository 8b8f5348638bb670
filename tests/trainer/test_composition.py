"""Which strategies fit together, which scenario they need, and what network they make of the configured one."""

from typing import Any

import pytest

from contracts.errors import InvalidConfiguration
from networks.settings import ConvSpec, MlpSpec, PerTaskSpec
from trainer.catalogue import architecture, load

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("spec", "detail"),
    [
        (["packnet", "replay"], "strategies.0.kind: packnet and strategies.1.kind: replay cannot share the parameters"),
        (["ewc", "l2", "separate"], "strategies.0.kind: ewc and strategies.2.kind: separate cannot share the param"),
        (["separate", "progressive"], "strategies.0.kind: separate and strategies.1.kind: progressive cannot share"),
    ],
)
def test_what_cannot_be_shared_is_named_with_both_places(spec: list[str], detail: str) -> None:
    with pytest.raises(InvalidConfiguration, match=detail) as caught:
        load([{"kind": kind} for kind in spec])
    assert caught.value.code == "conflicting_strategies"


def test_strategies_that_own_nothing_share_everything() -> None:
    load([{"kind": "replay"}, {"kind": "ewc"}, {"kind": "l2"}, {"kind": "replay"}], scenario="domain")


@pytest.mark.parametrize(
    ("kind", "needed"), [("separate", "task"), ("progressive", "task"), ("packnet", "task"), ("icarl", "class")]
)
def test_methods_that_need_one_scenario_are_refused_in_others(kind: str, needed: Any) -> None:
    others: set[Any] = {"task", "domain", "class"} - {needed}
    for scenario in others:
        with pytest.raises(InvalidConfiguration, match=f"0.kind: {kind} needs labels.scenario: {needed}") as caught:
            load([{"kind": kind}], scenario=scenario)
        assert caught.value.code == "wrong_scenario"
    load([{"kind": kind}], scenario=needed)


def test_the_network_is_made_of_the_configured_one() -> None:
    assert architecture([], MlpSpec()) == MlpSpec()
    assert architecture([{"kind": "replay"}], ConvSpec()) == ConvSpec()
    assert architecture([{"kind": "packnet"}], ConvSpec()) == PerTaskSpec(sharing="packed", of=ConvSpec())
    assert architecture([{"kind": "separate"}], MlpSpec()) == PerTaskSpec(sharing="separate", of=MlpSpec())


@pytest.mark.parametrize(
    ("kind", "code", "detail"),
    [
        ("progressive", "network_mismatch", "strategies.0.kind: .*network.kind must be mlp"),
        ("progresive", "unknown_strategy", "did you mean: progressive"),
    ],
)
def test_a_network_that_a_strategy_cannot_use_is_refused(kind: str, code: str, detail: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"(?s){detail}") as caught:
        architecture([{"kind": kind}], ConvSpec())
    assert caught.value.code == code
