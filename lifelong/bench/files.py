"""A user's own data set out of files: CSV, npz, or a pair of IDX files, with a test part or a share held out."""

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from contracts.cells import TEXT_COLUMNS, finite_number
from contracts.errors import InvalidInstance
from contracts.inputs import ImageInput, InputSpec, TabularInput, TensorInput, TextInput
from lifelong.bench.stream import Arrays, Indices
from lifelong.data import read_idx
from lifelong.errors import BadFile
from lifelong.rows import EVENT_COLUMNS, csv_rows, load_npz

TEST_SHARE = 0.2
"""Of each label's rows, held out where the files bring no test part."""
TEST_SEED = 0
"""Which rows these are depends on nothing else, so that every run is tested on the same."""
TRAIN_ARRAYS = (("instances", "labels"), ("train_instances", "train_labels"), ("x_train", "y_train"))
TEST_ARRAYS = (("test_instances", "test_labels"), ("x_test", "y_test"))
SHOWN_NAMES = 5
"""How many labels an error names."""
CHANNELS = (1, 3, 4)
"""How many channels images have: grey, colours, colours and opacity."""
IDX_IMAGES, IDX_LABELS = "images-idx3", "labels-idx1"
TEST_WORDS = ("t10k", "test")
"""What stands in the name of a test file where the training file has `train`."""

UNREADABLE = (ArithmeticError, MemoryError, RuntimeError, ValueError, zlib.error)
"""What libraries raise of files that are damaged or nonsensical, a `RecursionError` and pydantic's among them."""
Cells = NDArray[Any]


class Labelled(NamedTuple):
    """Encoded rows `(n, *row_shape)`, and their labels as they are written."""

    spec: InputSpec
    rows: Cells
    labels: list[str]


def read_file(path: Path) -> Arrays:
    """The data set in a file, by its name; see `docs/forgetting.md` for the formats.

    Raises:
        BadFile: the ending is unknown, or the file is not what it should be.
    """
    for suffix, reader in READERS.items():
        if suffix in path.name.lower():
            try:
                return _arrays(path, *reader(path))
            except UNREADABLE as error:
                raise BadFile("unreadable", f"{path.name}: cannot be read: {type(error).__name__}") from None
    raise BadFile("unknown_format", f"{path.name}: must end in .csv or .npz, or be named …-{IDX_IMAGES}-ubyte[.gz]")


def _arrays(path: Path, train: Labelled, test: Labelled | None) -> Arrays:
    names = sorted(set(train.labels), key=_by_number)
    if len(names) < 2:
        raise BadFile("too_few_labels", f"{path.name}: needs at least two labels")
    place = {name: number for number, name in enumerate(names)}
    labels = np.array([place[label] for label in train.labels], dtype=np.int64)
    rows = train.rows
    if test is None:
        held_out = _held_out(labels, names, path.name)
        test_rows, test_labels = rows[held_out], labels[held_out]
        rows, labels = rows[~held_out], labels[~held_out]
    else:
        test_rows, test_labels = test.rows, _test_labels(path, test, place)
    inputs, test_inputs = torch.from_numpy(rows), torch.from_numpy(test_rows)
    return Arrays(path.name, train.spec, names, inputs, labels, test_inputs, test_labels)


def _test_labels(path: Path, test: Labelled, place: dict[str, int]) -> Indices:
    """Every label that was learned must be tested, and no other."""
    if set(test.labels) != set(place):
        raise BadFile("bad_labels", f"{path.name}: the test part has other labels than the training part")
    return np.array([place[label] for label in test.labels], dtype=np.int64)


def _held_out(labels: Indices, names: Sequence[str], file: str) -> NDArray[np.bool_]:
    """Which rows test: a share of each label's, at least one."""
    random = np.random.default_rng(TEST_SEED)
    held_out = np.zeros(len(labels), dtype=bool)
    _require_two_rows([names[label] for label in np.flatnonzero(np.bincount(labels) == 1).tolist()], file)
    for label in range(len(names)):
        own = random.permutation(np.flatnonzero(labels == label))
        held_out[own[: max(1, round(TEST_SHARE * len(own)))]] = True
    return held_out


def _require_two_rows(single: Sequence[str], file: str) -> None:
    """Refuses labels that have one row only, by their names, the first few where there are many."""
    if single:
        more = f" and {len(single) - SHOWN_NAMES} more" if len(single) > SHOWN_NAMES else ""
        named = ", ".join(single[:SHOWN_NAMES]) + more
        which = f"label {named} has a single row" if len(single) == 1 else f"labels {named} have a single row each"
        raise BadFile("too_few_rows", f"{file}: the {which}: one must be left to test it")


def _by_number(label: str) -> tuple[bool, int, str]:
    """Numbers in their order, then words in theirs."""
    return (False, int(label), label) if label.isdecimal() else (True, 0, label)


def _read_csv(path: Path) -> tuple[Labelled, None]:
    places: list[str] = []
    rows: list[dict[str, str]] = []
    for place, row in csv_rows(path):
        _require_label(row["label"], place)
        places.append(place)
        rows.append(row)
    if not rows:
        raise BadFile("too_few_rows", f"{path.name}: has no rows")
    labels = [row["label"] for row in rows]
    names = [name for name in rows[0] if name not in EVENT_COLUMNS]
    columns = {name: [row[name] for row in rows] for name in names}
    if not columns:
        raise BadFile("bad_header", f"{path.name}: has no column beside `label` to learn from")
    return Labelled(*_encoded(columns, places, path.name), labels), None


def _encoded(columns: dict[str, list[str]], places: Sequence[str], file: str) -> tuple[InputSpec, Cells]:
    """What the columns hold: a text, numbers as JSON, numbers, or numbers and categories.

    A column is of numbers if more than half of it is; the first cell that is none is then an error.
    """
    first = next(iter(columns))
    is_number = {name: sum(map(_is_number, cells)) > len(cells) / 2 for name, cells in columns.items()}
    if len(columns) == 1 and first in TEXT_COLUMNS and not is_number[first]:
        return _json_or_text(columns[first], file)
    values: list[Sequence[str | float]] = []
    for name, cells in columns.items():
        values.append([_number(*one, name) for one in zip(cells, places, strict=True)] if is_number[name] else cells)
    rows = list(zip(*values, strict=True))
    if all(is_number.values()):
        return _checked(TensorInput(shape=(len(columns),)), rows, file)
    kinds: dict[str, Any] = {n: "number" if is_number[n] else sorted(set(cells)) for n, cells in columns.items()}
    return _checked(TabularInput(columns=kinds), [dict(zip(columns, row, strict=True)) for row in rows], file)


def _number(cell: str, place: str, column: str) -> float:
    try:
        return finite_number(cell, column)
    except InvalidInstance as error:
        raise BadFile("bad_row", f"{place}: {error.detail}") from None


def _json_or_text(cells: Sequence[str], file: str) -> tuple[InputSpec, Cells]:
    try:
        instances = [msgspec.json.decode(cell) for cell in cells]
    except msgspec.DecodeError:
        return _checked(TextInput(), cells, file)
    shape = np.shape(instances[0])
    if not 1 <= len(shape) <= 4 or not math.prod(shape):
        raise BadFile("bad_row", f"{file}: an instance is not a list of numbers")
    return _checked(TensorInput(shape=shape), instances, file)


def _checked(spec: InputSpec, instances: Sequence[Any], file: str) -> tuple[InputSpec, Cells]:
    try:
        return spec, spec.encode(instances)
    except (InvalidInstance, ValueError, TypeError) as error:
        detail = error.detail if isinstance(error, InvalidInstance) else "an instance is not like the others"
        raise BadFile("bad_row", f"{file}: {detail}") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_npz(path: Path) -> tuple[Labelled, Labelled | None]:
    pairs = (*TRAIN_ARRAYS, *TEST_ARRAYS)
    arrays = load_npz(path, [name for pair in pairs for name in pair])
    train = next((pair for pair in TRAIN_ARRAYS if all(name in arrays for name in pair)), None)
    if train is None:
        named = " or ".join(f"`{rows}` and `{labels}`" for rows, labels in TRAIN_ARRAYS)
        raise BadFile("bad_header", f"{path.name}: needs the arrays {named}")
    test = next((pair for pair in TEST_ARRAYS if all(name in arrays for name in pair)), None)
    learned = _labelled(arrays[train[0]], arrays[train[1]], path.name)
    if test is None:
        return learned, None
    tested = _labelled(arrays[test[0]], arrays[test[1]], path.name)
    if tested.spec != learned.spec:
        raise BadFile("bad_header", f"{path.name}: training and test instances have different shapes or types")
    return learned, tested


def _labelled(instances: Cells, labels: Cells, file: str) -> Labelled:
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or instances.ndim == 0 or len(instances) != len(labels) or not len(labels):
        raise BadFile("bad_header", f"{file}: its arrays are not equally long, or hold no rows")
    names = [str(label) for label in labels.tolist()]
    for row, label in enumerate(labels.tolist()):
        _require_label(label, f"{file}: row {row}")
    return Labelled(*_encoded_array(instances, file), names)


def _require_label(label: Any, place: str) -> None:
    """Refuses an empty cell, and what tables read by NumPy or pandas have in its place: NaN."""
    if not str(label).strip() or (isinstance(label, float) and math.isnan(label)):
        raise BadFile("bad_row", f"{place}: the label is blank; give it one, or leave the row out")


def _encoded_array(instances: Cells, file: str) -> tuple[InputSpec, Cells]:
    shape = instances.shape[1:]
    if instances.dtype.kind == "U" and not shape:
        return _checked(TextInput(), instances.tolist(), file)
    if instances.dtype.kind not in "biuf" or not 1 <= len(shape) <= 4 or not math.prod(shape):
        raise BadFile("bad_header", f"{file}: instances must be texts, or numbers of 1 to 4 dimensions")
    if len(shape) == 3 and shape[-1] in CHANNELS and shape[0] not in CHANNELS:
        expected = "expected (channels, height, width), as x.transpose(0, 3, 1, 2) makes them"
        raise BadFile("channels_last", f"{file}: instances have the shape {shape}, their channels last: {expected}")
    if instances.dtype == np.uint8 and len(shape) in (2, 3):
        return ImageInput(shape=shape), instances
    return _checked(TensorInput(shape=shape), [*instances], file)


def _read_idx_files(path: Path) -> tuple[Labelled, Labelled | None]:
    train = _idx_pair(path)
    others = (path.with_name(path.name.replace("train", word)) for word in TEST_WORDS)
    test = next((other for other in others if other != path and other.exists()), None)
    tests = None if test is None else _idx_pair(test)
    if tests is not None and tests.spec != train.spec:
        raise BadFile("bad_header", f"{path.name}: training and test images have different sizes")
    return train, tests


def _idx_pair(path: Path) -> Labelled:
    parts = []
    for file in (path, path.with_name(path.name.replace(IDX_IMAGES, IDX_LABELS))):
        try:
            parts.append(read_idx(file.read_bytes()))
        except OSError as error:
            raise BadFile("unreadable", f"{file}: {error.strerror}") from None
        except BadFile as fault:
            raise BadFile(fault.code, f"{file.name}: {fault.detail}") from None
    return _labelled(parts[0], parts[1], path.name)


READERS: dict[str, Callable[[Path], tuple[Labelled, Labelled | None]]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    IDX_IMAGES: _read_idx_files,
}
"""What reads a file, by a part of its name."""
