"""What the service is told of a round."""

from pathlib import Path

import pytest

from tests.trainer.pipeline import Bench, digit_events, split

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
