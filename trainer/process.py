"""What a trainer and its peers have in common as processes: they give way to serving, and a fault ends them at once."""

import os
import sys
import traceback
from typing import NoReturn

NICENESS = 5
"""Learning gives way to serving where both want the same core."""
EXIT_CODE = 70


def give_way() -> None:
    """Lowers this process's priority."""
    os.nice(NICENESS)


def end_at_once() -> NoReturn:
    """Ends this process, and first says on stderr why where an error is being handled; Ray starts a trainer again."""
    if sys.exception() is not None:
        traceback.print_exc()
    os._exit(EXIT_CODE)
