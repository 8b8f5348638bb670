"""What the service is told of a round."""

import time
from pathlib import Path

import msgspec
import pytest

from contracts.status import Limits
from feedback.join import RequestKeys, prediction_id
from feedback.predictions import PredictionLog
from tests.trainer.pipeline import Bench, digit_events, split
from trainer.policies import PromotionSettings

pytestmark = pytest.mark.unit


def test_the_news_of_a_round_say_how_many_steps_were_skipped(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    rounds = [news.data for news in bench.service.news if news.event == "round"]
    bench.trainer.end()
    assert rounds
    assert all(facts["skipped"] == 0 < facts["steps"] for facts in rounds)


def test_rounds_that_no_network_could_learn_are_counted_through_restarts_and_hold_nothing_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed([event | {"instance": [3e38] * 64} for event in digit_events([0, 1], "first", limit=20)])
    bench.drain()
    (facts,) = [news.data for news in bench.service.news if news.event == "round"]
    assert facts["restored"]
    assert facts["skipped"] == facts["steps"] == bench.status.guards.skipped_steps
    bench.trainer.end()
    bench.reopen()
    bench.feed(digit_events([2, 3], "first", limit=20))
    bench.drain()
    bench.trainer.end()
    assert bench.status.guards.restored_rounds == 1
    assert bench.status.guards.skipped_steps == facts["skipped"]
    assert bench.status.ledger.balances
    assert bench.status.ledger.pending == 0
    assert not bench.service.news[0].data["restored"]


def test_events_that_break_a_step_are_named_and_counted_through_restarts(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    events = split(digit_events([0, 1], "first", limit=20), "train")
    huge = {"event_id": "huge", "instance": [3e38, -3e38] * 32}
    bench.feed([*events, events[0] | huge])
    bench.drain()
    rounds = [news.data for news in bench.service.news if news.event == "round"]
    assert [name for facts in rounds for name in facts["quarantined"]] == ["huge"]
    assert sum(facts["skipped"] for facts in rounds) == 0
    bench.trainer.end()
    bench.reopen()
    bench.feed(digit_events([2, 3], "first", limit=20))
    bench.drain()
    bench.trainer.end()
    assert bench.status.guards.quarantined_rows == 1
    assert bench.status.ledger.balances


def test_what_the_gate_counted_and_when_things_happened_survives_a_restart(tmp_path: Path) -> None:
    bench, began = Bench(tmp_path), time.time()
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    older = bench.status.version
    bench.feed(digit_events([2, 3], "second", limit=20))
    bench.drain()
    assert sum(bench.status.reasons["promote"].values()) >= bench.status.gate["promote"] > 1
    assert bench.status.reasons["promote"]["gained"]
    assert bench.status.times.rollback is None
    assert bench.status.times.round is not None
    assert began < bench.status.times.round < time.time()
    bench.trainer.rollback(older)
    told = bench.status
    assert told.times.rollback == told.promoted_at
    bench.trainer.end()
    bench.reopen()
    bench.trainer.advance(0.0)
    bench.trainer.end()
    assert bench.status.reasons == told.reasons
    assert bench.status.times == told.times
    assert bench.status.limits == Limits(max_drop=0.1, budget=0.2)


def test_a_trainer_that_waits_reports_and_writes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    bench.trainer.close_task("first")
    bench.drain()
    written, told = (tmp_path / "trainer" / "state.db-wal").stat(), len(bench.service.statuses)
    while len(bench.service.statuses) < told + 2:
        bench.trainer.advance(0.02)
    assert (tmp_path / "trainer" / "state.db-wal").stat().st_mtime_ns == written.st_mtime_ns
    bench.trainer.end()


def test_a_challenger_that_a_person_promotes_is_no_rollback(tmp_path: Path) -> None:
    bench = Bench(tmp_path, promotion=PromotionSettings(mode="manual", min_interval_seconds=0))
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    challenger = bench.service.versions[-1].version
    bench.trainer.rollback(challenger)
    bench.trainer.end()
    assert bench.status.version == challenger > 1
    assert bench.status.reasons["hold"]["not_auto"]
    assert bench.status.times.rollback is None


def test_events_that_name_predictions_are_counted_by_what_became_of_that(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (event,) = digit_events([0], "first", limit=1)
    key = RequestKeys().issue()
    predictions = PredictionLog(tmp_path / "predictions.db", 60.0, 1 << 20)
    predictions.record(key, 1, msgspec.json.encode({"instances": [event["instance"]]}))
    predictions.close()
    named = {"label": 0, "task": "first", "prediction_id": prediction_id(key, 0)}
    bench.feed([named | {"event_id": "one"}, named | {"event_id": "two", "prediction_id": "long-gone.0"}, event])
    bench.drain()
    assert bench.status.joins == {"joined": 1, "unknown": 1}
    bench.trainer.end()
    bench.reopen()
    bench.trainer.advance(0.0)
    bench.trainer.end()
    assert bench.status.joins == {"joined": 1, "unknown": 1}
