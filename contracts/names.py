"""The one shape of names that become routes, topics and directories: those of models and tasks."""

from typing import Annotated

from pydantic import Field

SIMPLE_NAME = "[a-z0-9][a-z0-9_-]{0,62}"

ModelName = Annotated[str, Field(pattern=f"^{SIMPLE_NAME}$")]
