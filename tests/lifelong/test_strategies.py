"""What the settings of strategies are said to be is what they are."""

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from lifelong.strategies import completed, options, section
from trainer.catalogue import kinds, load, strategy_class

pytestmark = pytest.mark.unit
PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def test_the_page_ends_with_the_generated_table() -> None:
    """If it does not: `python -c "from lifelong.strategies import section; print(section(), end='')"`."""
    assert PAGE.read_text(encoding="utf-8").endswith(f"\n\n{section()}")


def test_every_setting_of_every_strategy_is_in_the_table() -> None:
    rows = [row.split(" | ") for row in section().splitlines() if row.startswith("| `") or row.startswith("|  |")]
    named = [row[0].strip("| `") for row in rows if row[0].strip("| `")]
    assert named == kinds()
    settings = [row[1].strip("`") for row in rows if row[1] != "none"]
    assert settings == [name for kind in kinds() for name in strategy_class(kind).__pydantic_fields__]


@pytest.mark.parametrize("kind", kinds())
def test_an_entry_with_all_defaults_is_the_one_without_any(kind: str) -> None:
    filled = completed({"kind": kind}, seed=7)
    read = yaml.safe_load(yaml.safe_dump(filled))
    assert load([read]) == load([{"kind": kind}], seed=7)


def test_what_is_given_stays() -> None:
    filled = completed({"capacity": 50, "kind": "replay"}, seed=7)
    assert list(filled) == ["kind", "capacity", "rows", "selection", "weighting", "scope", "seed"]
    assert (filled["capacity"], filled["rows"], filled["seed"]) == (50, 128, 7)


@pytest.mark.parametrize(
    ("kind", "name", "said", "inside", "outside"),
    [
        ("replay", "capacity", "whole, 1 … 10,000,000", [1, 10_000_000], [0, 10_000_001]),
        ("replay", "seed", "whole, 0 … 2⁶³ − 1", [0, 2**63 - 1], [-1, 2**63]),
        ("replay", "selection", "`class_balanced`, `reservoir`, `herding`", ["herding"], ["random"]),
        ("gem", "task_rows", "whole, ≥ 1 or `null`", [1, None], [0]),
        ("ewc", "strength", "≥ 0", [0.0], [-0.1]),
        ("packnet", "keep", "> 0, ≤ 1", [0.1, 1], [0, 1.1]),
        ("lwf", "new_columns", "`true`, `false`", [True], ["perhaps"]),
        ("generative", "hidden", "a list of at most 16, each whole, 1 … 65,536", [[1], [9] * 16], [[0], [9] * 17]),
    ],
)
def test_what_a_setting_may_be_is_what_it_may_be(
    kind: str, name: str, said: str, inside: list[object], outside: list[object]
) -> None:
    assert {each.name: each.range for each in options(kind)}[name] == said
    adapter = TypeAdapter(strategy_class(kind))
    for value in inside:
        adapter.validate_python({name: value})
    for value in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python({name: value})
