"""Forgetting a subject: no byte of it is left, and what is learned anew is what was never told of it."""

import json
import struct
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from contracts.erasures import Erasure, subject_digest
from feedback.join import encode_rows
from feedback.predictions import PredictionLog
from tests.answering import awaited
from tests.trainer.pipeline import Bench, digit_events, split
from trainer.assembly import desk
from trainer.copies import Copies
from trainer.errors import UnknownVersion
from trainer.policies import PromotionSettings, TaskSettings
from trainer.settings import LearnerSettings

pytestmark = pytest.mark.unit
SUBJECT = "canary/Ünique %41 subject"
CANARY = [0.123456, 0.654321]
"""Numbers that no other instance has."""
CANARY_BYTES = [SUBJECT.encode(), str(CANARY[0]).encode(), struct.pack("<2f", *CANARY)]
PATIENCE_SECONDS = 120.0
PATIENT = PromotionSettings(min_interval_seconds=86_400)
"""Versions are made by other means alone: so the rounds of a stream do not depend on the gate."""


class Killed(Exception):
    """What a kill looks like from inside: the trainer before is left as it was."""


def kill(*_given: object) -> None:
    raise Killed


def owned(events: Sequence[dict[str, Any]], subject: str = SUBJECT) -> list[dict[str, Any]]:
    """The same events as those of one subject, whose instances are its own."""
    return [
        event
        | {"event_id": f"own-{event['event_id']}", "subject": subject, "instance": [*CANARY, *event["instance"][2:]]}
        for event in events
    ]


def own_events(digits: Sequence[int], task: str | None, wanted: str, count: int) -> list[dict[str, Any]]:
    """So many training or probe events of the subject."""
    return split(owned(digit_events(digits, task)), wanted)[:count]


def take(bench: Bench, events: Sequence[dict[str, Any]]) -> None:
    """One round of exactly these events."""
    bench.feed(events)
    bench.trainer.advance(0.0)


def forget(bench: Bench, subject: str = SUBJECT) -> Erasure:
    """Asks and lets the trainer go on until it has carried that out."""
    asked = desk(bench.config).ask(subject)
    assert asked.state == "waiting"
    return awaited(lambda: carried_out(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy)


def carried_out(bench: Bench, asked: Erasure) -> Erasure | None:
    """What became of it, once nothing is kept of the subject."""
    bench.trainer.advance(0.0)
    ended = [erasure for erasure in bench.service.erasures if erasure.state in {"withdrawing", "done"}]
    return next((erasure for erasure in ended if erasure.id == asked.id), None)


def found_in(directory: Path, needles: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """The files that hold one of these."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [(path.name, needle) for path in files for needle in needles if needle in path.read_bytes()]


def test_no_byte_is_left_of_what_a_subject_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, labels={"scenario": "class", "names": [str(digit) for digit in range(10)]})
    own = own_events([0, 1], "first", "train", 20) + own_events([0, 1], "first", "probe", 3)
    refused = [event | {"event_id": f"r{n}", "label": "nothing"} for n, event in enumerate(own[:3])]
    predictions = PredictionLog(tmp_path / "predictions.db", 86_400.0, 1 << 30)
    predictions.record("own", 1, json.dumps({"instances": [own[0]["instance"]]}).encode())
    predictions.record("rows", 1, encode_rows(np.asarray([own[1]["instance"]], np.float32), None))
    predictions.record("unreadable", 1, b"no request")
    predictions.record("others", 1, json.dumps({"instances": [digit_events([5], None)[0]["instance"]]}).encode())
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    bench.feed(own + refused)
    bench.drain()
    bench.trainer.close_task("first")
    bench.feed(digit_events([2, 3], "second"))
    bench.drain()
    bench.trainer._save(force=True)
    predictions.close()
    before = {name.removesuffix("-wal") for name, _ in found_in(tmp_path, CANARY_BYTES)}
    assert before >= {"state.db", "feedback.db", "predictions.db"}
    certificate = forget(bench)
    assert found_in(tmp_path, CANARY_BYTES) == []
    assert certificate.subject_sha256 == subject_digest(SUBJECT)
    assert (certificate.examples, certificate.probes) == (20, 3)
    assert (certificate.dead_letters, certificate.requests) == (3, 2)
    assert bench.status.ledger.balances
    bench.reopen()
    assert found_in(tmp_path, CANARY_BYTES) == []


@pytest.mark.parametrize("kinds", [["replay", "ewc"], ["der"], ["icarl"], ["generative"], ["gem", "si"]])
def test_weights_are_those_of_a_learner_that_was_never_told(tmp_path: Path, kinds: list[str]) -> None:
    rounds = [digit_events([0, 1], "first")[:60], digit_events([0, 1], "first")[60:], digit_events([2, 3], "second")]
    own = {0: own_events([0, 1], "first", "train", 7), 2: own_events([2, 3], "second", "train", 1)}
    changes: dict[str, Any] = {
        "strategies": [{"kind": kind} for kind in kinds],
        "promotion": PATIENT,
        "tasks": TaskSettings(close_after_events=30, close_after_idle_seconds=0),
    }
    told, never = Bench(tmp_path / "told", **changes), Bench(tmp_path / "never", **changes)
    for number, events in enumerate([*rounds, digit_events([4, 5], "third")]):
        take(told, [*own.get(number, []), *events])
        take(never, events)
    assert told.status.round == never.status.round
    assert told.fingerprint != never.fingerprint
    forget(told)
    assert told.fingerprint == never.fingerprint
    assert told.trainer._course.tasks == never.trainer._course.tasks
    for bench in (told, never):
        take(bench, digit_events([6, 7], "fourth"))
    assert told.fingerprint == never.fingerprint


@pytest.mark.parametrize("min_steps", [0, 8])
def test_a_round_takes_no_pass_for_rows_that_are_gone(tmp_path: Path, min_steps: int) -> None:
    changes: dict[str, Any] = {"promotion": PATIENT, "learner": LearnerSettings(min_steps=min_steps, batch_size=8)}
    told, never = (Bench(tmp_path / name, **changes) for name in ("told", "never"))
    others = split(digit_events([0, 1], "first"), "train")[:60]
    take(told, [*others, *own_events([0, 1], "first", "train", 30)])
    take(never, others)
    forget(told)
    assert told.fingerprint == never.fingerprint


def test_a_round_and_a_task_of_the_subject_alone_were_never_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, promotion=PATIENT)
    take(bench, digit_events([0, 1], "first"))
    kept = bench.fingerprint
    take(bench, own_events([8], "own", "train", 5))
    bench.trainer._learn([], bench.trainer._ingest.close_task("own"))
    assert "8" in bench.trainer._reporter.status().labels
    forget(bench)
    assert bench.fingerprint == kept
    assert [task.task for task in bench.status.tasks] == ["first"]
    assert sorted(bench.status.labels) == ["0", "1"]
    take(bench, digit_events([2], "second"))
    bench.reopen()
    assert sorted(bench.trainer._reporter.status().labels) == ["0", "1", "2"]


def test_versions_that_had_learned_from_it_are_withdrawn_and_the_champion_is_replaced(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    clean = bench.status.version
    bench.feed(own_events([0, 1], "first", "train", 20) + digit_events([2, 3], "second"))
    bench.drain()
    champion = bench.status.version
    assert champion > clean
    certificate = forget(bench)
    assert certificate.state == "withdrawing"
    assert champion in certificate.withdrawn
    assert clean not in certificate.withdrawn
    assert bench.status.version == certificate.version
    (made,) = [record for record in bench.service.versions if record.version == certificate.version]
    assert made.probes.decision.codes == ["erased"]
    assert made.lineage.parent == clean
    (told,) = [news.data for news in bench.service.news if news.event == "erasure"]
    facts = {"examples": 20, "withdrawn": certificate.withdrawn, "version": certificate.version}
    assert told == {"erasure": certificate.id} | facts
    gone = {record.version: record.withdrawn for record in bench.service.versions if record.withdrawn}
    assert gone == dict.fromkeys(certificate.withdrawn, certificate.id)
    assert not [version for version in certificate.withdrawn if (tmp_path / "trainer/versions" / str(version)).exists()]
    with pytest.raises(UnknownVersion, match="withdrawn"):
        bench.trainer.rollback(champion)
    assert bench.trainer.rollback(None)["version"] == clean


def test_an_erased_event_that_comes_again_is_a_duplicate_and_new_numbers_are_new(tmp_path: Path) -> None:
    bench = Bench(tmp_path, promotion=PATIENT)
    own = own_events([0, 1], "first", "train", 5)
    take(bench, [*digit_events([0, 1], "first"), *own])
    newest = bench.trainer._stores.examples.next_sequence()
    forget(bench)
    assert bench.trainer._stores.examples.next_sequence() == newest
    before = bench.fingerprint
    take(bench, own)
    assert bench.fingerprint == before
    assert bench.trainer._reporter.status().ledger.duplicate == len(own)
    assert len(bench.trainer._stores.examples.digests([event["event_id"] for event in own])) == len(own)


@pytest.mark.parametrize(
    "place",
    [
        "trainer.examples.ExampleStore.erase",
        "trainer.promoter.Promoter.recount",
        "trainer.course.Course.apply",
        "trainer.promoter.Promoter.discard",
        "trainer.eraser.Eraser.conclude",
    ],
)
def test_a_trainer_that_is_killed_on_the_way_goes_on_at_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    bench.feed(own_events([0, 1], "first", "train", 20))
    bench.drain()
    champion = bench.status.version
    asked = desk(bench.config).ask(SUBJECT)
    with monkeypatch.context() as killing:
        killing.setattr(place, kill)
        with pytest.raises(Killed):
            awaited(lambda: carried_out(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy)
    bench.reopen()
    found = awaited(lambda: carried_out(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy)
    assert (found.examples, found.state) == (20, "withdrawing")
    assert found.version == bench.status.version != champion
    assert found_in(tmp_path, CANARY_BYTES) == []


@pytest.mark.parametrize("name", ["predictions.db", "trainer/state.db"])
def test_an_erasure_waits_for_a_file_that_others_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for module in ("feedback.database", "trainer.database"):
        monkeypatch.setattr(f"{module}.BUSY_MILLISECONDS", 10)
    monkeypatch.setattr("trainer.eraser.CLEAN_SECONDS", 0.0)
    bench = Bench(tmp_path, promotion=PATIENT)
    take(bench, digit_events([0, 1], "first") + own_events([0, 1], "first", "train", 5))
    asked = desk(bench.config).ask(SUBJECT)
    with closing(apsw.Connection(str(tmp_path / name))) as other:
        other.execute("BEGIN; SELECT count(*) FROM sqlite_schema")
        awaited(lambda: carried_out(bench, asked) or "an erasure waits" in caplog.text, PATIENCE_SECONDS, str)
        assert carried_out(bench, asked) is None
    assert awaited(lambda: carried_out(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy).state == "done"
    assert found_in(tmp_path, CANARY_BYTES) == []


def test_of_a_subject_that_only_has_probe_rows_nothing_is_learned_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first") + own_events([0, 1], "first", "probe", 4))
    bench.drain()
    version, weights, probes = bench.status.version, bench.fingerprint, bench.status.tasks[0].probes
    certificate = forget(bench)
    assert (certificate.state, certificate.version, certificate.withdrawn) == ("done", None, [])
    assert (bench.status.version, bench.fingerprint) == (version, weights)
    assert bench.status.tasks[0].probes == probes - 4
    assert bench.status.erasures.events == 4


def test_what_is_accepted_before_the_last_request_is_read_first_and_what_comes_later_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, promotion=PATIENT)
    take(bench, digit_events([0, 1], "first"))
    first, later = own_events([0, 1], "first", "train", 10)[:5], own_events([0, 1], "first", "train", 10)[5:]
    bench.feed(first)
    asked = desk(bench.config).ask(SUBJECT)
    assert bench.trainer._eraser.carry_out() is None
    bench.feed(later)
    assert desk(bench.config).ask(SUBJECT).id == asked.id
    found = awaited(lambda: carried_out(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy)
    assert (found.examples, bench.status.erasures.pending) == (10, 0)
    take(bench, own_events([0, 1], "first", "train", 11)[10:])
    assert bench.trainer._stores.examples.of_subject(SUBJECT)


def test_who_asks_again_in_the_midst_of_it_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, promotion=PATIENT)
    own = own_events([0, 1], "first", "train", 10)
    take(bench, digit_events([0, 1], "first") + own[:5])
    asked = desk(bench.config).ask(SUBJECT)
    erase, again = Copies.erase, iter([own[5:]])

    def interrupted(copies: Copies, digests: Any) -> Any:
        for more in again:
            bench.feed(more)
            assert desk(bench.config).ask(SUBJECT).id == asked.id
        return erase(copies, digests)

    monkeypatch.setattr(Copies, "erase", interrupted)
    found = awaited(lambda: carried_out(bench, asked), PATIENCE_SECONDS, bench.service.erasures.copy)
    assert found.examples == 10
    assert found_in(tmp_path, CANARY_BYTES) == []


def test_several_subjects_are_forgotten_together(tmp_path: Path) -> None:
    bench, never = (Bench(tmp_path / name, promotion=PATIENT) for name in ("told", "never"))
    own = own_events([0, 1], "first", "train", 12)
    first = [event | {"subject": "ann"} for event in own[:5]]
    second = [event | {"subject": "bob", "event_id": f"b-{event['event_id']}"} for event in own[5:]]
    take(bench, [*first, *digit_events([0, 1], "first"), *second])
    take(never, digit_events([0, 1], "first"))
    asked = [desk(bench.config).ask(name) for name in ("ann", "bob", "nobody")]
    found = [awaited(partial(carried_out, bench, one), PATIENCE_SECONDS, str) for one in asked]
    assert [erasure.examples + erasure.probes for erasure in found] == [5, 7, 0]
    assert bench.fingerprint == never.fingerprint
    assert bench.status.erasures.events == 12
