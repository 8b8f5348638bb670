"""Facts that end a command: each carries the exit status that the command line answers with."""

from collections.abc import Mapping
from typing import Any

from contracts.errors import InvalidConfiguration, LifelongError

EXIT_BAD_DATA = 65
EXIT_UNAVAILABLE = 69
EXIT_BUSY = 75
EXIT_NOT_PERMITTED = 77
EXIT_BAD_CONFIGURATION = 78
NOT_PERMITTED = frozenset({"unauthenticated", "forbidden"})
"""Codes of a service that wants another token."""


class MissingDataSet(LifelongError):
    """A named data set is neither on this machine nor to be had from its public source."""


class BadFile(LifelongError):
    """A file of feedback, or of a data set, cannot be read as what it should be."""


class InvalidArgument(LifelongError):
    """What a client was given cannot be sent to any service; nothing was sent."""


class ServiceUnreachable(LifelongError):
    """Nothing answers at the service's address, or it did not get ready in time."""


class RequestRefused(LifelongError):
    """The service answered with a problem document, kept in `problem`.

    `is_repeat`: the request had been sent before, and what became of it then is not known.
    """

    def __init__(self, code: str, detail: str, problem: Mapping[str, Any], is_repeat: bool = False) -> None:
        super().__init__(code, detail)
        self.problem = problem
        self.is_repeat = is_repeat


class StateDirectoryBusy(LifelongError):
    """Another instance uses the state directory."""


class PortTaken(LifelongError):
    """Another program listens on the port that the service should have."""


class ClusterLost(LifelongError):
    """The local Ray cluster under the service ended without being asked to."""


EXIT_STATUSES: dict[type[LifelongError], int] = {
    InvalidConfiguration: EXIT_BAD_CONFIGURATION,
    StateDirectoryBusy: EXIT_BUSY,
    PortTaken: EXIT_BUSY,
    BadFile: EXIT_BAD_DATA,
    RequestRefused: EXIT_BAD_DATA,
    InvalidArgument: EXIT_BAD_DATA,
}
"""What is not listed says that something needed is not there: 69."""


def exit_status(error: LifelongError) -> int:
    """The exit status of a command that this fact ends; a request without the right token has one of its own."""
    if error.code in NOT_PERMITTED:
        return EXIT_NOT_PERMITTED
    return next((number for kind, number in EXIT_STATUSES.items() if isinstance(error, kind)), EXIT_UNAVAILABLE)
