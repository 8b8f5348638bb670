"""Rows of CSV as instances: the same reading for a file of feedback and for a predict request."""

import csv
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from contracts.errors import InvalidInstance
from contracts.inputs import InputSpec, StoryInput, TabularInput, TextInput

INSTANCE_COLUMN, LABEL_COLUMN = "instance", "label"
TEXT_COLUMNS = ("text", INSTANCE_COLUMN)
"""Either may hold a text."""
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
MAX_CELL_CHARACTERS = 8 << 20
csv.field_size_limit(MAX_CELL_CHARACTERS)  # the module's own limit is an image of 80 by 80


class Table(NamedTuple):
    """CSV: the names in its header, and its rows by these names, each with its place: `line 3`, or `lines 3 to 6`.

    In place of a row that is unlike the header or not UTF-8 stands why it is none: `malformed_csv`. Its place is all
    lines that were read as this row, as where a quote is not closed; those after it can be read. Blank lines are no
    rows.
    """

    columns: list[str]
    rows: Iterator[tuple[str, dict[str, str] | InvalidInstance]]


class InstanceReader:
    """Reads instances, in their JSON form, out of a table's rows; `besides` are columns that are no part of them.

    One column `instance` holds an instance as JSON, or is the text, which may also be named `text`. A tabular model has
    its own columns; otherwise the cells are the instance's numbers in row-major order.

    Raises:
        InvalidInstance: `wrong_shape`, these columns hold no such instance.
    """

    def __init__(self, columns: Sequence[str], spec: InputSpec, besides: Collection[str] = ()) -> None:
        self._spec = spec
        self._places = {name: place for place, name in enumerate(columns, start=1) if name not in besides}
        names = TEXT_COLUMNS if isinstance(spec, TextInput) else (INSTANCE_COLUMN,)
        self._whole = next((name for name in names if list(self._places) == [name]), None)
        if self._whole is None:
            _require_columns(self._places, spec)

    def __call__(self, row: Mapping[str, str]) -> Any:
        """A row's instance.

        Raises:
            InvalidInstance: `wrong_type` for a cell that is no finite number or no JSON, with its column: by its name
                where the model has it, else by its number.
        """
        if self._whole is not None:
            cell = row[self._whole]
            return cell if isinstance(self._spec, TextInput) else _json(cell)
        if isinstance(self._spec, TabularInput):
            kinds = self._spec.columns
            return {
                name: row[name] if isinstance(kinds[name], list) else finite_number(row[name], name)
                for name in self._places
            }
        numbers = [finite_number(row[name], str(place)) for name, place in self._places.items()]
        return np.reshape(numbers, self._spec.row_shape).tolist()

    def is_blank(self, row: Mapping[str, str]) -> bool:
        """Whether nothing stands where a row's instance would."""
        return not any(row[name] for name in self._places)


def finite_number(cell: str, column: str) -> float:
    """The number that a cell holds, written as in JSON or with a plus or a bare point; whole where it is.

    Raises:
        InvalidInstance: `wrong_type`.
    """
    if not NUMBER.fullmatch(cell):
        raise InvalidInstance("wrong_type", f"column {column}: not a number")
    found = float(cell)
    if not math.isfinite(found):
        raise InvalidInstance("wrong_type", f"column {column}: not a finite number")
    return int(found) if found.is_integer() else found


def read_table(lines: Iterable[str], *required: str) -> Table:
    """The table that lines of CSV are, decoded with `surrogateescape`; its rows are read as they are needed.

    Raises:
        InvalidInstance: `bad_header`, it does not name each column once, or lacks one that is required.
    """
    reader = csv.reader(lines, strict=True)
    header = next(_cells(reader), None)
    needed = "".join(f", with `{name}`" for name in required)
    expected = f"the first line must name each column once{needed}, in UTF-8"
    if not header or not _is_utf8(header) or len(set(header)) < len(header):
        raise InvalidInstance("bad_header", expected)
    if missing := [name for name in required if name not in header]:
        raise InvalidInstance("bad_header", f"{expected}; missing: {', '.join(missing)}")
    return Table(header, _rows(reader, header))


def _rows(reader: Any, header: list[str]) -> Iterator[tuple[str, dict[str, str] | InvalidInstance]]:
    first = reader.line_num + 1
    for cells in _cells(reader):
        last = reader.line_num
        if cells != []:
            yield f"line {last}" if first == last else f"lines {first} to {last}", _row(cells, header)
        first = last + 1


def _cells(reader: Any) -> Iterator[list[str] | None]:
    """The cells of each row, of a blank line none; None for what is no CSV."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _row(cells: list[str] | None, header: list[str]) -> dict[str, str] | InvalidInstance:
    if cells is None or len(cells) != len(header):
        return InvalidInstance("malformed_csv", "not a row like the header")
    if not _is_utf8(cells):
        return InvalidInstance("malformed_csv", "not UTF-8")
    return dict(zip(header, cells, strict=True))


def _is_utf8(cells: list[str]) -> bool:
    """Whether `surrogateescape` put nothing in the place of bytes that are no text."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_columns(places: Mapping[str, int], spec: InputSpec) -> None:
    match spec:
        case TabularInput():
            is_right = set(places) == set(spec.columns)
            expected = ", ".join(sorted(spec.columns)) + _difference(places, spec.columns)
        case TextInput():
            is_right, expected = False, " or ".join(TEXT_COLUMNS)
        case StoryInput():
            is_right, expected = False, INSTANCE_COLUMN
        case _:
            is_right = len(places) == math.prod(spec.row_shape)
            expected = f"{INSTANCE_COLUMN} alone, or as many as {list(spec.row_shape)} has numbers, not {len(places)}"
    if not is_right:
        raise InvalidInstance("wrong_shape", f"the columns of an instance must be {expected}")


def _difference(places: Mapping[str, int], known: Collection[str]) -> str:
    """Which of the known columns are missing, by their names, and the first that is none of them, by its number."""
    missing = ", ".join(sorted(set(known) - set(places)))
    surplus = next((place for name, place in places.items() if name not in known), None)
    return (f"; missing: {missing}" if missing else "") + (f"; column {surplus} is none of these" if surplus else "")


def _json(cell: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(cell)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidInstance("wrong_type", f"column {INSTANCE_COLUMN}: not JSON") from None
    return msgspec.Raw(cell)
