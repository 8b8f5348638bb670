"""One model inside one replica: its files, its champion, its fast routes, and the processes it asks."""

import secrets
from dataclasses import dataclass
from functools import partial

from contracts.decoder import InstanceDecoder
from contracts.spans import Spans
from feedback.predictions import PredictionLog
from feedback.sqlite import SqliteLog
from service.access import Access, needs
from service.batches import Batches
from service.champion import Champion, Load, load
from service.composer import Composer
from service.counts import Counts
from service.explain import MAX_WAITING, ExplainRoute
from service.infer import InferRoute
from service.instances import InputReader
from service.intake import FeedbackRoute, Intake
from service.issuer import Issuer
from service.limits import Application, BodyReader
from service.parts import AskedHub, AskedTrainer
from service.predict import PredictRoute, RequestDecoder
from service.route import Bounds, FastRoute, Handler
from service.settings import HostedModel, ServingSettings
from service.shelf import Shelf
from service.tokens import Role


@dataclass(frozen=True)
class Parts:
    """The other processes of a model."""

    hub: AskedHub
    trainer: AskedTrainer


class Host:
    """Everything of one model that a replica holds open; `close` releases it."""

    def __init__(
        self, model: HostedModel, settings: ServingSettings, parts: Parts, access: Access, loader: Load | None = None
    ) -> None:
        self.name, self.input = model.name, model.input
        self.hub, self.trainer = parts.hub, parts.trainer
        self._access = access
        self._log = SqliteLog(model.feedback_path)
        kept = model.predictions
        self._predictions = PredictionLog(model.predictions_path, kept.max_age_seconds, kept.max_bytes)
        self._counts = Counts(lambda: self._predictions.dropped)
        loader = loader or partial(load, model.network)
        self.champion = Champion(self.hub, secrets.token_hex(6), self._counts, loader)
        self.shelf = Shelf(self.champion, self.hub, loader)
        intake = Intake(InstanceDecoder(model.input), model.labels, self._log, self._predictions)
        self._read, in_flight = BodyReader(settings.max_body_bytes), settings.max_in_flight
        self._feedback = FeedbackRoute(intake, settings.max_events, self._counts, Spans(model.name))
        self._explain = ExplainRoute(model.name, model.input, self.shelf)
        batches, issuer = Batches(), Issuer(self._predictions, self._counts)
        decoder = RequestDecoder(model.input, settings.max_instances)
        predict = PredictRoute(decoder, self.champion, batches, Composer(model.name, issuer))
        reader = InputReader(model.input, settings.max_instances)
        infer = InferRoute(model.name, reader, self.shelf, batches, issuer)
        self.predict = self._fast("predict", predict, Role.PREDICT, in_flight)
        self.feedback = self._fast("feedback", self._feedback, Role.FEEDBACK, in_flight)
        self.explain = self._fast("explain", self._explain, Role.PREDICT, MAX_WAITING)
        self.infer = self._fast("infer", infer, Role.PREDICT, in_flight)

    def fast_routes(self) -> dict[str, Application]:
        """The routes that no framework stands before, by path."""
        base = f"/v1/models/{self.name}"
        return {
            f"{base}/predict": self.predict,
            f"{base}/feedback": self.feedback,
            f"{base}/explain": self.explain,
            f"/v2/models/{self.name}/infer": self.infer,
        }

    def _fast(self, name: str, handler: Handler, role: Role, max_in_flight: int) -> FastRoute:
        bounds = Bounds(partial(self._access.check, need=needs(role)), self._read, max_in_flight)
        return FastRoute(name, handler, self._counts, bounds)

    def close(self) -> None:
        """Finishes accepted requests and closes the files."""
        self._feedback.close()
        self._explain.close()
        self._predictions.close()
        self._log.close()
