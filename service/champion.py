"""A replica's side of the swap: follow the hub, load beside what is served, exchange one reference."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from contracts.answers import Method
from contracts.errors import InvalidArtifact, LifelongError
from contracts.inputs import InputSpec, parse_input
from contracts.labels import Column
from contracts.versions import Artifact
from networks.settings import NetworkSpec, configured, parse_architecture
from service.counts import Counts
from service.errors import PartUnavailable, RequestFault
from service.followers import NO_CHAMPION, UNKNOWN, Generation
from service.parts import FollowedHub

RETRY_SECONDS = 0.2


class Predictor(Protocol):
    """What answers: a network in inference mode."""

    def predict(
        self, rows: NDArray[Any], task: str | None, /
    ) -> tuple[list[str], NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Labels, their probabilities `(n,)`, and the scores of all columns `(n, columns)`."""
        ...

    def explain(
        self, row: NDArray[Any], task: str | None, method: Method, label: str | None, /
    ) -> tuple[str, NDArray[np.floating[Any]]]:
        """The label and what each number or token of the row adds to its logit; one thread at a time."""
        ...


@dataclass(frozen=True, eq=False)
class Serving:
    """One version, loaded and warm; equal to nothing but itself."""

    version: int
    generation: Generation
    columns: list[Column]
    predictor: Predictor


Load = Callable[[Generation, Mapping[str, bytes]], Serving]
"""Raises a `LifelongError`, and nothing else, for a version that cannot be served."""


def load(network: NetworkSpec, generation: Generation, files: Mapping[str, bytes]) -> Serving:
    """Builds a version from its files and answers one row with it, so that the first request finds it warm.

    A version may name any module to import; only the configured `network` is built.

    Raises:
        InvalidArtifact: a file is missing, altered, or holds what is not a finite weight; `other_network` when the
            version's network is not the configured one, `network_failed` when building or asking it raises.
        InvalidConfiguration: the user's own module is not what it was.
    """
    artifact = Artifact.from_files(files)
    if _network_of(artifact) != network:
        raise InvalidArtifact("other_network", "the version has another network than the configured one")
    try:
        return _built(artifact, generation)
    except LifelongError:
        raise
    except Exception as error:  # a user's own module may raise anything
        detail = f"the version's network raised {type(error).__name__} when it was built or asked for the first time"
        raise InvalidArtifact("network_failed", detail) from error


def _network_of(artifact: Artifact) -> NetworkSpec:
    try:
        return configured(parse_architecture(artifact.model.network))
    except ValidationError:
        raise InvalidArtifact("bad_document", "model.json describes no network that this release knows") from None


def _built(artifact: Artifact, generation: Generation) -> Serving:
    from networks.build import from_document
    from networks.predictor import Predictor as NetworkPredictor

    document = artifact.model
    predictor = NetworkPredictor(from_document(document, artifact.weights), document)
    serving = Serving(artifact.version, generation, document.columns, predictor)
    _warm_up(serving, parse_input(document.input))
    return serving


def _warm_up(serving: Serving, spec: InputSpec) -> None:
    if serving.columns:
        serving.predictor.predict(np.zeros((1, *spec.row_shape), spec.dtype), serving.columns[0].task)


class Champion:
    """What one replica serves of one model; `serving` is read by requests and replaced whole.

    `settled` is false until the hub has said whether there is a champion, and until that one is loaded.
    """

    def __init__(self, hub: FollowedHub, replica: str, counts: Counts, loader: Load) -> None:
        self.serving: Serving | None = None
        self.settled = asyncio.Event()
        self._hub = hub
        self._replica = replica
        self._counts = counts
        self._load = loader
        self._known = UNKNOWN

    def require(self) -> Serving:
        """What is served.

        Raises:
            RequestFault: `starting` or `untrained`, when there is nothing yet.
        """
        if self.serving is not None:
            return self.serving
        if not self.settled.is_set():
            raise RequestFault("starting", "this replica does not know its champion yet")
        raise RequestFault("untrained", "no version has been promoted yet: send feedback first")

    async def follow(self) -> None:
        """Follows the hub until cancelled; while the hub is away, what is served stays as it is."""
        while True:
            try:
                await self._follow_once()
            except PartUnavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def leave(self) -> None:
        """Says farewell with the last counts."""
        try:
            await self._send_counts()
            await self._hub.leave(self._replica)
        except PartUnavailable:
            return

    async def _follow_once(self) -> None:
        serving = self.serving.generation if self.serving else NO_CHAMPION
        update = await self._hub.follow(self._replica, serving, self._known)
        if update.files is not None:
            await self._exchange(update.generation, update.files)
        elif update.settled:
            self._known = max(self._known, update.generation)
        if update.settled and (self.serving is not None or update.generation == NO_CHAMPION):
            self.settled.set()
        await self._send_counts()

    async def _exchange(self, generation: Generation, files: Mapping[str, bytes]) -> None:
        self._known = generation
        try:
            self.serving = await asyncio.to_thread(self._load, generation, files)
        except LifelongError as error:
            await self._hub.refuse(self._replica, generation, error.code, error.detail)

    async def _send_counts(self) -> None:
        increments = self._counts.take()
        if increments is None:
            return
        try:
            await self._hub.count(increments)
        except PartUnavailable:
            self._counts.give_back(increments)
            raise
