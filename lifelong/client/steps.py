"""What a call asks of the client that carries it out; nothing here does any input or output.

A call is a generator. It yields steps, is sent what came of each, and returns the call's answer: so `Client` and
`AsyncClient` need know no more than how a step is carried out.
"""

from collections.abc import Generator
from typing import Any, Generic, NamedTuple, TypeVar

import httpx

Item = TypeVar("Item")
Headers = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """Send this; what comes of it is the answer, or None when the connection failed.

    `route` is relative to the service's address. `may_repeat`: sending it twice does no more than sending it once. A
    streamed answer that is a success is left unread, for `Read`.
    """

    method: str
    route: str
    content: bytes | None = None
    headers: Headers = ()
    may_repeat: bool = True
    is_streamed: bool = False


class Read(NamedTuple):
    """Read on in the streamed answer; what comes of it is bytes, none at its end, or None when it broke off."""


class Pause(NamedTuple):
    """Do nothing for so long."""

    seconds: float


class Give(NamedTuple, Generic[Item]):
    """Hand an item to the caller."""

    item: Item


Outcome = httpx.Response | None
Exchange = Generator[Request | Pause, Any, Item]
"""A call with one answer."""
Flow = Generator[Request | Read | Pause | Give[Item], Any, None]
"""A call whose answers come one by one."""
