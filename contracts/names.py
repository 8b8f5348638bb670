"""The shapes of names, as regular expressions without anchors: Python and pydantic write the end differently."""

from typing import Annotated

from pydantic import Field

SIMPLE_NAME = "[a-z0-9][a-z0-9_-]{0,62}"
"""Of models and tasks: they become routes, topics and directories."""
PLAIN_NAME = r"[^\x00-\x1f\x7f]{1,200}"
"""Of labels and subjects: anything without control characters."""

ModelName = Annotated[str, Field(pattern=f"^{SIMPLE_NAME}$")]
