"""The part of Ray that a crew uses, on processes of this machine: actors are real, what connects them is replaced."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch.distributed as dist
from ray.exceptions import RayError

from tests.trainer.ranks import Processes
from trainer.assembly import TrainerConfiguration
from trainer.crew import RayCrew

ANSWER_SECONDS = 120.0
_ACTOR: list[Any] = []
"""In one of those processes: the actor that it is."""


class Method(NamedTuple):
    """A remote method."""

    remote: Callable[..., Any]


class Handle:
    """An actor's handle: its process carries out what is called, one after the other."""

    def __init__(self, process: ProcessPoolExecutor, kind: type, arguments: Sequence[Any]) -> None:
        self._process = process
        process.submit(_begin, kind, arguments)

    def __getattr__(self, name: str) -> Method:
        return Method(partial(self._process.submit, _call, name))


class Actors:
    """Ray as a crew sees it; `put_bytes` are the sizes of what went into the object store."""

    def __init__(self, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.put_bytes: list[int] = []
        self._processes = processes
        self._crew: RayCrew | None = None
        for name in ("remote", "put", "get", "wait", "cluster_resources", "get_runtime_context"):
            monkeypatch.setattr(f"ray.{name}", getattr(self, name))
        monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")

    def recruit(self, config: TrainerConfiguration) -> RayCrew:
        """A crew of new peers, in the place of the one before."""
        self.leave()
        self._free = iter(self._processes.pools)
        self._crew = RayCrew(config, config.model_dump_json(by_alias=True))
        return self._crew

    def leave(self) -> None:
        """Lets the leader take leave of its crew."""
        if self._crew is not None:
            self._crew.ranks.leave()
        self._crew = None

    def remote(self, kind: type) -> Any:
        """What starts actors of a kind."""
        return SimpleNamespace(options=lambda **_: Method(lambda *arguments: Handle(next(self._free), kind, arguments)))

    def put(self, value: bytes) -> bytes:
        """What stands for the value."""
        self.put_bytes.append(len(value))
        return value

    def get(self, answers: Future[Any] | list[Future[Any]]) -> Any:
        """An answer, or all of them."""
        try:
            if isinstance(answers, Future):
                return answers.result(ANSWER_SECONDS)
            return [answer.result(ANSWER_SECONDS) for answer in answers]
        except Exception as error:
            raise RayError from error

    def wait(
        self, answers: list[Future[Any]], num_returns: int, timeout: float
    ) -> tuple[list[Future[Any]], list[Future[Any]]]:
        """Those that are there, after so many seconds or once that many are, and the others."""
        assert num_returns == len(answers)
        wait(answers, timeout)
        return [each for each in answers if each.done()], [each for each in answers if not each.done()]

    def cluster_resources(self) -> dict[str, float]:
        """Room for all."""
        return {"CPU": 64.0}

    def get_runtime_context(self) -> Any:
        """That of an actor that was never started before."""
        return SimpleNamespace(was_current_actor_reconstructed=False)


def _begin(kind: type, arguments: Sequence[Any]) -> None:
    """Becomes an actor, as a new process would."""
    if dist.is_initialized():
        dist.destroy_process_group()
    _ACTOR[:] = [kind(*arguments)]


def _call(name: str, *arguments: Any) -> Any:
    return getattr(_ACTOR[0], name)(*arguments)
