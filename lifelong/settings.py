"""The configuration of one model: one YAML file, overridden by `LIFELONG__A__B` variables of the environment."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from contracts.errors import InvalidConfiguration
from contracts.inputs import InputSpec
from contracts.labels import LabelSpec
from contracts.names import ModelName
from feedback.settings import FeedbackSettings, PredictionSettings, SqliteSettings
from lifelong.document import read_document
from lifelong.explain import did_you_mean, explain
from networks.settings import ImportedSpec, NetworkSpec, check_fits, default_network
from registry.settings import RegistrySettings
from service.settings import ServingSettings
from trainer.catalogue import check_divisible, check_strategies
from trainer.policies import ProbeSettings, PromotionSettings, TaskSettings
from trainer.settings import LearnerSettings

VARIABLE_PREFIX = "LIFELONG__"
DEFAULT_STRATEGIES: list[dict[str, Any]] = [{"kind": "replay", "capacity": 2000}, {"kind": "ewc", "strength": 10.0}]


def _mapping(entry: Any) -> Any:
    if not isinstance(entry, dict):
        raise ValueError("must be a mapping such as {kind: replay}")
    return entry


StrategyEntry = Annotated[dict[str, Any], BeforeValidator(_mapping)]


class Settings(BaseSettings):
    """Everything that can be set for one model; only `model` and `input` must be."""

    model_config = SettingsConfigDict(
        env_prefix=VARIABLE_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    model: ModelName
    """Name of the model in routes, topics and the registry."""
    input: InputSpec
    """What one instance looks like: tensor, image, text or tabular."""
    labels: LabelSpec = LabelSpec()
    """Which labels exist, and the scenario by which tasks divide them: task, domain or class."""
    network: NetworkSpec = Field(default_factory=lambda known: default_network(known["input"]))
    """What is trained: mlp, conv, text, or your own module by `import: package.module:build`; its default depends on
    the input."""
    strategies: list[StrategyEntry] = Field(default=DEFAULT_STRATEGIES, max_length=16)
    """What protects old tasks; each entry names its `kind`, and together they act as one. An empty list is plain
    fine-tuning."""
    feedback: FeedbackSettings = SqliteSettings()
    """The durable log between service and trainer: sqlite or kafka."""
    predictions: PredictionSettings = PredictionSettings()
    """How long an answer can be corrected by its prediction id alone."""
    registry: RegistrySettings = RegistrySettings()
    """Where versions are kept."""
    learner: LearnerSettings = LearnerSettings()
    """How the network is trained, and on what device."""
    tasks: TaskSettings = TaskSettings()
    """When a task closes by itself."""
    probes: ProbeSettings = ProbeSettings()
    """Which part of the feedback is held out to measure old and new tasks."""
    promotion: PromotionSettings = PromotionSettings()
    """When a new version is served, and what it may cost old tasks."""
    service: ServingSettings = ServingSettings()
    """How requests are answered."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file."""
        return env_settings, init_settings


class Setting(NamedTuple):
    """One effective setting: its dotted key, its value in JSON form with secrets masked, and where it came from."""

    key: str
    value: Any
    origin: str


def load_settings(path: Path) -> Settings:
    """Reads and validates a configuration file and the environment's overrides.

    Raises:
        InvalidConfiguration: one line with the file or variable, the key, the fault, and the key probably meant.
    """
    document = read_document(path)
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**document)
        check_fits(settings.network, settings.input)
        return settings
    except ValidationError as error:
        fault = explain(error, Settings)
    except InvalidConfiguration as error:
        fault = error.detail
    except SettingsError:
        fault = f"a {VARIABLE_PREFIX}… variable of the environment is not valid JSON"
        raise InvalidConfiguration("invalid_configuration", fault) from None
    given_by = _variable(fault.partition(":")[0]) or path.name
    raise InvalidConfiguration("invalid_configuration", f"{given_by}: {fault}")


def require_buildable(settings: Settings) -> None:
    """Builds, to throw them away, the strategies and the user's own module, whose faults only building shows.

    Own modules are imported from where the command was started, too.

    Raises:
        InvalidConfiguration: what cannot be built or does not fit the rest, with its reason.
    """
    if settings.strategies != DEFAULT_STRATEGIES:
        is_tokens = settings.input.kind in {"text", "story"}
        check_strategies(settings.strategies, settings.labels.scenario, settings.network, is_tokens)
    if settings.learner.workers > 1:
        check_divisible(settings.strategies)
    if isinstance(settings.network, ImportedSpec):
        from networks.build import build  # imports torch, which takes a second
        from trainer.parallel import require_row_by_row

        sys.path.insert(0, str(Path.cwd()))
        network = build(settings.network, settings.input, settings.labels.initial_columns(), settings.learner.seed)
        if settings.learner.workers > 1:
            require_row_by_row(network.module, settings.input)


def load_all(paths: list[Path]) -> list[Settings]:
    """The settings of several models that one service hosts.

    Raises:
        InvalidConfiguration: also where two files name the same model, or differ in what the service has once.
    """
    models = [load_settings(path) for path in paths]
    seen: set[str] = set()
    for path, settings in zip(paths, models, strict=True):
        if settings.model in seen:
            fault = "model: another configuration has this name too"
            raise InvalidConfiguration("invalid_configuration", f"{path.name}: {fault}")
        if settings.service != models[0].service:
            fault = f"service: differs from {paths[0].name}, but one service hosts both"
            raise InvalidConfiguration("invalid_configuration", f"{path.name}: {fault}")
        seen.add(settings.model)
    return models


def effective(settings: Settings, path: Path) -> list[Setting]:
    """Every effective setting with its origin: `default`, the file's name or the variable's.

    What an entry of the strategies leaves out has its default, a seed the learner's: its origin is `learner.seed`.
    """
    from lifelong.strategies import completed  # looks into strategies, which import torch

    given = {key for key, _ in _leaves(read_document(path))}
    entries = settings.strategies
    whole = [completed(entry, settings.learner.seed) for entry in entries]
    values = _leaves({**settings.model_dump(mode="json", by_alias=True), "strategies": whole})
    filled = {
        f"strategies.{place}.{name}": "learner.seed" if name == "seed" else "default"
        for place, (entry, every) in enumerate(zip(entries, whole, strict=True))
        for name in every.keys() - entry.keys()
    }
    return [Setting(key, _masked(key, value), filled.get(key) or _origin(key, given, path)) for key, value in values]


def _origin(key: str, given: set[str], path: Path) -> str:
    if variable := _variable(key):
        return variable
    return path.name if key in given or any(known.startswith(f"{key}.") for known in given) else "default"


def _variable(key: str) -> str | None:
    """The environment's variable that gives this key, or what it is a part of."""
    names = (name for name in os.environ if name.upper().startswith(VARIABLE_PREFIX))
    return next((name for name in names if f"{key}.".startswith(f"{_dotted(name)}.")), None)


def _dotted(variable: str) -> str:
    return variable[len(VARIABLE_PREFIX) :].lower().replace("__", ".")


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{key}.{place}")
    else:
        yield key, value


def _masked(key: str, value: Any) -> Any:
    """An address may carry a password of its own: scheme://user:password@host."""
    if not (isinstance(value, str) and key.endswith("uri") and "@" in value):
        return value
    scheme, separator, rest = value.rpartition("://")
    return f"{scheme}{separator}**********@{rest.rpartition('@')[2]}"


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = list(Settings.model_fields)
    for name in environment:
        if name.upper().startswith(VARIABLE_PREFIX) and _dotted(name).partition(".")[0] not in known:
            guess = did_you_mean(_dotted(name).partition(".")[0], known)
            raise InvalidConfiguration("invalid_configuration", f"{name}: unknown key{guess}")
