"""The reference pages are what the code says, and what they say of a value is what the code takes."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from deploy.reference import rest
from deploy.reference.pages import written
from deploy.reference.strategies import section
from deploy.reference.words import allowed
from lifelong.init import template
from lifelong.settings import effective, load_settings
from lifelong.strategies import properties
from service.access import Access
from service.routes import build
from service.settings import ServingSettings
from trainer.catalogue import kinds, strategy_class

pytestmark = pytest.mark.unit
DOCS = Path(__file__).parents[2] / "docs"
PAGES = written(DOCS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_what_make_docs_writes(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == PAGES[page]


def test_writing_pages_again_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    for page, text in PAGES.items():
        (tmp_path / page.relative_to(DOCS)).write_text(text, encoding="utf-8")
    assert written(tmp_path) == {tmp_path / page.relative_to(DOCS): text for page, text in PAGES.items()}


def test_every_key_of_a_configuration_is_described(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(template("pets", "image"))
    page = PAGES[DOCS / "reference" / "configuration.md"]
    for key in (setting.key for setting in effective(load_settings(path), path)):
        section, _, name = key.partition(".")
        assert f"\n## {section}\n" in page
        assert section == "strategies" or not name or f"\n| `{name}` | " in page


def test_every_route_is_described() -> None:
    settings = ServingSettings()
    described = rest.page()
    for route in build({}, settings, Access.of(settings)).openapi()["paths"]:
        assert f" {route}\n" in described


def test_every_setting_of_every_strategy_is_in_the_table() -> None:
    rows = [row.split(" | ") for row in section().splitlines() if row.startswith("| `") or row.startswith("|  |")]
    named = [row[0].strip("| `") for row in rows if row[0].strip("| `")]
    assert named == kinds()
    settings = [row[1].strip("`") for row in rows if row[1] != "none"]
    assert settings == [name for kind in kinds() for name in strategy_class(kind).__pydantic_fields__]


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
    assert allowed(properties(kind)[name]) == said
    adapter = TypeAdapter(strategy_class(kind))
    for value in inside:
        adapter.validate_python({name: value})
    for value in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python({name: value})
