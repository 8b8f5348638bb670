"""An eventful life for one model, so that every panel has something to show."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from feedback.sqlite import SqliteLog
from service.explain import MAX_WAITING
from tests.answering import awaited
from tests.console.service import DIGITS, SERVED_SECONDS, Service
from tests.deploy.prometheus import Prometheus

MODEL = "digits"
CONFIGURATION = {"input": {"kind": "image", "shape": [8, 8]}, "probes": {"fraction": 0.3}}
ROWS = 60
"""Events of each digit: enough probe rows for the gate to see a loss, few enough for seconds."""
DEAD = 200
"""Events that cannot be learned: whatever else comes, more than one in a hundred."""
AT_ONCE = 4 * MAX_WAITING
"""Explanations, of which a replica holds a quarter."""
MOST_BATCHES = 30
"""Of wrong labels: before that, what they cost has used up any budget."""
BASE = f"/v1/models/{MODEL}"
ANSWERED_AGAIN = "rate(lifelong_answer_seconds_count[10s]) > 0"
SEEN_TO_WAIT = "count(max by (job) (count_over_time(lifelong_oldest_erasure_timestamp_seconds[1h])) > 1) > 1"
"""Under both jobs, for two scrapes at least: a dashboard asks for every second."""


class Life:
    """What is done to a running service; `log` is its feedback log, `n_answered` counts its predictions."""

    def __init__(self, service: Service, prometheus: Prometheus, log: Path) -> None:
        self.service = service
        self.n_answered = 0
        self._prometheus = prometheus
        self._log = log

    def live(self) -> None:
        """All of it, in order."""
        own = [{"instance": image, "subject": str(number)} for number, image in enumerate(images([0, 1]))]
        self._teach([0, 1], "zero-one", own)
        for digits, task in (([2, 3], "two-three"), ([4, 5], "four-five")):
            self._ask_too_much()
            self._close_the_last()
            self._teach(digits, task, self._predicted(digits))
        self._close_the_last()
        self._send_what_cannot_be_learned()
        self._teach([6, 7], "six-seven", self._predicted([6, 7]))
        self._forget(iter(range(2 * ROWS)))
        good = self.status()["version"]
        self._poison()
        self.service.post(f"{BASE}/rollback", {"version": good})
        self._predicted(range(8))
        self._until(self._is_answered_again)

    def status(self) -> Any:
        """The status document."""
        return self.service.get(BASE)

    def _predicted(self, digits: Sequence[int]) -> list[dict[str, Any]]:
        """Answers to the digits' rows, as what their feedback names."""
        self.n_answered += len(digits) * ROWS
        answers = [self.service.post(f"{BASE}/predict", {"instances": [image]}) for image in images(digits)]
        return [{"prediction_id": answer["predictions"][0]["prediction_id"]} for answer in answers]

    def _teach(self, digits: Sequence[int], task: str, subjects: Sequence[dict[str, Any]]) -> None:
        """Feedback on rows of digits and a mistake, until that is served and Prometheus has seen both."""
        self._fail_to_ask()
        labels = [digit for digit in digits for _ in range(ROWS)]
        pairs = zip(subjects, labels, strict=True)
        events = [
            {"event_id": f"{task}-{place}", "label": label, "task": task, **subject}
            for place, (subject, label) in enumerate(pairs)
        ]
        rng = np.random.default_rng(0)
        position = self._send([events[place] for place in rng.permutation(len(events))])
        self._until(lambda: self.status()["served_through"] >= position)
        self._prometheus.wait_for(f'lifelong_champion_version_info{{version="{self.status()["version"]}"}}')

    def _is_answered_again(self) -> bool:
        """Asks once more; whether Prometheus saw one version answer at two moments: else there is no rate."""
        self._predicted([0])
        return bool(self._prometheus.now(ANSWERED_AGAIN))

    def _close_the_last(self) -> None:
        """Ends the task that was taught last."""
        self.service.post(f"{BASE}/tasks/{self.status()['tasks'][-1]['task']}/close", {})

    def _forget(self, subjects: Iterator[int]) -> None:
        """Has one subject forgotten after the other, until Prometheus has seen how one waits for that."""

        def is_seen_to_wait() -> bool:
            address = f"{self.service.address}{BASE}/subjects/{next(subjects)}"
            erasure = httpx.delete(address, trust_env=False).raise_for_status().json()["erasure"]
            self._until(lambda: self.service.get(f"{BASE}/erasures/{erasure}")["state"] == "done")
            return bool(self._prometheus.now(SEEN_TO_WAIT))

        self._until(is_seen_to_wait)

    def _poison(self) -> None:
        """Gives everything that is known another label, again and again, until the gate refuses to serve that."""
        wrong = [{"label": "x", "instance": image, "task": "x"} for image in images(range(8))]
        for batch in range(MOST_BATCHES):
            position = self._send([event | {"event_id": f"x-{batch}-{n}"} for n, event in enumerate(wrong)])
            self._until(lambda position=position: self.status()["processed_through"] >= position)
            if self.status()["gate"].get("refuse"):
                return
        raise AssertionError(self.status())

    def _fail_to_ask(self) -> None:
        """A body that is no JSON."""
        headers = {"content-type": "application/json"}
        address = f"{self.service.address}{BASE}/predict"
        assert httpx.post(address, content=b"{", headers=headers, trust_env=False).status_code == 400

    def _ask_too_much(self) -> None:
        """More explanations at a time than a replica holds, until it turns one away."""
        address, body = f"{self.service.address}{BASE}/explain", {"instance": images([0])[0], "method": "smooth_grad"}
        with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(AT_ONCE) as pool:

            def is_one_turned_away() -> bool:
                asked = [pool.submit(client.post, address, json=body) for _ in range(AT_ONCE)]
                return 429 in {answer.result().status_code for answer in asked}

            self._until(is_one_turned_away)

    def _send_what_cannot_be_learned(self) -> None:
        """What only other programs can put into the log, and what is refused at the door."""
        forgotten = {"events": [{"prediction_id": "long-gone.0", "label": 1}]}
        assert httpx.post(f"{self.service.address}{BASE}/feedback", json=forgotten, trust_env=False).is_client_error
        log = SqliteLog(self._log)
        log.append([("lost", b'{"event_id": "lost", "prediction_id": "a.0", "label": 1}')])
        log.append([(f"dead-{number}", b'{"nothing": 1}') for number in range(DEAD)])
        log.close()
        self._until(lambda: self.status()["ledger"]["dead"] == DEAD)

    def _send(self, events: Sequence[dict[str, Any]]) -> int:
        position: int = self.service.post(f"{BASE}/feedback", {"events": list(events)})["position"]
        return position

    def _until(self, holds: Any) -> None:
        awaited(holds, SERVED_SECONDS, self.status)


def images(digits: Sequence[int]) -> list[Any]:
    """The first rows of each digit, digit by digit."""
    return [DIGITS.train_images[row].tolist() for digit in digits for row in _rows(digit)]


def _rows(digit: int) -> Any:
    return np.flatnonzero(DIGITS.train_labels == digit)[:ROWS]
