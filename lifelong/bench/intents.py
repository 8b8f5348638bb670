"""CLINC150 as labelled arrays: 150 intents in ten domains of fifteen.

Larson et al., *An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction*, 2019.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contracts.errors import InvalidInstance
from contracts.inputs import MAX_TEXT_CHARACTERS, TextInput
from lifelong.bench.stream import Arrays, Indices
from lifelong.data import DATA_DIR_VARIABLE
from lifelong.errors import BadFile, MissingDataSet

QUERIES, DOMAINS = "data_full.json", "domains.json"
TEXT_BUCKETS = 8192
"""Numbers that words are hashed to: enough for some ten thousand short texts, and small enough to learn quickly."""


def read_intents(directory: Path) -> tuple[Arrays, tuple[str, ...]]:
    """The queries, their intents domain after domain, and the names of the domains, each with as many intents.

    Raises:
        MissingDataSet: `missing_data_set`, if a file is not there.
        BadFile: `bad_data_set` with the file and the entry that is not what it should be.
    """
    queries, domains = _read(directory / QUERIES), _read(directory / DOMAINS)
    places = _places(domains)
    spec = TextInput(buckets=TEXT_BUCKETS)
    (train, train_labels), (test, test_labels) = (_part(queries, part, places, spec) for part in ("train", "test"))
    names = [intent for intents in domains.values() for intent in intents]
    return Arrays("CLINC150", spec, names, train, train_labels, test, test_labels), tuple(domains)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError:
        what = f"put {QUERIES} and {DOMAINS} of clinc/oos-eval in ${DATA_DIR_VARIABLE}/clinc150"
        raise MissingDataSet("missing_data_set", f"CLINC150: {what}") from None
    except (ValueError, RecursionError):
        raise _bad(f"{path.name}: not JSON") from None


def _places(domains: Any) -> dict[str, str]:
    """Where each intent stands in its file, in the file's order."""
    if not isinstance(domains, dict) or not domains:
        raise _bad(f"{DOMAINS}: expected domains with their intents")
    first = next(iter(domains))
    places: dict[str, str] = {}
    for domain, intents in domains.items():
        if not isinstance(intents, list) or not intents or not all(isinstance(intent, str) for intent in intents):
            raise _bad(f"{DOMAINS}: {domain}: expected a list of intents")
        if len(intents) != len(domains[first]):
            raise _bad(f"{DOMAINS}: {domain}: expected {len(domains[first])} intents, as {first} has")
        for number, intent in enumerate(intents):
            if intent in places:
                raise _bad(f"{DOMAINS}: {domain}[{number}]: expected an intent of no other domain or place")
            places[intent] = f"{domain}[{number}]"
    return places


def _part(queries: Any, part: str, places: Mapping[str, str], spec: TextInput) -> tuple[Tensor, Indices]:
    """The encoded queries of a part and their intents' places; every intent has some."""
    entries = queries.get(part) if isinstance(queries, dict) else None
    if not isinstance(entries, list):
        raise _bad(f"{QUERIES}: {part}: expected a list of queries, each [text, intent]")
    numbers = {intent: number for number, intent in enumerate(places)}
    labels = np.empty(len(entries), dtype=np.int64)
    texts = np.empty((len(entries), *spec.row_shape), dtype=spec.dtype)
    for row, entry in enumerate(entries):
        try:
            text, intent = _pair(entry)
            texts[row], labels[row] = spec.encode([text])[0], numbers[intent]
        except (TypeError, ValueError, KeyError, AttributeError, InvalidInstance):
            known = f"a text of 1 to {MAX_TEXT_CHARACTERS} characters and an intent of {DOMAINS}"
            raise _bad(f"{QUERIES}: {part}[{row}]: expected [text, intent], {known}") from None
    for intent, place in places.items():
        if numbers[intent] not in labels:
            raise _bad(f"{QUERIES}: {part}: expected a query of each intent, {DOMAINS}: {place} has none")
    return torch.from_numpy(texts), labels


def _pair(entry: Any) -> tuple[Any, Any]:
    """A list of two; what else can be unpacked, such as an object with two keys, is none.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(entry, list) or len(entry) != 2:
        raise ValueError("expected a list of two")
    return entry[0], entry[1]


def _bad(what: str) -> BadFile:
    return BadFile("bad_data_set", f"CLINC150: {what}")
