"""Puts one model's trainer together from its configuration."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from contracts.decoder import InstanceDecoder
from contracts.inputs import InputSpec, Specification
from contracts.labels import Column, LabelSpec
from feedback.kafka import KafkaReader
from feedback.log import FeedbackReader
from feedback.predictions import PredictionLog
from feedback.settings import FeedbackSettings, KafkaSettings, PredictionSettings
from feedback.sqlite import SqliteLog
from networks.build import build
from networks.flat import Network
from networks.settings import Architecture, NetworkSpec, PerTaskSpec
from registry.store import Registry
from trainer.catalogue import architecture, load
from trainer.copies import Copies
from trainer.course import Course
from trainer.curriculum import Curriculum
from trainer.database import fingerprint
from trainer.desk import Desk
from trainer.eraser import Eraser
from trainer.evaluation import ProbeSets
from trainer.examiner import Examiner
from trainer.ingest import Ingest
from trainer.intake import Intake
from trainer.leader import Crew, LeadingLearner
from trainer.learner import Learner
from trainer.loop import Trainer
from trainer.matrix import MatrixBook
from trainer.mirror import Mirror
from trainer.parallel import Ranks, require_row_by_row
from trainer.parts import Parts
from trainer.policies import ProbeSettings, PromotionSettings, TaskSettings
from trainer.promoter import Promoter
from trainer.publisher import Provenance, Publisher, Service
from trainer.reporter import Reporter
from trainer.settings import LearnerSettings
from trainer.stores import Stores


class TrainerConfiguration(Specification):
    """All that one model's trainer is told."""

    model: str
    directory: Path
    input: InputSpec
    labels: LabelSpec
    network: NetworkSpec
    strategies: list[dict[str, Any]]
    feedback: FeedbackSettings
    predictions: PredictionSettings
    registry_uri: str | None
    learner: LearnerSettings
    tasks: TaskSettings
    probes: ProbeSettings
    promotion: PromotionSettings

    @property
    def device(self) -> str:
        """Where the network is trained; several workers without GPUs of their own would all take the first one."""
        learner = self.learner
        if learner.device != "auto":
            return learner.device
        is_shared = learner.workers > 1 and not learner.num_gpus
        return "cuda" if torch.cuda.is_available() and not is_shared else "cpu"

    @property
    def architecture(self) -> Architecture:
        """The network that is trained: what the strategies make of the configured one."""
        return architecture(self.strategies, self.network)

    @property
    def fingerprint(self) -> str:
        """See `trainer.database.fingerprint`."""
        return fingerprint(self.input, self.labels, self.architecture)

    def network_with(self, columns: Sequence[Column], weights: bytes | None) -> Network:
        """A network with these outputs, from weights or, without them, as initialised."""
        network = build(self.architecture, self.input, columns, self.learner.seed, self.device)
        if weights is not None:
            network.load_weights(weights)
        return network

    def learner_with(self, columns: Sequence[Column], ranks: Ranks | None = None, crew: Crew | None = None) -> Learner:
        """A learner that has learned nothing yet, be it one of several with `ranks`, or the leader of a `crew`.

        Raises:
            InvalidConfiguration: also, where there are or could be several, `indivisible_module`.
        """
        strategy = load(self.strategies, self.learner.seed, self.labels.scenario)
        network = self.network_with(columns, None)
        if self.learner.workers > 1:
            require_row_by_row(network.module, self.input)
        if crew is not None:
            return LeadingLearner(network, strategy, self.learner, crew)
        return Learner(network, strategy, self.learner, ranks)


def assemble(
    config: TrainerConfiguration, service: Service, on_version: Callable[[], None], crew: Crew | None = None
) -> Trainer:
    """One model's trainer, ready to begin; it calls `on_version` when versions or aliases have changed.

    With a `crew` it leads that; stores, record, checkpoints and versions are its own all the same.

    Raises:
        ForeignState: the state directory was written for another model.
        InvalidConfiguration: a strategy or the user's own module cannot be built.
    """
    torch.set_num_threads(config.learner.threads)
    directory = config.directory / "trainer"
    stores = Stores.open(directory, config.fingerprint)
    probes = ProbeSets(config.input, config.probes.rows_per_task, config.device)
    examiner = Examiner(config.input, config.labels, probes, config.promotion, config.network_with)
    examiner.add(stores.examples.probes())
    matrix = MatrixBook(stores, examiner)
    course = Course(partial(config.learner_with, crew=crew), config.input, config.labels, stores, matrix.close)
    publisher = Publisher(stores, directory / "versions", _provenance(config, crew), service)
    promoter = Promoter(stores, course, examiner, publisher, config.promotion)
    arrange = _curriculum(config, course).arrange
    predictions, log = _predictions(config), SqliteLog(config.directory / "feedback.db")
    intake = Intake(config.input, config.labels, stores.examples, predictions, config.probes.fraction)
    ingest = Ingest(_reader(config, log), intake, stores, config.learner, config.tasks, arrange)
    copies = Copies(log, predictions, InstanceDecoder(config.input), _elsewhere(config))
    eraser = Eraser(stores, ingest, copies, config.learner)
    parts = Parts(stores, ingest, course, examiner, matrix, promoter, eraser)
    reporter = Reporter(config.model, parts, service, publisher.announce)
    return Trainer(parts, reporter, on_version)


def desk(config: TrainerConfiguration) -> Desk:
    """What takes requests to forget a subject."""
    return Desk(config.directory / "trainer" / "state.db", config.fingerprint)


def mirror(config: TrainerConfiguration) -> Mirror:
    """What tells the registry of the trainer's versions."""
    directory = config.directory / "trainer"
    registry = partial(Registry, config.model, config.registry_uri, config.directory)
    return Mirror(registry, directory / "state.db", config.fingerprint, directory / "versions")


def _reader(config: TrainerConfiguration, log: SqliteLog) -> FeedbackReader:
    if isinstance(config.feedback, KafkaSettings):
        return KafkaReader(config.feedback, config.model, log.identity)
    return log


def _predictions(config: TrainerConfiguration) -> PredictionLog:
    settings = config.predictions
    return PredictionLog(config.directory / "predictions.db", settings.max_age_seconds, settings.max_bytes)


def _elsewhere(config: TrainerConfiguration) -> list[str]:
    """What keeps copies of events that only others can delete."""
    if not isinstance(config.feedback, KafkaSettings):
        return []
    topics = config.feedback.topic_of(config.model), config.feedback.dead_letter_topic_of(config.model)
    return [f"Kafka keeps records of the topic {topic} for as long as that is configured" for topic in topics]


def _curriculum(config: TrainerConfiguration, course: Course) -> Curriculum:
    """Measures on a copy of what is being learned; where tasks are kept apart, on the configured network, untrained."""

    def copy() -> Network:
        if isinstance(config.architecture, PerTaskSpec):
            columns = config.labels.initial_columns()
            return build(config.network, config.input, columns, config.learner.seed, config.device)
        return config.network_with(course.network.columns, course.network.weights())

    kind = config.tasks.curriculum
    return Curriculum(kind, config.input, config.labels, config.learner, lambda: course.tasks, copy)


def _provenance(config: TrainerConfiguration, crew: Crew | None) -> Provenance:
    return Provenance(
        model=config.model,
        input=config.input.model_dump(mode="json"),
        labels=config.labels.model_dump(mode="json"),
        network=config.architecture.model_dump(mode="json", by_alias=True),
        strategies=config.strategies,
        seed=config.learner.seed,
        workers=1 if crew is None else crew.ranks.size,
    )
