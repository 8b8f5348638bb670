"""A trainer's peers as Ray actors: they learn along, and hold nothing that must not be lost."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from trainer.catalogue import check_divisible
from trainer.errors import PeerLost
from trainer.process import end_at_once, give_way

if TYPE_CHECKING:
    from trainer.assembly import TrainerConfiguration
    from trainer.learner import Learner
    from trainer.settings import LearnerSettings

LOG = logging.getLogger(__name__)
PEER_SECONDS, PATIENT_SECONDS = 30.0, 180.0
"""So long a trainer waits for peers for which there is room, at first and when it is started again."""
LATE_SECONDS = 600.0
"""So long a trainer that waited patiently learns before it starts again for peers that are slow to start."""
LOOK_SECONDS = 1.0
PLACEMENTS = {"pack": "DEFAULT", "spread": "SPREAD"}
"""What Ray calls them."""


class PeerActor:
    """One of the processes that learn along with a trainer; it ends with it, and whenever it cannot follow it."""

    def __init__(self, configuration: str) -> None:
        import torch

        from trainer.assembly import TrainerConfiguration

        give_way()
        self._config = TrainerConfiguration.model_validate_json(configuration)
        torch.set_num_threads(self._config.learner.threads)
        self._learner: Learner | None = None
        self._heard = bytearray()

    def ping(self) -> bool:
        """Answers once it is there."""
        return True

    def meet(self, rank: int, size: int, host: str, port: int) -> None:
        """Meets leader and peers at the leader's store."""
        self._ranks = _ranks(self._config, rank, size, _store(host, port))

    def hear(self, piece: bytes) -> None:
        """Keeps the next piece of what the next call says."""
        self._heard += piece

    def obey(self, call: str, last: bytes) -> None:
        """Carries out a call of the leader's learner, given the last piece of what it says.

        What goes wrong ends the process, so that nobody waits for it.
        """
        from trainer.leader import follow_along
        from trainer.telling import put_together

        is_done = False
        try:
            arguments, self._heard = put_together(self._heard + last), bytearray()
            if self._learner is None or call == "begin":
                (columns,) = arguments
                self._learner = self._config.learner_with(columns, self._ranks)
            else:
                follow_along(self._learner, call, arguments)
            is_done = True
        finally:
            if not is_done:
                end_at_once()


class Summons:
    """Peers that were started: who came in time, and whether one came later. One that cannot start is forgotten."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = {actor.ping.remote(): actor for actor in actors}  # a peer lives for as long as its handle does
        self._late = list(self._actors)
        self._rest_until = 0.0

    def answered(self, learner: "LearnerSettings", is_patient: bool) -> list[Any]:
        """Waits for those that there is room for, and returns those that came.

        What there is room for is asked again and again: Ray learns late that a node is lost. Patience is for a start
        that may itself be for those that were late.
        """
        deadline = time.monotonic() + (PATIENT_SECONDS if is_patient else PEER_SECONDS)
        come: list[Any] = []
        while (missing := min(len(self._actors), _room(learner)) - len(come)) > 0 and time.monotonic() < deadline:
            come, self._late = ray.wait(list(self._actors), num_returns=len(self._actors), timeout=LOOK_SECONDS)
        if missing > 0 and is_patient:
            self._rest_until = time.monotonic() + LATE_SECONDS
        return [self._actors[ping] for ping in come if _is_well(ping)]

    def has_more(self) -> bool:
        """Whether a peer has come that was too late: the next crew will have it.

        Not for some minutes where patience was in vain, lest the trainer does nothing but start.
        """
        if not self._late or time.monotonic() < self._rest_until:
            return False
        come, self._late = ray.wait(self._late, num_returns=len(self._late), timeout=0)
        return any(map(_is_well, come))


class RayCrew:
    """The peers of one trainer that came in time; `ranks` joins them and their leader, who made this."""

    def __init__(self, config: "TrainerConfiguration", configuration: str) -> None:
        """Starts `learner.workers` − 1 peers and waits, at most some minutes, for those that there is room for.

        Raises:
            PeerLost: one that came was gone again.
        """
        self._summons = Summons([_start(config, configuration) for _ in range(config.learner.workers - 1)])
        is_patient = ray.get_runtime_context().was_current_actor_reconstructed
        self._peers = self._summons.answered(config.learner, bool(is_patient))
        if self.size < config.learner.workers:
            LOG.warning("%s learns with %d workers of %d", config.model, self.size, config.learner.workers)
        self.ranks = self._meet(config)

    @property
    def size(self) -> int:
        """How many processes learn together, with their leader."""
        return len(self._peers) + 1

    def has_more(self) -> bool:
        """See `Summons.has_more`."""
        return self._summons.has_more()

    @contextmanager
    def told(self, call: str, *arguments: Any) -> Iterator[None]:
        """See `Crew.told`; the arguments go through the object store, once to each node and a piece at a time."""
        from trainer.telling import in_pieces

        *pieces, last = in_pieces(arguments)
        for piece in pieces:
            put = ray.put(piece)
            _all_of([peer.hear.remote(put) for peer in self._peers])
        put = ray.put(last)
        answers = [peer.obey.remote(call, put) for peer in self._peers]
        yield
        _all_of(answers)

    def _meet(self, config: "TrainerConfiguration") -> Any:
        host = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
        store = _store(host)
        ranks = enumerate(self._peers, start=1)
        met = [peer.meet.remote(rank, self.size, host, store.port) for rank, peer in ranks]
        own = _ranks(config, 0, self.size, store)
        _all_of(met)
        return own


def recruited(config: "TrainerConfiguration", configuration: str) -> RayCrew | None:
    """The crew of a trainer with this configuration, in JSON form; None where it learns alone.

    Raises:
        InvalidConfiguration: `indivisible_strategy`.
    """
    if config.learner.workers == 1:
        return None
    check_divisible(config.strategies)
    with ending_where_a_peer_is_lost():
        return RayCrew(config, configuration)


@contextmanager
def ending_where_a_peer_is_lost() -> Iterator[None]:
    """Ends the process then: Ray starts an actor again whose process has ended, but none whose constructor raised."""
    try:
        yield
    except PeerLost:
        end_at_once()


def _start(config: "TrainerConfiguration", configuration: str) -> Any:
    learner, actor = config.learner, ray.remote(PeerActor)
    placed: Any = actor.options(
        num_cpus=0 if learner.num_gpus else learner.threads,
        num_gpus=learner.num_gpus,
        scheduling_strategy=PLACEMENTS[learner.placement],
    )
    return placed.remote(configuration)


def _room(learner: "LearnerSettings") -> int:
    """How many peers the cluster could hold, were all of it theirs and their leader's."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if learner.num_gpus:
        return int(there.get("GPU", 0) / learner.num_gpus) - 1
    return int(there.get("CPU", 0) / learner.threads)


def _ranks(config: "TrainerConfiguration", rank: int, size: int, store: Any) -> Any:
    import torch

    from trainer.parallel import Ranks

    return Ranks(rank, size, store, torch.device(config.device))


def _store(host: str, port: int | None = None) -> Any:
    """The leader's store at a port, or, at the leader itself, a new one at any."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore(host, port or 0, is_master=port is None, wait_for_workers=False)


def _all_of(answers: Sequence[Any]) -> None:
    try:
        ray.get(list(answers))
    except RayError as error:
        raise PeerLost("a process that learns along is gone") from error


def _is_well(ping: Any) -> bool:
    try:
        ray.get(ping)
    except RayError as error:
        LOG.warning("a peer could not be started: %s", error)
        return False
    return True
