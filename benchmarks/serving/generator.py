"""The process that the load generators of our own run in, so that they share no interpreter with what is measured."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def generators(count: int = 1) -> Iterator[Executor]:
    """`count` processes that have started."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        for started in [pool.submit(_start) for _ in range(count)]:
            started.result()
        yield pool


def _start() -> None:
    return
