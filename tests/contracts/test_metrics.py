"""The catalogue keeps Prometheus' rules, and the page about it begins with what was generated from it."""

from pathlib import Path
from typing import get_args

import pytest

from contracts.metrics import CATALOGUE, LABELS, REASONS, page
from contracts.versions import Reason

pytestmark = pytest.mark.unit
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_begins_with_the_generated_table() -> None:
    generated, written = page(), PAGE.read_text()
    assert written.startswith(f"{generated}\n## ")
    assert "`lifelong_" not in written[len(generated) :]


def test_names_are_unique_and_carry_prefix_and_unit() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all(name.startswith("lifelong_") for name in names)
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in CATALOGUE)
    assert all(metric.help.endswith(".") for metric in CATALOGUE)


def test_every_label_and_every_reason_of_the_gate_is_explained() -> None:
    assert {label for metric in CATALOGUE for label in metric.labels} == LABELS.keys()
    assert set(get_args(Reason)) == REASONS.keys()
