"""What the registry has not been told of, versions and aliases, as the status says it; the registry is a real one."""

import time
from functools import partial
from pathlib import Path

import pytest

from contracts.erasures import Erasure
from registry.store import Registry
from tests.answering import awaited
from tests.trainer.pipeline import Bench, digit_events
from trainer.assembly import desk, mirror

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


def test_the_registry_gives_up_what_an_erasure_withdrew(tmp_path: Path) -> None:
    bench, registry = Bench(tmp_path), partial(Registry, "digits", None, tmp_path)
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    bench.feed([event | {"subject": "ada"} for event in digit_events([2, 3], "second", limit=20)])
    bench.drain()
    mirrored(bench)
    learned = bench.status.version
    assert learned in registry().versions()
    asked = desk(bench.config).ask("ada")
    telling = mirror(bench.config)
    telling.start()
    awaited(lambda: is_done(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy)
    telling.stop()
    (done,) = bench.service.erasures
    assert learned in done.withdrawn
    assert not set(done.withdrawn) & set(registry().versions())
    assert registry().champion() == (done.version, bench.status.generation)
    bench.trainer.end()


def is_done(bench: Bench, asked: Erasure) -> bool:
    bench.trainer.advance(WAIT_SECONDS)
    return any(erasure.id == asked.id and erasure.state == "done" for erasure in bench.service.erasures)
