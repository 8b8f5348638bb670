"""The service as a Serve configuration names it, `lifelong.application:build`: so KubeRay's `RayService` deploys it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict
from ray.serve import Application

from lifelong.actors import hosted, start_hub
from lifelong.settings import load_all
from lifelong.tokens import require_guarded
from service.app import application

EVERYWHERE = "0.0.0.0"


class Arguments(BaseModel):
    """The `args` of the Serve configuration."""

    model_config = ConfigDict(extra="forbid")

    configs: list[Path]
    """One YAML file for each model, there on every node."""
    state: Path
    """The directory for everything that must survive, the same for every node and for `lifelong train`."""


def build(arguments: Arguments) -> Application:
    """The application, and the hub of every model, which lives until the cluster ends.

    Serve may build it again: hubs that are there stay. So another configuration needs another cluster, which is what
    KubeRay makes of a changed pod.

    Raises:
        InvalidConfiguration: a file does not say what it must, or others could reach the service without a token.
    """
    models = load_all(arguments.configs)
    require_guarded(models[0].service, EVERYWHERE)
    for settings in models:
        start_hub(settings, arguments.state, outlives_driver=True)
    return application([hosted(settings, arguments.state) for settings in models], models[0].service)
