"""The process that the load generators of our own run in, so that they share no interpreter with what is measured."""

import os
import resource
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def generators(count: int = 1) -> Iterator[Executor]:
    """`count` processes that have started and may open as many connections as the system allows."""
    with ProcessPoolExecutor(count, get_context("spawn"), _lift_limit) as pool:
        for started in [pool.submit(os.getpid) for _ in range(count)]:
            started.result()
        yield pool


def _lift_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
