"""What the service is told of a round."""

from pathlib import Path

import pytest

from tests.trainer.pipeline import Bench, digit_events

pytestmark = pytest.mark.unit


def test_the_news_of_a_round_say_how_many_steps_were_skipped(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first", limit=20))
    bench.drain()
    rounds = [news.data for news in bench.service.news if news.event == "round"]
    bench.trainer.end()
    assert rounds
    assert all(facts["skipped"] == 0 < facts["steps"] for facts in rounds)
