"""What the two halves are told of a model's configuration, and the actors that are made of it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
from pydantic import BaseModel, SecretStr
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from contracts.errors import InvalidConfiguration
from contracts.status import NAMESPACE, hub_name, trainer_name
from feedback.settings import KafkaSettings
from lifelong.errors import ClusterLost
from lifelong.settings import Settings
from registry.store import Registry
from service.outbox import Outbox
from service.remote import HubActor
from service.settings import HostedModel
from trainer.actor import TrainerActor
from trainer.errors import ForeignState

A_BYTE = 1
"""What an actor must ask for at least, lest Ray puts it on any node, whatever node it was given."""
COMMANDS_AT_A_TIME = 8
STOP_SECONDS = 20.0
CONFIGURATION_FAULTS = {InvalidConfiguration.__name__, ForeignState.__name__}


def hosted(settings: Settings, state: Path) -> HostedModel:
    """The model as a replica needs it."""
    return HostedModel(
        name=settings.model,
        input=settings.input,
        labels=settings.labels,
        network=settings.network,
        directory=directory(settings, state),
        predictions=settings.predictions,
    )


def training(settings: Settings, state: Path) -> str:
    """The JSON of the trainer's configuration. It holds secrets as they are: it goes to the trainer alone."""
    names = ("model", "input", "labels", "network", "strategies", "feedback", "predictions", "learner")
    document = {name: getattr(settings, name) for name in (*names, "tasks", "probes", "promotion")}
    own = {"directory": directory(settings, state), "registry_uri": settings.registry.uri}
    return json.dumps(document | own, default=_revealed)


def directory(settings: Settings, state: Path) -> Path:
    """The model's part of the state directory, made if needed."""
    path = state.absolute() / settings.model
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def start_hub(settings: Settings, state: Path, outlives_driver: bool = False) -> Any:
    """Starts the model's hub and returns at once; it lives for as long as this handle does.

    It runs on this program's node, and elsewhere only when that is lost: a trainer may go without taking it along.
    One that outlives its driver lives until the cluster ends; where there is one of this model, it is that one.
    """
    registry = partial(Registry, settings.model, settings.registry.uri, directory(settings, state))
    outbox = None
    if isinstance(settings.feedback, KafkaSettings):
        path = hosted(settings, state).feedback_path
        outbox = partial(Outbox, path, settings.feedback, settings.model)
    actor: Any = ray.remote(HubActor)
    lasting = {"lifetime": "detached", "get_if_exists": True} if outlives_driver else {}
    placed = actor.options(
        name=hub_name(settings.model),
        namespace=NAMESPACE,
        num_cpus=0,
        memory=A_BYTE,
        max_restarts=-1,
        scheduling_strategy=_here(is_fixed=False),
        **lasting,
    )
    specification = {name: getattr(settings, name).model_dump(mode="json") for name in ("input", "labels")}
    specification["promotion"] = {"mode": settings.promotion.mode}
    return placed.remote(settings.model, registry, outbox, specification)


def start_trainer(settings: Settings, state: Path, is_here: bool = False) -> Any:
    """Starts the model's trainer and returns at once; it lives for as long as this handle does, and needs the hub.

    `is_here` keeps it on this program's node; else Ray chooses one that has its GPUs.
    """
    actor: Any = ray.remote(TrainerActor)
    placed = actor.options(
        name=trainer_name(settings.model),
        namespace=NAMESPACE,
        num_cpus=0,
        num_gpus=settings.learner.num_gpus,
        max_restarts=-1,
        max_concurrency=COMMANDS_AT_A_TIME,
        scheduling_strategy=_here(is_fixed=True) if is_here else "DEFAULT",
    )
    return placed.remote(training(settings, state))


def require_started(settings: Settings, trainer: Any) -> None:
    """Waits until a trainer has begun.

    Raises:
        InvalidConfiguration: its configuration, or a state directory of another one, prevents it.
        ClusterLost: anything else does. Both give the trainer's own reason.
    """
    try:
        ray.get(trainer.ping.remote())
    except ray.exceptions.RayActorError as error:
        # Ray hands on what an actor's constructor raised as the text of a traceback, and only so.
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        kind, _, reason = last.partition(": ")
        detail = f"{settings.model}: {reason or last}"
        if kind.rpartition(".")[2] in CONFIGURATION_FAULTS:
            raise InvalidConfiguration("trainer_failed", detail) from None
        raise ClusterLost("trainer_failed", detail) from None


def stop(trainers: Sequence[Any]) -> None:
    """Lets trainers end at a checkpoint. Their state is safe without it; the next start is quicker with it."""
    stopped = [trainer.stop.remote() for trainer in trainers]
    ray.wait(stopped, num_returns=len(stopped), timeout=STOP_SECONDS)


def _here(is_fixed: bool) -> NodeAffinitySchedulingStrategy:
    """This program's node; what is not fixed to it goes elsewhere when it is lost."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=not is_fixed)


def _revealed(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(by_alias=True)
        case SecretStr():
            return value.get_secret_value()
        case Path():
            return str(value)
    raise TypeError(type(value).__name__)
