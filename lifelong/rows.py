"""Feedback events out of a file: NDJSON, CSV or npz, by the file's ending; a bad row is told and passed over."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.cells import INSTANCE_COLUMN, LABEL_COLUMN, InstanceReader, Table, read_table
from contracts.errors import InvalidEvent, InvalidInstance, LifelongError
from contracts.events import FeedbackEvent, decode_event
from contracts.inputs import InputSpec, TextInput
from lifelong.errors import BadFile

EVENT_COLUMNS = (LABEL_COLUMN, "event_id", "prediction_id", "task", "subject", "time")
NPZ_ARRAYS = ("instances", "labels", "tasks")
MAX_LINE_BYTES = 8 << 20


class Row(NamedTuple):
    """A row of a file: where it stands, and the event that it is or, as a value, why it is none."""

    place: str
    event: FeedbackEvent | LifelongError


def read_rows(path: Path, spec: InputSpec) -> Iterator[Row]:
    """The rows of a file, in its order; every event carries an id.

    Where a row brings no event id, it gets one made of the file's content and the row's number: sending the same file
    again, whole or after an interruption, trains nothing twice.

    NDJSON: one feedback event a line, as over REST. CSV: a header with `label`, optionally the other members of an
    event, and the instance as one column `instance` (JSON or text) or `text`, as a tabular model's columns, or as the
    remaining columns in order. npz: arrays `instances` and `labels`, optionally `tasks`.

    Raises:
        BadFile: the ending is unknown, the file cannot be read, or its header or arrays are not such.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadFile("unknown_format", f"{path.name}: must end in one of {', '.join(READERS)}")
    digest = _digest(path)
    for number, (place, event) in enumerate(reader(path, spec)):
        yield Row(place, _named(event, f"{digest}-{number}"))


def _named(event: FeedbackEvent | LifelongError, event_id: str) -> FeedbackEvent | LifelongError:
    if isinstance(event, LifelongError) or event.event_id:
        return event
    return msgspec.structs.replace(event, event_id=event_id)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:24]
    except OSError as error:
        raise BadFile("unreadable", f"{path}: {error.strerror}") from None


def _read_ndjson(path: Path, spec: InputSpec) -> Iterator[Row]:  # noqa: ARG001  one signature for all readers
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            place = f"line {number}"
            if len(line) > MAX_LINE_BYTES:
                yield Row(place, InvalidEvent("line_too_long", f"longer than {MAX_LINE_BYTES} bytes"))
                _skip_line(file, line)
            elif line.strip():
                yield Row(place, _decoded(line))


def _skip_line(file: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(MAX_LINE_BYTES)


def csv_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV file by its header's columns, `label` among them, and its place as an error names it.

    Raises:
        BadFile: as `_table`, or `bad_row` for what stands in place of a row.
    """
    with _table(path) as table:
        for place, row in table.rows:
            if isinstance(row, InvalidInstance):
                raise BadFile("bad_row", f"{path.name}: {place}: {row.detail}")
            yield f"{path.name}: {place}", row


@contextmanager
def _table(path: Path) -> Iterator[Table]:
    """A CSV file with a column `label`, open.

    Raises:
        BadFile: `unreadable`, or `bad_header` for a header that it or the code inside refuses.
    """
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise BadFile("unreadable", f"{path}: {error.strerror}") from None
    with file:
        try:
            yield read_table(file, LABEL_COLUMN)
        except InvalidInstance as error:
            raise BadFile("bad_header", f"{path.name}: {error.detail}") from None


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


def _read_csv(path: Path, spec: InputSpec) -> Iterator[Row]:
    with _table(path) as table:
        has_instances = not set(table.columns) <= set(EVENT_COLUMNS)
        read = InstanceReader(table.columns, spec, EVENT_COLUMNS) if has_instances else None
        for place, row in table.rows:
            yield Row(place, row if isinstance(row, InvalidInstance) else _from_csv(row, read))


def _from_csv(row: dict[str, str], read: InstanceReader | None) -> FeedbackEvent | LifelongError:
    members: dict[str, Any] = {name: row[name] for name in EVENT_COLUMNS if row.get(name)}
    if read and not ("prediction_id" in members and read.is_blank(row)):
        try:
            members[INSTANCE_COLUMN] = read(row)
        except InvalidInstance as error:
            return error
    return _decoded(msgspec.json.encode(members))


def _read_npz(path: Path, spec: InputSpec) -> Iterator[Row]:
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
        yield Row(f"row {number}", _decoded(msgspec.json.encode(members)))


def _decoded(body: bytes) -> FeedbackEvent | LifelongError:
    try:
        body.decode()  # an instance is not looked at here, and the service might refuse all that is sent beside it
        return decode_event(body)
    except UnicodeDecodeError:
        return InvalidEvent("malformed_json", "not UTF-8")
    except InvalidEvent as error:
        return error


READERS: dict[str, Callable[[Path, InputSpec], Iterator[Row]]] = {
    ".ndjson": _read_ndjson,
    ".jsonl": _read_ndjson,
    ".csv": _read_csv,
    ".npz": _read_npz,
}
"""What reads a file, by its ending."""
