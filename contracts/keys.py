"""Keys that an object of JSON has twice, of which readers silently drop one."""

import json
from collections.abc import Sequence
from typing import Any


class _Duplicate(Exception):
    """Found one."""


def has_duplicates(content: bytes, keys: Sequence[str], times: int = 1) -> bool:
    """Whether an object in valid JSON has a key twice.

    Only where one of `keys` may occur more often than `times` is the content read again to see.

    Raises:
        ValueError, RecursionError: the content is not JSON after all.
    """
    if b"\\u" not in content and all(content.count(b'"%s"' % key.encode()) <= times for key in keys):
        return False
    try:
        json.loads(content, object_pairs_hook=_require_unique, parse_int=str, parse_float=str)
    except _Duplicate:
        return True
    return False


def _require_unique(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _Duplicate
