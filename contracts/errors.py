"""Errors that carry a stable code, so that REST answers, dead letters and log lines name a fact by the same word."""

import copyreg
from typing import Any


class LifelongError(Exception):
    """A fact that stops one request, one event or one start.

    `code` is a stable snake_case word for machines; `detail` is one sentence for people. Neither ever
    contains the offending input itself, only its place, its kind or its size.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """An error that crosses from one process to another keeps its class and all it says."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InvalidInstance(LifelongError):
    """An instance does not have the configured shape, type or range."""


class InvalidEvent(LifelongError):
    """A feedback event cannot be learned from, ever: it is rejected over REST and dead-lettered from Kafka."""


class InvalidArtifact(LifelongError):
    """A version's files are incomplete, altered or hold non-finite weights."""


class InvalidConfiguration(LifelongError):
    """A setting is unknown or out of range; the process exits with 78 before any input or output."""
