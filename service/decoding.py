"""One reading of JSON bodies that are not on the fast path: typed, or one clear refusal."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from contracts.events import explain
from contracts.keys import has_duplicates
from service.errors import RequestFault

Document = TypeVar("Document")


def decoded(decoder: msgspec.json.Decoder[Document], body: bytes | memoryview) -> Document:
    """The body as the decoder's type.

    Raises:
        RequestFault: `malformed_json`, or `invalid_request` with the place of the fault.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestFault("invalid_request", explain(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed() from None


def check_keys(body: bytes | memoryview, keys: Sequence[str], times: int = 1) -> None:
    """Refuses JSON with an object that has a key twice; `keys` and `times` as `has_duplicates`.

    Raises:
        RequestFault: `duplicate_key`, or `malformed_json`.
    """
    try:
        if has_duplicates(bytes(body), keys, times):
            raise RequestFault("duplicate_key", "the body names one key twice")
    except (ValueError, RecursionError):
        raise malformed() from None


def malformed() -> RequestFault:
    """The refusal of a body that is not JSON."""
    return RequestFault("malformed_json", "the body is not valid JSON")
