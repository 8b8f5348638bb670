"""One reading of JSON bodies that are not on the fast path: typed, or one clear refusal."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from contracts.events import explain
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
    """Refuses an object that has a key twice, of which JSON readers silently drop one.

    Only where one of `keys` may occur more often than `times` is the body read again to see.

    Raises:
        RequestFault: `duplicate_key`.
    """
    content = bytes(body)
    if b"\\u" not in content and all(content.count(b'"%s"' % key.encode()) <= times for key in keys):
        return
    json.loads(content, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise RequestFault("duplicate_key", "the body names one key twice")


def malformed() -> RequestFault:
    """The refusal of a body that is not JSON."""
    return RequestFault("malformed_json", "the body is not valid JSON")
