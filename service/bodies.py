"""Predict requests that are not JSON: CSV, images, and lines of JSON. Each becomes the JSON it stands for."""

import base64
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from contracts.cells import LABEL_COLUMN, InstanceReader, read_table
from contracts.errors import InvalidInstance
from contracts.events import TASK_PATTERN
from contracts.inputs import ImageInput, InputSpec, TabularInput
from service.errors import RequestFault

NDJSON = b"application/x-ndjson"
CSV = b"text/csv"
IMAGES = (b"image/png", b"image/jpeg")
OTHER_FORMS = frozenset({NDJSON, CSV, *IMAGES})
OPTIONS = ("task", "scores")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def form_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The media type of a body that is of one of these forms; None for all others, JSON among them."""
    for name, value in headers:
        if name == b"content-type":
            media = value.partition(b";")[0].strip().lower()
            return media if media in OTHER_FORMS else None
    return None


def options_of(query: bytes) -> dict[str, Any]:
    """The members of a JSON request that the address has to say for a body that has no place for them.

    Raises:
        RequestFault: `invalid_request`.
    """
    options: dict[str, Any] = {}
    for name, values in parse_qs(query.decode("latin-1"), keep_blank_values=True).items():
        if name not in OPTIONS or len(values) > 1:
            raise RequestFault("invalid_request", f"the address may say {' and '.join(OPTIONS)}, each once")
        options[name] = values[0]
    if not re.match(TASK_PATTERN, options.get("task", "x")):
        raise RequestFault("invalid_request", "task: not a task's name")
    if "scores" in options:
        if options["scores"] not in {"true", "false"}:
            raise RequestFault("invalid_request", "scores: must be true or false")
        options["scores"] = options["scores"] == "true"
    return options


def as_json(form: bytes, body: bytes, spec: InputSpec, options: dict[str, Any], max_instances: int) -> bytes:
    """The JSON request that a CSV or image body stands for; of CSV no more than one row beyond the limit is read.

    Raises:
        RequestFault: `unsupported_media_type`, for images where the model takes none.
        InvalidInstance: `bad_header`, `malformed_csv`, `wrong_type` or `wrong_shape`, naming the line.
    """
    if form == CSV:
        instances = list(itertools.islice(_rows(body, spec), max_instances + 1))
    elif isinstance(spec, ImageInput):
        instances = [{"b64": base64.b64encode(body).decode()}]
    else:
        raise RequestFault("unsupported_media_type", "the model does not take images")
    return msgspec.json.encode({"instances": instances, **options})


def with_options(body: bytes, options: dict[str, Any]) -> bytes:
    """A JSON request that says what its address says, where it does not say it itself."""
    try:
        said = _MEMBERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body  # which is refused where every body is
    unsaid = {name: value for name, value in options.items() if name not in said}
    return body.rstrip()[:-1] + b"," + msgspec.json.encode(unsaid)[1:] if unsaid and said else body


def _rows(body: bytes, spec: InputSpec) -> Iterator[Any]:
    lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", errors="surrogateescape", newline="")
    table = read_table(lines)
    read = _reader(table.columns, spec)
    for place, row in table.rows:
        try:
            if isinstance(row, InvalidInstance):
                raise row
            yield read(row)
        except InvalidInstance as error:
            raise InvalidInstance(error.code, f"{place}: {error.detail}") from None


def _reader(columns: list[str], spec: InputSpec) -> InstanceReader:
    """Refuses what is meant as feedback, whose other columns might still have the instance's shape."""
    is_own = isinstance(spec, TabularInput) and LABEL_COLUMN in spec.columns
    if LABEL_COLUMN in columns and not is_own:
        raise InvalidInstance("bad_header", f"predict takes instances alone: leave the column `{LABEL_COLUMN}` out")
    return InstanceReader(columns, spec)
