"""Why a version could not be written or read."""

from contracts.errors import LifelongError


class RegistryUnavailable(LifelongError):
    """The registry did not answer, or refused; the same call may succeed later."""


class UnregisteredVersion(LifelongError):
    """The registry holds no version of that number."""
