"""Feedback events out of a file: NDJSON, CSV or npz, by the file's ending."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.cells import INSTANCE_COLUMN, instance_of, read_table
from contracts.errors import InvalidEvent, InvalidInstance
from contracts.events import FeedbackEvent, decode_event
from contracts.inputs import InputSpec, TextInput
from lifelong.errors import BadFile

EVENT_COLUMNS = ("label", "event_id", "prediction_id", "task", "subject", "time")
NPZ_ARRAYS = ("instances", "labels", "tasks")
MAX_LINE_BYTES = 8 << 20


def read_events(path: Path, spec: InputSpec) -> Iterator[FeedbackEvent]:
    """The events of a file, in its order; every event carries an id.

    Where a row brings no event id, it gets one made of the file's content and the row's number: sending the same file
    again, whole or after an interruption, trains nothing twice.

    NDJSON: one feedback event a line, as over REST. CSV: a header with `label`, optionally the other members of an
    event, and the instance as one column `instance` (JSON or text), as a tabular model's columns, or as the remaining
    columns in order. npz: arrays `instances` and `labels`, optionally `tasks`.

    Raises:
        BadFile: the ending is unknown or the file cannot be read; the detail names the row.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadFile("unknown_format", f"{path.name}: must end in one of {', '.join(READERS)}")
    digest = _digest(path)
    for number, event in enumerate(reader(path, spec)):
        yield event if event.event_id else msgspec.structs.replace(event, event_id=f"{digest}-{number}")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:24]
    except OSError as error:
        raise BadFile("unreadable", f"{path}: {error.strerror}") from None


def _read_ndjson(path: Path, spec: InputSpec) -> Iterator[FeedbackEvent]:  # noqa: ARG001  one signature for all readers
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if len(line) > MAX_LINE_BYTES:
                raise BadFile("bad_row", f"{path.name}: line {number}: longer than {MAX_LINE_BYTES} bytes")
            if line.strip():
                yield _decoded(line, f"{path.name}: line {number}")


def csv_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV file by its header's columns, `label` among them, and its place as an error names it.

    Raises:
        BadFile: `unreadable`, `bad_header` for one without `label`, or `bad_row` for a row unlike it.
    """
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise BadFile("unreadable", f"{path}: {error.strerror}") from None
    with file:
        try:
            for number, row in read_table(file, "label"):
                yield f"{path.name}: line {number}", row
        except UnicodeDecodeError:
            raise BadFile("bad_row", f"{path.name}: not UTF-8") from None
        except InvalidInstance as error:
            code = error.code if error.code == "bad_header" else "bad_row"
            raise BadFile(code, f"{path.name}: {error.detail}") from None


def load_npz(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an npz file holds.

    Raises:
        BadFile: `unreadable`, for what is no such file or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in names if name in arrays}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError):
        raise BadFile("unreadable", f"{path.name}: not an npz file of plain arrays") from None


def _read_csv(path: Path, spec: InputSpec) -> Iterator[FeedbackEvent]:
    for place, row in csv_rows(path):
        yield _from_csv(row, spec, place)


def _from_csv(row: dict[str, str], spec: InputSpec, place: str) -> FeedbackEvent:
    members: dict[str, Any] = {name: row[name] for name in EVENT_COLUMNS if row.get(name)}
    values = {name: value for name, value in row.items() if name not in EVENT_COLUMNS}
    if values and not (row.get("prediction_id") and not any(values.values())):
        with naming(place):
            members[INSTANCE_COLUMN] = instance_of(values, spec)
    return _decoded(msgspec.json.encode(members), place)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Inside, what is wrong with a row is told with the row's place.

    Raises:
        BadFile: `bad_row`.
    """
    try:
        yield
    except InvalidInstance as error:
        raise BadFile("bad_row", f"{place}: {error.detail}") from None


def _read_npz(path: Path, spec: InputSpec) -> Iterator[FeedbackEvent]:
    arrays = load_npz(path, NPZ_ARRAYS)
    instances, labels = arrays.get("instances"), arrays.get("labels")
    if instances is None or labels is None:
        raise BadFile("bad_header", f"{path.name}: needs the arrays `instances` and `labels`")
    tasks = arrays.get("tasks")
    if len(labels) != len(instances) or (tasks is not None and len(tasks) != len(instances)):
        raise BadFile("bad_header", f"{path.name}: its arrays are not equally long")
    if not isinstance(spec, TextInput) and instances.shape[1:] != spec.row_shape:
        raise BadFile(
            "bad_header", f"{path.name}: instances have the shape {instances.shape[1:]}, not {spec.row_shape}"
        )
    for number in range(len(instances)):
        members: dict[str, Any] = {"instance": instances[number].tolist(), "label": labels[number].item()}
        if tasks is not None:
            members["task"] = str(tasks[number])
        yield _decoded(msgspec.json.encode(members), f"{path.name}: row {number}")


def _decoded(body: bytes, place: str) -> FeedbackEvent:
    try:
        return decode_event(body)
    except InvalidEvent as error:
        raise BadFile("bad_row", f"{place}: {error.detail}") from None


READERS: dict[str, Callable[[Path, InputSpec], Iterator[FeedbackEvent]]] = {
    ".ndjson": _read_ndjson,
    ".jsonl": _read_ndjson,
    ".csv": _read_csv,
    ".npz": _read_npz,
}
"""What reads a file, by its ending."""
