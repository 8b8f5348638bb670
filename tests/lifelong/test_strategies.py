"""What an entry of a configuration leaves out has the default of its strategy."""

import pytest
import yaml

from lifelong.strategies import completed
from trainer.catalogue import kinds, load

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("kind", kinds())
def test_an_entry_with_all_defaults_is_the_one_without_any(kind: str) -> None:
    filled = completed({"kind": kind}, seed=7)
    read = yaml.safe_load(yaml.safe_dump(filled))
    assert load([read]) == load([{"kind": kind}], seed=7)


def test_what_is_given_stays() -> None:
    filled = completed({"capacity": 50, "kind": "replay"}, seed=7)
    assert list(filled) == ["kind", "capacity", "rows", "selection", "weighting", "scope", "seed"]
    assert (filled["capacity"], filled["rows"], filled["seed"]) == (50, 128, 7)
