"""The service's one long-lived process of a model: it knows the champion, who serves it, and what the trainer said.

It holds nothing that cannot be had again: after a restart the trainer announces the champion anew, or the registry
is asked, and the replicas go on serving meanwhile.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import msgspec
from prometheus_client.core import Metric

from contracts.erasures import Erasure
from contracts.errors import InvalidArtifact, LifelongError
from contracts.status import Ledger, News, TrainerStatus, VersionRecord
from contracts.versions import Artifact
from registry.errors import UnregisteredVersion
from service.archive import Archive, Versions
from service.certificates import Certificates
from service.counts import Increments
from service.documents import Refusal, ReplicaCounts, StatusDocument, learned, matrix_of
from service.followers import NO_CHAMPION, Expected, Followers, Generation
from service.telemetry import Present, Totals, families

POLL_SECONDS = 1.0
REPAIR_SECONDS = 2.0
SILENT_SECONDS = 5.0
NEWS_KEPT = 1000


class Update(NamedTuple):
    """The hub's answer to a replica that follows.

    `settled` is false while the hub itself does not know yet whether there is a champion. `files` is None unless there
    is a generation that the replica does not know.
    """

    settled: bool
    generation: Generation
    files: dict[str, bytes] | None


class Outgoing(Protocol):
    """What has been accepted here and is on its way to another log: with Kafka, the outbox."""

    def added_to(self, ledger: Ledger) -> Ledger:
        """The trainer's ledger with what it cannot know of yet."""
        ...


class Hub:
    """One per model. Its methods are called from other processes, all on one event loop; none waits for long.

    Trainer's side: `announce`, `report`, `narrate`, `remember`, `certify`. Replicas' side: `follow`, `leave`, `refuse`,
    `count`; the rest answers routes, as JSON.
    """

    def __init__(
        self,
        model: str,
        open_registry: Callable[[], Versions] | None = None,
        open_outbox: Callable[[], Outgoing] | None = None,
        specification: Mapping[str, Any] | None = None,
    ) -> None:
        """`specification`: what the status tells people of the configuration, in its JSON form."""
        self._model = model
        self._specification = dict(specification or {})
        self._archive = None if open_registry is None else Archive(open_registry)
        self._outbox = None if open_outbox is None else open_outbox()
        self._repair: asyncio.Task[None] | None = None
        self._champion = Update(settled=False, generation=NO_CHAMPION, files=None)
        self._version = 0
        self._followers = Followers()
        self._refused: Refusal | None = None
        self._status: TrainerStatus | None = None
        self._reported_at = time.monotonic()
        self._records: dict[int, VersionRecord] = {}
        self._certificates = Certificates()
        self._news: deque[tuple[int, bytes]] = deque(maxlen=NEWS_KEPT)
        self._last_news = 0
        self._totals = Totals()
        self._announced, self._narrated = asyncio.Event(), asyncio.Event()

    async def announce(self, generation: int, files: dict[str, bytes]) -> None:
        """Makes the trainer's version the champion; a generation that is not newer than its last changes nothing.

        Raises:
            InvalidArtifact: the files are not a whole version.
        """
        self._crown(Generation(is_announced=True, number=generation), files)

    async def report(self, status: bytes) -> dict[str, int]:
        """Takes the trainer's status; answers what the hub has, so that the trainer can send what it lacks."""
        before, self._status = self._status, self._completed(msgspec.json.decode(status, type=TrainerStatus))
        self._reported_at = time.monotonic()
        if self._status.generation == 0:
            self._settle()
        if before is None or before.ledger.received != self._status.ledger.received:
            counts = msgspec.to_builtins(self._status.ledger)
            await self.narrate([msgspec.json.encode(News(event="events", time=time.time(), data=counts))])
        generation = self._champion.generation
        return {"generation": generation.number if generation.is_announced else 0, "versions": len(self._records)}

    async def narrate(self, news: Sequence[bytes]) -> None:
        """Adds news, each the JSON of a `News`, to the last thousand that streams can still read."""
        for item in news:
            self._last_news += 1
            self._news.append((self._last_news, item))
        self._narrated = _notified(self._narrated)

    async def remember(self, versions: Sequence[bytes]) -> None:
        """Replaces the list of versions, each the JSON of a `VersionRecord`."""
        records = [msgspec.json.decode(version, type=VersionRecord) for version in versions]
        self._records = {record.version: record for record in sorted(records, key=lambda record: record.version)}

    async def certify(self, erasures: Sequence[bytes]) -> None:
        """Replaces the list of erasures, each the JSON of an `Erasure`, newest first."""
        self._certificates.replace([msgspec.json.decode(erasure, type=Erasure) for erasure in erasures])

    async def follow(self, replica: str, serving: Generation, known: Generation) -> Update:
        """Waits up to a second for a generation above `known`; the replica serves `serving` meanwhile.

        A replica that knows nothing says `UNKNOWN`, so that it hears at once if there is no champion yet.
        """
        self._followers.heard(replica, serving)
        if self._repair is None and self._archive is not None:
            self._repair = asyncio.create_task(self._watch_registry(self._archive))
        if self._champion.generation <= known or not self._champion.settled:
            await _wait(self._announced)
        self._followers.heard(replica, serving)
        if self._champion.generation > known:
            return self._champion
        return self._champion._replace(files=None)

    async def leave(self, replica: str) -> None:
        """Forgets a replica that stops on purpose."""
        self._followers.left(replica)

    async def refuse(self, replica: str, generation: Generation, error: str, detail: str) -> None:
        """Takes note that a replica could not load a generation and goes on with what it serves."""
        self._followers.heard(replica, None)
        self._refused = Refusal(generation.number, error, detail)

    async def count(self, increments: Increments) -> None:
        """Adds a replica's increments to the model's totals."""
        self._totals.add(increments)

    async def status(self) -> bytes:
        """The status document."""
        document = StatusDocument(
            model=self._model,
            specification=self._specification,
            version=self._version,
            generation=self._champion.generation.number,
            served_through=self._followers.served_through(self._status),
            trainer="running" if self._is_trainer_up else "silent",
            replicas=self._replicas(),
            refused=self._refused,
            **learned(self._status),
        )
        return msgspec.json.encode(document)

    async def matrix(self) -> bytes:
        """The accuracy matrix."""
        return msgspec.json.encode(matrix_of(self._status))

    async def versions(self, max_results: int, before: int | None) -> bytes:
        """The newest versions first, those below `before`; `next_page_token` is set when there are more."""
        older = [record for version, record in self._records.items() if before is None or version < before]
        page = older[::-1][:max_results]
        token = str(page[-1].version) if len(older) > len(page) and page else None
        return msgspec.json.encode({"versions": page, "next_page_token": token})

    async def version(self, version: int) -> bytes | None:
        """One version with its lineage, probe results and decision; None when it is not known."""
        record = self._records.get(version)
        return None if record is None else msgspec.json.encode(record)

    async def erasures(self) -> bytes:
        """The last thousand erasures, newest first.

        Raises:
            PartUnavailable: the trainer has not told of any since this hub was started.
        """
        return msgspec.json.encode({"erasures": self._certificates.all(self._followers.versions())})

    async def erasure(self, erasure: str) -> bytes | None:
        """One of them; None when it is not known; raises as `erasures`."""
        found = self._certificates.one(erasure, self._followers.versions())
        return None if found is None else msgspec.json.encode(found)

    async def registered(self) -> list[int]:
        """The numbers of all versions that `files` can give, in order."""
        return [] if self._archive is None else await self._archive.versions()

    async def files(self, version: int) -> dict[str, bytes] | None:
        """The files of any registered version; None when there is none of this number, or no whole one.

        A withdrawn version has none any more, wherever they may still lie.
        """
        if self._archive is None or self._certificates.withdraws(version):
            return None
        try:
            artifact = await self._archive.read(version)
        except (UnregisteredVersion, InvalidArtifact):
            return None
        return artifact.files()

    async def withdraws(self, version: int) -> bool:
        """Whether an erasure withdrew a version."""
        return self._certificates.withdraws(version)

    async def news(self, since: int | None) -> tuple[int, list[bytes]]:
        """News after number `since`, waiting up to a second for one; None: from now on. Returns the last number."""
        if since is None:
            return self._last_news, []
        if since > self._last_news:  # numbers of a hub before this one
            since = 0
        if since == self._last_news:
            await _wait(self._narrated)
        return self._last_news, [item for number, item in self._news if number > since]

    async def metrics(self) -> list[Metric]:
        """The model's series for Prometheus."""
        replicas = msgspec.to_builtins(self._replicas())
        present = Present(self._status, self._is_trainer_up, replicas, self._followers.versions())
        return families(self._model, self._totals, present)

    @property
    def _is_trainer_up(self) -> bool:
        return self._status is not None and time.monotonic() - self._reported_at <= SILENT_SECONDS

    def _completed(self, status: TrainerStatus) -> TrainerStatus:
        if self._outbox is None:
            return status
        ledger = self._outbox.added_to(status.ledger)
        return msgspec.structs.replace(status, ledger=ledger, lag=ledger.pending)

    def _replicas(self) -> ReplicaCounts:
        return self._followers.counts(self._champion.generation)

    def _crown(self, generation: Generation, files: dict[str, bytes]) -> None:
        if generation <= self._champion.generation:
            return
        artifact = Artifact.from_files(files)
        self._version, self._refused = artifact.version, None
        self._followers.expect(generation, Expected(artifact.version, artifact.lineage.processed_through))
        self._champion = Update(settled=True, generation=generation, files=files)
        self._announced = _notified(self._announced)

    def _settle(self) -> None:
        """Takes note that there is no champion yet, unless one was announced."""
        if not self._champion.settled:
            self._champion = self._champion._replace(settled=True)
            self._announced = _notified(self._announced)

    async def _watch_registry(self, archive: Archive) -> None:
        """Adopts a newer champion from the registry until a trainer announces one; that trainer is the authority."""
        while True:
            await asyncio.sleep(REPAIR_SECONDS)
            if time.monotonic() - self._reported_at < SILENT_SECONDS:
                continue
            # When the registry is down or holds no whole version, what is served stays.
            with suppress(LifelongError):
                await self._adopt(archive)

    async def _adopt(self, archive: Archive) -> None:
        found = await archive.champion()
        if found is None:
            self._settle()
            return
        version, number = found
        # A hub that was restarted: its replicas still know that a trainer announced this one.
        is_announced = self._followers.serves(Generation(is_announced=True, number=number))
        generation = Generation(is_announced, number)
        if generation > self._champion.generation:
            artifact = await archive.read(version)
            self._crown(generation, artifact.files())


def _notified(event: asyncio.Event) -> asyncio.Event:
    """Wakes all who wait for the event and returns the one that the next will wait for."""
    event.set()
    return asyncio.Event()


async def _wait(event: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(event.wait(), POLL_SECONDS)
    except TimeoutError:
        return
