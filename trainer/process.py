"""What a trainer and its peers have in common as processes: they give way to serving, and a fault ends them at once."""

import logging
import os
import sys
from typing import NoReturn

LOGGER = logging.getLogger(__name__)
NICENESS = 5
"""Learning gives way to serving where both want the same core."""
EXIT_CODE = 70


def give_way() -> None:
    """Lowers this process's priority."""
    os.nice(NICENESS)


def end_at_once() -> NoReturn:
    """Ends this process, and first logs why where an error is being handled; Ray starts a trainer again."""
    if sys.exception() is not None:
        LOGGER.critical("this process cannot go on", exc_info=True)
    os._exit(EXIT_CODE)
