"""One model inside one replica: its files, its champion, its fast routes, and the processes it asks."""

import secrets
from dataclasses import dataclass
from functools import partial

from contracts.inputs import InstanceDecoder
from feedback.predictions import PredictionLog
from feedback.sqlite import SqliteLog
from service.batches import Batches
from service.champion import Champion, Load, load
from service.counts import Counts
from service.explain import MAX_WAITING, ExplainRoute
from service.infer import InferRoute, InputReader
from service.intake import FeedbackRoute, Intake
from service.issuer import Issuer
from service.limits import Application
from service.parts import AskedHub, AskedTrainer
from service.predict import PredictRoute, RequestDecoder
from service.route import FastRoute
from service.settings import HostedModel, ServingSettings
from service.shelf import Shelf


@dataclass(frozen=True)
class Parts:
    """The other processes of a model."""

    hub: AskedHub
    trainer: AskedTrainer


class Host:
    """Everything of one model that a replica holds open; `close` releases it."""

    def __init__(self, model: HostedModel, settings: ServingSettings, parts: Parts, loader: Load | None = None) -> None:
        self.name, self.input = model.name, model.input
        self.hub, self.trainer = parts.hub, parts.trainer
        self._settings = settings
        self._log = SqliteLog(model.feedback_path)
        kept = model.predictions
        self._predictions = PredictionLog(model.predictions_path, kept.max_age_seconds, kept.max_bytes)
        self._counts = Counts(lambda: self._predictions.dropped)
        loader = loader or partial(load, model.network)
        self.champion = Champion(self.hub, secrets.token_hex(6), self._counts, loader)
        self.shelf = Shelf(self.champion, self.hub, loader)
        intake = Intake(InstanceDecoder(model.input), model.labels, self._log, self._predictions)
        self._feedback = FeedbackRoute(intake, settings.max_body_bytes, settings.max_events)
        self._explain = ExplainRoute(model.name, model.input, self.shelf, settings.max_body_bytes)
        batches, issuer, limit = Batches(), Issuer(self._predictions, self._counts), settings.max_body_bytes
        decoder = RequestDecoder(model.input, settings.max_instances)
        self._predict = PredictRoute(model.name, decoder, self.champion, batches, issuer, limit)
        reader = InputReader(model.input, settings.max_instances)
        infer = InferRoute(model.name, reader, self.shelf, batches, issuer, limit)
        self.infer = FastRoute("infer", infer, self._counts, settings.max_in_flight)

    def fast_routes(self) -> dict[str, Application]:
        """The routes that no framework stands before, by path."""
        limit = self._settings.max_in_flight
        base = f"/v1/models/{self.name}"
        return {
            f"{base}/predict": FastRoute("predict", self._predict, self._counts, limit),
            f"{base}/feedback": FastRoute("feedback", self._feedback, self._counts, limit),
            f"{base}/explain": FastRoute("explain", self._explain, self._counts, MAX_WAITING),
            f"/v2/models/{self.name}/infer": self.infer,
        }

    def close(self) -> None:
        """Finishes accepted requests and closes the files."""
        self._feedback.close()
        self._explain.close()
        self._predictions.close()
        self._log.close()
