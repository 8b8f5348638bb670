"""A configuration file is plain YAML, and anything else is refused before it can do harm."""

from pathlib import Path

import pytest

from contracts.errors import InvalidConfiguration
from lifelong.document import MAX_CONFIG_BYTES, read_document

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"!!python/object/apply:os.system [id]", "line 1: tags are not read"),
        (b"a: 1\nb: !!timestamp 'x'", "line 2: tags are not read"),
        (b"a: !!bool x", "line 1: tags are not read"),
        (b"a: !!int ''", "line 1: tags are not read"),
        (b"a: 1" + b":00" * 200 + b".5", "not valid YAML"),
        (b"a: &a [1]\nb: *a", "line 2: aliases are not read"),
        (b"a: 1\nb: 2\na: 3", "line 3: a: this key is given twice"),
        (b"a:\n  b: 1\n  b: 2", "line 3: b: this key is given twice"),
        (b"\tmodel: x", "line 1: not valid YAML"),
        (b"a: [b", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"- 1", "must be a mapping"),
        (b"1: x", "must be a mapping"),
        (b"", "must be a mapping"),
        (b"a:\n  " + b"[" * 5000, "line 2: nested more than 100 deep"),
        (b"- " * 5000, "line 1: nested more than 100 deep"),
        (b"a: " + b"{b: " * 5000, "line 1: nested more than 100 deep"),
        (b"#" * (MAX_CONFIG_BYTES + 1), "larger than"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidConfiguration) as caught:
        read_document(path)
    assert said in caught.value.detail
    assert "\n" not in caught.value.detail


def test_many_lists_beside_each_other_are_not_nested(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a:\n" + "- [[1], {b: [2]}]\n" * 200 + "c:\n  - - 3\n")
    assert read_document(path)["c"] == [[3]]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="No such file"):
        read_document(tmp_path / "none.yaml")
