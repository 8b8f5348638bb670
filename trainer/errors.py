"""Facts that stop the trainer or one of its commands."""

from contracts.errors import LifelongError


class UnknownVersion(LifelongError):
    """A rollback names a version that does not exist or whose weights are no longer kept."""


class UnknownTask(LifelongError):
    """A task is to be closed that no event has named, or that is closed already."""


class CorruptState(LifelongError):
    """A file of the state directory is damaged, and nothing else there tells what it held."""


class PeerLost(Exception):
    """A process that learns along has ended or does not answer: the trainer starts again, from its record.

    It is no `LifelongError`, so that it never becomes the answer to a command.
    """


class ForeignState(LifelongError):
    """The state directory belongs to another configuration or a newer release."""


class StateUnwritable(LifelongError):
    """The trainer's database cannot be written now; trying again later may help."""
