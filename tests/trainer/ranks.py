"""Processes that learn together, as tests drive them: each is one rank, and all run the same function."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from trainer.parallel import Ranks

MOST = 3


class Processes:
    """Up to three processes that stay for as many tests as need them, because torch is slow to load."""

    def __init__(self, directory: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pools = [ProcessPoolExecutor(1, context) for _ in range(MOST)]
        self._directory = directory
        self._meetings = 0

    def run(self, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `function(ranks, *arguments)` returns in each of `size` processes, by rank; alone it is given None."""
        self._meetings += 1
        place = str(self._directory / f"meeting-{self._meetings}")
        jobs = [
            pool.submit(_as_rank, rank, size, place, function, arguments) for rank, pool in enumerate(self.pools[:size])
        ]
        return [job.result(timeout=120) for job in jobs]

    def close(self) -> None:
        """Ends them."""
        for pool in self.pools:
            pool.shutdown()


def _as_rank(rank: int, size: int, place: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    if size == 1:
        return function(None, *arguments)
    ranks = Ranks(rank, size, dist.FileStore(place, size), torch.device("cpu"))
    try:
        return function(ranks, *arguments)
    finally:
        ranks.leave()
