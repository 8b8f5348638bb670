"""Rows of CSV as instances: the same reading for a file of feedback and for a predict request."""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from contracts.errors import InvalidInstance
from contracts.inputs import InputSpec, TabularInput, TextInput

INSTANCE_COLUMN = "instance"
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
MAX_CELL_CHARACTERS = 8 << 20
csv.field_size_limit(MAX_CELL_CHARACTERS)  # the module's own limit is an image of 80 by 80


def instance_of(cells: Mapping[str, str], spec: InputSpec) -> Any:
    """The instance, in its JSON form, that a row's cells hold by the names of their columns.

    One column `instance` holds it as JSON, or is the text. A tabular model has its own columns; otherwise the cells are
    the instance's numbers in row-major order.

    Raises:
        InvalidInstance: `wrong_type` for a cell that is no finite number or no JSON, `wrong_shape` for too many or few.
    """
    if list(cells) == [INSTANCE_COLUMN]:
        cell = cells[INSTANCE_COLUMN]
        return cell if isinstance(spec, TextInput) else _json(cell)
    if isinstance(spec, TabularInput):
        categories = {name for name, kind in spec.columns.items() if isinstance(kind, list)}
        return {name: cell if name in categories else finite_number(cell) for name, cell in cells.items()}
    if len(cells) != math.prod(spec.row_shape):
        raise InvalidInstance("wrong_shape", f"{len(cells)} cells, expected as many as {list(spec.row_shape)} has")
    return np.reshape([finite_number(cell) for cell in cells.values()], spec.row_shape).tolist()


def finite_number(cell: str) -> float:
    """The number that a cell holds, written as in JSON or with a plus or a bare point; whole where it is.

    Raises:
        InvalidInstance: `wrong_type`.
    """
    if not NUMBER.fullmatch(cell):
        raise InvalidInstance("wrong_type", "a value is not a number")
    found = float(cell)
    if not math.isfinite(found):
        raise InvalidInstance("wrong_type", "a value is not finite")
    return int(found) if found.is_integer() else found


def read_table(lines: Iterable[str], *required: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of CSV by the names in its header, each with the number of the line that it ends in.

    Raises:
        InvalidInstance: `bad_header`, it does not name each column once, or lacks one that is required;
            `malformed_csv`, for a row unlike it.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        if not header or len(set(header)) < len(header) or not set(required) <= set(header):
            needed = "".join(f", with `{name}`" for name in required)
            raise InvalidInstance("bad_header", f"the first line must name each column once{needed}")
        for row in reader:
            yield reader.line_num, dict(zip(header, row, strict=True))
    except (csv.Error, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise InvalidInstance("malformed_csv", f"line {reader.line_num}: not a row like the header") from None


def _json(cell: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(cell)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidInstance("wrong_type", f"the column {INSTANCE_COLUMN} is not JSON") from None
    return msgspec.Raw(cell)
