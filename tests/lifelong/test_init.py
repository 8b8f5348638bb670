"""The configuration that `lifelong init` writes is accepted, and its commented lines are the defaults."""

import re
from pathlib import Path
from typing import get_args

import pytest

from contracts.errors import InvalidConfiguration
from contracts.inputs import InputSpec
from lifelong.examples import EXAMPLES, Kind
from lifelong.init import template, write
from lifelong.settings import Settings, load_settings

pytestmark = pytest.mark.unit
COMMENTED_DEFAULT = re.compile(r"^#(?! \S)", re.MULTILINE)


def test_every_kind_of_input_has_an_example() -> None:
    specifications = get_args(get_args(InputSpec)[0])
    assert {kind.model_fields["kind"].default for kind in specifications} == set(EXAMPLES) == set(get_args(Kind))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_removing_the_comment_signs_changes_nothing(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "config.yaml"
    write(path, "mymodel", kind)
    path_without = tmp_path / "all.yaml"
    path_without.write_text(COMMENTED_DEFAULT.sub("", path.read_text()))
    assert load_settings(path_without) == load_settings(path)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_section_is_shown(kind: Kind) -> None:
    text = template("mymodel", kind)
    for name in Settings.model_fields:
        assert re.search(rf"^#?{name}:", text, re.MULTILINE)


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mine")
    with pytest.raises(InvalidConfiguration, match="exists already"):
        write(path, "mymodel", "tensor")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("model", ["null", "5", "yes", "1_0", "0x1f", "1e5", "on", "a", "x" * 63])
def test_a_name_that_yaml_would_read_as_something_else_stays_a_name(tmp_path: Path, model: str) -> None:
    path = tmp_path / "config.yaml"
    write(path, model, "tensor")
    assert load_settings(path).model == model


@pytest.mark.parametrize("model", ["../x", "", "a: b", "Upper", "a\n", "x" * 64, "x" * 500])
def test_a_name_that_the_configuration_would_refuse_writes_nothing(tmp_path: Path, model: str) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(InvalidConfiguration, match=r"^--model: must match pattern '\^\[a-z0-9\]"):
        write(path, model, "tensor")
    assert not path.exists()
