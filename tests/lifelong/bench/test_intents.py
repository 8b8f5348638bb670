"""The queries of CLINC150 become arrays, domain by domain; a damaged file is named with the entry."""

import json
from pathlib import Path
from typing import Any

import pytest

from lifelong.bench.sources import open_source
from lifelong.errors import BadFile, MissingDataSet

pytestmark = pytest.mark.unit
DOMAINS = {"bank_account": ["pay", "save"], "travel": ["fly", "drive"]}


def put_intents(directory: Path, domains: Any) -> dict[str, str]:
    (directory / "clinc150").mkdir()
    rows = [[f"please {intent}", intent] for intents in DOMAINS.values() for intent in intents]
    (directory / "clinc150" / "data_full.json").write_text(json.dumps({"train": rows * 2, "test": rows}))
    (directory / "clinc150" / "domains.json").write_text(json.dumps(domains))
    return {"LIFELONG_DATA_DIR": str(directory)}


def test_intents_come_domain_by_domain(tmp_path: Path) -> None:
    arrays, groups = open_source("clinc150", put_intents(tmp_path, DOMAINS))
    assert list(arrays.names) == ["pay", "save", "fly", "drive"]
    assert arrays.train_labels.tolist() == [0, 1, 2, 3] * 2
    assert groups == ("bank_account", "travel")


def test_intents_that_are_not_there_or_altered_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataSet, match=r"data_full\.json"):
        open_source("clinc150", {"LIFELONG_DATA_DIR": str(tmp_path)})
    with pytest.raises(BadFile, match=r"data_full\.json: train\[0\]: expected .* an intent of domains\.json"):
        open_source("clinc150", put_intents(tmp_path, {"travel": ["fly"]}))


QUERY = r"expected \[text, intent\], a text of 1 to \d+ characters and an intent of domains\.json"


@pytest.mark.parametrize(
    ("path", "damaged", "said"),
    [
        (["train", 3], ["", "fly"], rf"data_full\.json: train\[3\]: {QUERY}"),
        (["train", 3], [" \n", "fly"], rf"data_full\.json: train\[3\]: {QUERY}"),
        (["train", 3], ["\ud800", "fly"], rf"data_full\.json: train\[3\]: {QUERY}"),
        (["test", 1], [7, "fly"], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], ["go", ["fly"]], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], ["go", "swim"], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], ["go"], rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], {"go": 1, "fly": 2}, rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], "go", rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test", 1], None, rf"data_full\.json: test\[1\]: {QUERY}"),
        (["test"], {"go": "fly"}, r"data_full\.json: test: expected a list of queries"),
        (["test"], None, r"data_full\.json: test: expected a list of queries"),
        (
            ["test", 1],
            ["go", "pay"],
            r"data_full\.json: test: expected a query of each intent, domains\.json: bank_.*\[1\]",
        ),
        ([], [], r"data_full\.json: train: expected a list of queries"),
    ],
)
def test_a_damaged_query_is_one_line_with_file_and_entry(
    tmp_path: Path, path: list[Any], damaged: Any, said: str
) -> None:
    environment = put_intents(tmp_path, DOMAINS)
    file = tmp_path / "clinc150" / "data_full.json"
    content = {"all": json.loads(file.read_text())}
    holder: Any = content
    *before, last = ["all", *path]
    for step in before:
        holder = holder[step]
    holder[last] = damaged
    file.write_text(json.dumps(content["all"]))
    with pytest.raises(BadFile, match=said) as caught:
        open_source("clinc150", environment)
    assert caught.value.code == "bad_data_set"
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        ([], "expected domains with their intents"),
        ({}, "expected domains with their intents"),
        ({"travel": "fly"}, r"travel: expected a list of intents"),
        ({"travel": []}, r"travel: expected a list of intents"),
        ({"travel": ["fly", 3]}, r"travel: expected a list of intents"),
        ({"bank": ["pay", "save"], "travel": ["fly", "pay"]}, r"travel\[1\]: expected an intent of no other domain"),
        ({"bank": ["pay", "save", "drive"], "travel": ["fly"]}, r"travel: expected 3 intents, as bank has"),
    ],
)
def test_damaged_domains_are_one_line_with_their_place(tmp_path: Path, domains: Any, said: str) -> None:
    with pytest.raises(BadFile, match=rf"domains\.json: {said}"):
        open_source("clinc150", put_intents(tmp_path, domains))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\xff", b"[" * 100_000])
def test_a_file_of_queries_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    environment = put_intents(tmp_path, DOMAINS)
    (tmp_path / "clinc150" / "data_full.json").write_bytes(content)
    with pytest.raises(BadFile, match=r"data_full\.json: not JSON"):
        open_source("clinc150", environment)
