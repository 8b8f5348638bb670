"""A trainer's peers as Ray actors: they learn along, and hold nothing that must not be lost."""

import logging
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from trainer.catalogue import check_divisible
from trainer.errors import PeerLost

if TYPE_CHECKING:
    from trainer.assembly import TrainerConfiguration
    from trainer.learner import Learner
    from trainer.settings import LearnerSettings

LOG = logging.getLogger(__name__)
PEER_SECONDS = 30.0
"""So long a trainer waits for peers before it learns without those that did not come."""
EXIT_CODE = 70
NICENESS = 5
"""Learning gives way to serving where both want the same core."""
PLACEMENTS = {"pack": "DEFAULT", "spread": "SPREAD"}
"""What Ray calls them."""


class PeerActor:
    """One of the processes that learn along with a trainer; it ends with it, and whenever it cannot follow it."""

    def __init__(self, configuration: str) -> None:
        import torch

        from trainer.assembly import TrainerConfiguration

        os.nice(NICENESS)
        self._config = TrainerConfiguration.model_validate_json(configuration)
        torch.set_num_threads(self._config.learner.threads)
        self._learner: Learner | None = None

    def ping(self) -> bool:
        """Answers once it is there."""
        return True

    def meet(self, rank: int, size: int, host: str, port: int) -> None:
        """Meets leader and peers at the leader's store."""
        self._ranks = _ranks(self._config, rank, size, _store(host, port))

    def obey(self, call: str, arguments: Sequence[Any]) -> None:
        """Carries out a call of the leader's learner; what goes wrong ends the process, so that nobody waits for it."""
        from trainer.leader import follow_along

        is_done = False
        try:
            if self._learner is None or call == "begin":
                (columns,) = arguments
                self._learner = self._config.learner_with(columns, self._ranks)
            else:
                follow_along(self._learner, call, arguments)
            is_done = True
        finally:
            if not is_done:
                traceback.print_exc()
                os._exit(EXIT_CODE)


class RayCrew:
    """The peers of one trainer that came in time; `ranks` joins them and their leader, who made this."""

    def __init__(self, config: "TrainerConfiguration", configuration: str) -> None:
        """Starts `learner.workers` − 1 peers and waits, half a minute at most, for those that there is room for.

        Raises:
            PeerLost: one that came was gone again.
        """
        actors = [_start(config, configuration) for _ in range(config.learner.workers - 1)]
        pings = [actor.ping.remote() for actor in actors]
        awaited = min(len(pings), _room(config.learner))
        _, self._late = ray.wait(pings, num_returns=max(1, awaited), timeout=PEER_SECONDS if awaited > 0 else 0)
        self._actors = actors  # those that come late are still wanted
        self._peers = [actor for actor, ping in zip(actors, pings, strict=True) if ping not in self._late]
        if self._late:
            LOG.warning("%s learns with %d workers of %d", config.model, self.size, config.learner.workers)
        self.ranks = self._meet(config)

    @property
    def size(self) -> int:
        """How many processes learn together, with their leader."""
        return len(self._peers) + 1

    def has_more(self) -> bool:
        """Whether a peer has come that was too late: the next crew will have it."""
        come, self._late = ray.wait(self._late, num_returns=len(self._late), timeout=0) if self._late else ([], [])
        return any(map(_is_well, come))

    @contextmanager
    def told(self, call: str, *arguments: Any) -> Iterator[None]:
        """See `Crew.told`; the arguments go through the object store, once to each node."""
        told = ray.put(arguments)
        answers = [peer.obey.remote(call, told) for peer in self._peers]
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
        traceback.print_exc()
        os._exit(EXIT_CODE)


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
    except RayError:
        return False
    return True
