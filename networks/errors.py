"""Facts that keep a network from answering."""

from contracts.errors import LifelongError


class UnknownTask(LifelongError):
    """In the task scenario a prediction names no task, or one that the version has no outputs for."""


class UnknownLabel(LifelongError):
    """The version has no output for a label."""


class Untrained(LifelongError):
    """The version has no outputs yet, because no label was ever learned."""


class Unexplained(LifelongError):
    """The network is of a kind whose answers cannot be attributed to its inputs."""
