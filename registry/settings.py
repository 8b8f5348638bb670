"""Where versions are kept."""

from typing import Annotated

from pydantic import Field

from contracts.inputs import Specification

ServerAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]\S*$")]


class RegistrySettings(Specification):
    """`uri`: address of an MLflow tracking server; null keeps an embedded MLflow on SQLite in the state directory."""

    uri: ServerAddress | None = None
