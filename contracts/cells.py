"""Rows of CSV as instances: the same reading for a file of feedback and for a predict request."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from contracts.errors import InvalidInstance
from contracts.inputs import InputSpec, TabularInput, TextInput

INSTANCE_COLUMN = "instance"


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
    """The number that a cell holds, whole where it is.

    Raises:
        InvalidInstance: `wrong_type`.
    """
    try:
        found = float(cell)
    except ValueError:
        raise InvalidInstance("wrong_type", "a value is not a number") from None
    if not math.isfinite(found):
        raise InvalidInstance("wrong_type", "a value is not finite")
    return int(found) if found.is_integer() else found


def _json(cell: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(cell)
    except msgspec.MsgspecError:
        raise InvalidInstance("wrong_type", f"the column {INSTANCE_COLUMN} is not JSON") from None
    return msgspec.Raw(cell)
