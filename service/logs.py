"""The form of log lines: as each library writes them or, where `LIFELONG_LOG` is `json`, a JSON object a line.

Ray and its Serve write the lines of their own processes, and of ours, in either form; this says which.
"""

import os
from typing import Literal

from contracts.errors import InvalidConfiguration

VARIABLE = "LIFELONG_LOG"
LEVEL = "WARNING"


def are_json() -> bool:
    """Whether a line is an object."""
    return os.environ.get(VARIABLE) == "json"


def encoding() -> Literal["TEXT", "JSON"]:
    """Ray's word for the form.

    Raises:
        InvalidConfiguration: `unknown_log_form`.
    """
    match os.environ.get(VARIABLE, ""):
        case "json":
            return "JSON"
        case "" | "text":
            return "TEXT"
    raise InvalidConfiguration("unknown_log_form", f"{VARIABLE}: expected json or text")


def variables() -> dict[str, str]:
    """What must be in the environment of a node, before its Ray starts, for what no program of ours starts there."""
    if encoding() == "TEXT":
        return {}
    return {"RAY_LOGGING_CONFIG_ENCODING": "JSON", "RAY_BACKEND_LOG_JSON": "1"}
