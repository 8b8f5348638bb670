"""What the service is told at its start; the model's own configuration lies in the same document beside it."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from contracts.inputs import InputSpec, Specification
from contracts.labels import LabelSpec
from contracts.names import ModelName
from feedback.settings import PredictionSettings
from networks.settings import NetworkSpec


class ServingSettings(Specification):
    """How many replicas answer, and what one of them accepts."""

    num_replicas: int = Field(default=1, ge=1, le=256)
    cpus_per_replica: float = Field(default=0.0, ge=0)
    max_body_bytes: int = Field(default=8 << 20, ge=1 << 10, le=1 << 30)
    max_instances: int = Field(default=4096, ge=1)
    max_events: int = Field(default=4096, ge=1)
    max_in_flight: int = Field(default=256, ge=1)
    """Requests that one replica works on at a time; beyond them it answers 429."""
    max_streams: int = Field(default=64, ge=1)
    """Server-sent event streams open at one replica; each asks the hub once a second."""
    tokens: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    """The file of the bearer tokens that requests need; without one, only a loopback address may be listened at."""


class HostedModel(Specification):
    """One model as a replica needs it: its name, what goes in and comes out, and where its files lie."""

    name: ModelName
    input: InputSpec
    labels: LabelSpec = LabelSpec()
    network: NetworkSpec
    directory: Path
    predictions: PredictionSettings = PredictionSettings()

    @property
    def feedback_path(self) -> Path:
        """The log that accepted feedback is durable in before its answer."""
        return self.directory / "feedback.db"

    @property
    def predictions_path(self) -> Path:
        """The recent predictions that feedback may name."""
        return self.directory / "predictions.db"
