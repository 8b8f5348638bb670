"""`lifelong node`: a node of a Ray cluster that can serve; the cluster, its token and its ports are the command's."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lifelong.errors import InvalidArgument
from service.environment import environment


def become(command: Sequence[str]) -> None:
    """Becomes the command, with what replicas and HAProxy need in its environment; variables that are set stay.

    Raises:
        InvalidArgument: there is no such program.
    """
    directory = Path(tempfile.mkdtemp(prefix="ll-", dir="/tmp"))  # a short path: HAProxy's sockets lie in it
    os.environ |= environment(directory) | os.environ
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        raise InvalidArgument("no_program", f"{command[0]}: {error.strerror}") from None
