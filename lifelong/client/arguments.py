"""What the caller gave, checked before anything is sent; no error repeats it where it may be secret."""

import os
import re
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from lifelong.client.patience import Patience
from lifelong.errors import InvalidArgument

TOKEN_VARIABLE = "LIFELONG_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1. Anything else would break the header, and HTTP libraries then print it."""


def checked_address(address: str) -> str:
    """The address without a slash at its end.

    Raises:
        InvalidArgument: `bad_address`.
    """
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise InvalidArgument("bad_address", "the address must be like http://127.0.0.1:8000, without user or query")
    return address.rstrip("/")


def checked_name(name: str, pattern: str, kind: str) -> str:
    """A name that becomes part of a route as it is.

    Raises:
        InvalidArgument: `bad_name`.
    """
    if not isinstance(name, str) or not re.match(pattern, name):
        raise InvalidArgument("bad_name", f"the {kind}'s name must match {pattern}")
    return name


def path_segment(name: str, pattern: str, kind: str) -> str:
    """A name that becomes one segment of a route, whatever it holds; dots are encoded too, as two of them lead upwards.

    Raises:
        InvalidArgument: `bad_name`.
    """
    try:
        return quote(checked_name(name, pattern, kind), safe="").replace(".", "%2E")
    except UnicodeEncodeError:
        raise InvalidArgument("bad_name", f"the {kind}'s name cannot be written in UTF-8") from None


def checked_number(number: int, kind: str) -> int:
    """A number counted from 1.

    Raises:
        InvalidArgument: `bad_number`.
    """
    if not isinstance(number, int) or number < 1:
        raise InvalidArgument("bad_number", f"the {kind} must be a whole number from 1 on")
    return number


def authorization(token: str | None) -> dict[str, str]:
    """The header for a token; None is that of the environment, an empty one none.

    Raises:
        InvalidArgument: `bad_token`.
    """
    token = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
    if not token:
        return {}
    if not _TOKEN.fullmatch(token):
        raise InvalidArgument("bad_token", "the token has characters that a bearer token cannot have")
    return {"authorization": f"Bearer {token}"}


def http_options(address: str, patience: Patience, token: str | None) -> dict[str, Any]:
    """What both clients give to httpx; proxies and certificates of the environment are not looked at.

    Raises:
        InvalidArgument: as `authorization`.
    """
    headers = authorization(token)
    return {"base_url": address, "timeout": patience.attempt_seconds, "headers": headers, "trust_env": False}


def as_json(document: Any) -> bytes:
    """The JSON of what the caller gave; NumPy arrays and numbers are written as lists and numbers.

    Raises:
        InvalidArgument: `not_json`.
    """
    try:
        return msgspec.json.encode(document, enc_hook=_builtin)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument("not_json", f"an argument has no JSON form ({type(error).__name__})") from None


def _builtin(value: Any) -> Any:
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError
