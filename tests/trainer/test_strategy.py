"""Strategies are found by name, and a wrong name is answered with the right one."""

import subprocess
import sys
from typing import Any

import pytest

from contracts.errors import InvalidConfiguration
from trainer.catalogue import kinds, load, strategy_class
from trainer.strategy import Chain, Naive

pytestmark = pytest.mark.unit


def test_kinds_are_the_files_of_the_folder() -> None:
    assert {"ewc", "joint", "l2", "replay"} <= set(kinds())
    assert all(issubclass(strategy_class(kind), Naive) for kind in kinds())


def test_kinds_are_known_without_torch() -> None:
    code = "import sys; from trainer.catalogue import kinds; assert kinds(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_list_of_one_is_that_strategy_and_more_are_a_chain() -> None:
    assert type(load([])) is Naive
    assert type(load([{"kind": "ewc", "strength": 5}])).__name__ == "EWC"
    assert type(load([{"kind": "replay"}, {"kind": "ewc"}])) is Chain


def test_strategies_take_the_seed_they_are_given_unless_they_name_one() -> None:
    assert load([{"kind": "replay"}], seed=7).seed == 7  # type: ignore[attr-defined]
    assert load([{"kind": "replay", "seed": 3}], seed=7).seed == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "code", "detail"),
    [
        ([{"kind": "replai"}], "unknown_strategy", "strategies.0.kind: .*\ndid you mean: replay"),
        ([{"kind": "ewc"}, {}], "unknown_strategy", "strategies.1.kind: expected one of .*ewc, "),
        ([{"kind": ["ewc"]}], "unknown_strategy", "strategies.0.kind"),
        (
            [{"kind": "ewc", "strenght": 1}],
            "invalid_setting",
            "strategies.0.strenght: unknown .*\ndid you mean: strength",
        ),
        ([{"kind": "ewc", "strength": -1}], "invalid_setting", "strategies.0.strength: .*greater than or equal to 0"),
        ([{"kind": "ewc", "strength": float("inf")}], "invalid_setting", "strategies.0.strength: .*finite"),
        ([{"kind": "replay", "capacity": 0}], "invalid_setting", "strategies.0.capacity"),
        ([{"kind": "replay", 5: 1}], "invalid_setting", "strategies.0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(spec: list[dict[str, Any]], code: str, detail: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"(?s){detail}") as caught:
        load(spec)
    assert caught.value.code == code


@pytest.mark.parametrize("number", ["1e300", "1e31", 10**40, 1e31])
def test_no_number_may_leave_float32_however_it_is_written(number: object) -> None:
    with pytest.raises(InvalidConfiguration, match=r"strategies\.0\.strength: must be 1e\+30 at most"):
        load([{"kind": "ewc", "strength": number}])
