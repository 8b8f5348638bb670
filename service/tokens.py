"""Bearer tokens: made once, shown once, kept as their SHA-256 in a file that is read again when it changes."""

import fcntl
import hashlib
import logging
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from contracts.errors import InvalidConfiguration

LOGGER = logging.getLogger(__name__)
SECRET_BYTES = 32
PREFIX = "ll_"
LOOK_SECONDS = 1.0
"""How often the file is looked at: so long a revoked token goes on being taken."""
OWNERS_ONLY = 0o600
OTHERS = stat.S_IROTH | stat.S_IWOTH


class Role(StrEnum):
    """What a token may do; `admin` may do everything."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    OPERATE = "operate"
    ADMIN = "admin"


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token as the file holds it; `sha256` is that of its secret."""

    name: str
    roles: list[Role]
    sha256: str
    created_at: str


class TokenFile(msgspec.Struct, forbid_unknown_fields=True):
    """The file."""

    tokens: list[Token] = []


def read(path: Path) -> list[Token]:
    """The tokens of a file; none where there is no file yet.

    Raises:
        InvalidConfiguration: `bad_token_file`, it cannot be read, others may, or it is not what `write` writes.
    """
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from None
    if mode & OTHERS:
        raise _bad(path, "must not be readable or writable by everybody; chmod 600 it")
    try:
        return msgspec.json.decode(content, type=TokenFile).tokens
    except msgspec.MsgspecError:
        raise _bad(path, "is not a file that `lifelong token add` wrote") from None


def write(path: Path, tokens: Sequence[Token]) -> None:
    """Replaces the file in one step, readable by its owner alone.

    Raises:
        InvalidConfiguration: `bad_token_file`, it cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(TokenFile(list(tokens))))
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content + b"\n")
            os.fchmod(file.fileno(), OWNERS_ONLY)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise _bad(path, f"cannot be written: {error.strerror}") from None


@contextmanager
def changing(path: Path) -> Iterator[list[Token]]:
    """The tokens of a file to be changed inside, one program at a time; they are written when nothing was raised.

    Raises:
        InvalidConfiguration: `bad_token_file`, as `read` and `write`.
    """
    try:
        lock = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise _bad(path, f"cannot be written: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = read(path)
        yield tokens
        write(path, tokens)


def issue(name: str, roles: Sequence[Role]) -> tuple[Token, str]:
    """A new token and its secret of 256 random bits, which nothing keeps."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Token(name, list(roles), digest(secret.encode()), created_at), secret


def digest(secret: bytes) -> str:
    """What the file keeps of a secret; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret).hexdigest()


class Tokens:
    """The tokens of a file as they are now, within a second; while the file is damaged, as they were."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            InvalidConfiguration: `bad_token_file`, also for one without any token.
        """
        self._path = path
        self._signature = _signature(path)
        self._look_at = time.monotonic() + LOOK_SECONDS
        tokens = read(path)
        if not tokens:
            raise _bad(path, "has no token yet; `lifelong token add` makes one")
        self._roles = _by_digest(tokens)

    def roles(self, secret: bytes) -> frozenset[Role] | None:
        """The roles of the token with this secret; None when there is none."""
        if time.monotonic() >= self._look_at:
            self._look()
        return self._roles.get(digest(secret))

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        signature = _signature(self._path)
        if signature in (None, self._signature):
            return
        self._signature = signature
        try:
            self._roles = _by_digest(read(self._path))
        except InvalidConfiguration as error:
            LOGGER.error("%s: tokens stay as they were", error.detail)


def _by_digest(tokens: Sequence[Token]) -> dict[str, frozenset[Role]]:
    return {token.sha256: frozenset(token.roles) for token in tokens}


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _bad(path: Path, fact: str) -> InvalidConfiguration:
    return InvalidConfiguration("bad_token_file", f"service.tokens: {path} {fact}")
