"""What the registry has not been told of, versions and aliases, as the status says it; the registry is a real one."""

import time
from functools import partial
from pathlib import Path

import pytest

from registry.store import Registry
from tests.trainer.pipeline import Bench, digit_events
from trainer.assembly import mirror

pytestmark = pytest.mark.real
PATIENCE_SECONDS = 120.0
WAIT_SECONDS = 0.02


def mirrored(bench: Bench) -> None:
    """Lets a mirror tell the registry all that there is, and end."""
    telling, deadline = mirror(bench.config), time.monotonic() + PATIENCE_SECONDS
    telling.start()
    while bench.status.registry_lag:
        assert time.monotonic() < deadline
        bench.trainer.advance(WAIT_SECONDS)
    telling.stop()


def test_a_rollback_that_the_registry_was_not_told_of_is_a_lag_of_one(tmp_path: Path) -> None:
    bench, registry = Bench(tmp_path), partial(Registry, "digits", None, tmp_path)
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    versions = bench.status.version
    assert bench.status.registry_lag == versions > 1
    mirrored(bench)
    assert registry().champion() == (versions, bench.status.generation)

    bench.trainer.rollback(1)
    assert bench.status.registry_lag == 1
    bench.trainer.end()
    bench.reopen()
    bench.trainer.advance(0.0)
    assert bench.status.registry_lag == 1
    mirrored(bench)
    assert registry().champion() == (1, bench.status.generation)
    bench.trainer.end()
