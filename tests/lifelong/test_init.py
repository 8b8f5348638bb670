"""The configuration that `lifelong init` writes is accepted, and its commented lines are the defaults."""

import re
from pathlib import Path

import pytest

from contracts.errors import InvalidConfiguration
from lifelong.init import EXAMPLES, Kind, template, write
from lifelong.settings import Settings, load_settings

pytestmark = pytest.mark.unit
COMMENTED_DEFAULT = re.compile(r"^#(?! \S)", re.MULTILINE)


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
