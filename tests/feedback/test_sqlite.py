"""The embedded log: numbering, duplicates, durability, several processes, and clearing."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.database import Database
from feedback.errors import FeedbackGap, FeedbackUnavailable
from feedback.sqlite import TRIM_ROWS, SqliteLog

pytestmark = pytest.mark.unit
CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENTS = st.tuples(st.sampled_from("abcdef"), st.sampled_from([b"1", b"2"]))
APPEND_FOREVER = """
import sys
from pathlib import Path
from feedback.sqlite import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    event_id = f"{sys.argv[2]}-{number}"
    appended = log.append([(event_id, event_id.encode()), (f"{event_id}-b", b"{}")])
    sys.stdout.write(f"{event_id} {appended.position}\\n")
    sys.stdout.flush()
"""


def appender(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Another process that appends pairs of events and prints each that was acknowledged, with its position."""
    command = [sys.executable, "-c", APPEND_FOREVER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(EVENTS, max_size=6), max_size=6))
def test_append_follows_the_model(
    batches: list[list[tuple[str, bytes]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = SqliteLog(tmp_path_factory.mktemp("log") / "feedback.db")
    stored: dict[str, tuple[int, bytes]] = {}
    duplicates = 0
    for batch in batches:
        appended = log.append(batch)
        positions = [0]
        for index, (event_id, body) in enumerate(batch):
            if event_id not in stored:
                stored[event_id] = (len(stored) + 1, body)
                assert index in appended.accepted
            elif stored[event_id][1] == body:
                duplicates += 1
                assert index in appended.duplicates
            else:
                assert index in appended.conflicts
                continue
            positions.append(stored[event_id][0])
        assert appended.position == max(positions)
        assert sorted(appended.accepted + appended.duplicates + appended.conflicts) == list(range(len(batch)))
    assert [(record.position, record.body) for record in log.read({}, 100, 0.0)] == list(stored.values())
    assert log.duplicates_refused() == duplicates
    log.close()


def test_a_duplicate_is_known_after_its_body_was_dropped(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")
    log.append([("a", b"1"), ("b", b"2")])
    log.commit(log.end())
    assert log.read({}, 10, 0.0) == []
    again = log.append([("a", b"1"), ("b", b"other"), ("c", b"3")])
    assert (again.position, again.accepted, again.duplicates, again.conflicts) == (3, [2], [0], [1])
    log.close()
    reopened = SqliteLog(tmp_path / "feedback.db")
    assert reopened.duplicates_refused() == 1
    assert [record.position for record in reopened.read({0: 3}, 10, 0.0)] == [3]
    with pytest.raises(FeedbackGap):
        reopened.read({0: 1}, 10, 0.0)
    reopened.close()


def test_one_commit_drops_a_bounded_number_of_bodies(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")
    total = TRIM_ROWS + 100
    log.append([(str(number), b"{}") for number in range(total)])
    assert not log.commit(log.end())
    assert len(log.read({}, total, 0.0)) == 100
    assert log.commit(log.end())
    assert log.read({}, total, 0.0) == []
    log.close()


def test_contexts_are_kept_beside_the_events_and_dropped_with_them(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")
    log.append([("a", b"1"), ("b", b"2")], {"b": CONTEXT})
    again = log.append([("b", b"2"), ("a", b"1"), ("c", b"3")], {"a": CONTEXT, "b": CONTEXT[::-1], "c": CONTEXT})
    assert (again.accepted, again.duplicates) == ([2], [0, 1])
    assert [record.traceparent for record in log.read({}, 10, 0.0)] == [None, CONTEXT, CONTEXT]
    log.commit({0: 3})
    assert [record.traceparent for record in log.read({}, 10, 0.0)] == [CONTEXT]
    log.commit(log.end())
    connection = apsw.Connection(str(tmp_path / "feedback.db"))
    assert connection.execute("SELECT count(*) FROM traces").get == 0
    log.close()


def test_a_commit_never_goes_back(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")
    log.append([("a", b"1"), ("b", b"2")])
    log.commit({0: 3})
    log.commit({0: 2})
    assert log.committed() == {0: 3}
    log.close()


def test_several_processes_number_without_holes(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    processes = [appender(path, name, 40) for name in "xyz"]
    printed = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    log = SqliteLog(path)
    records = log.read({}, 1000, 0.0)
    assert [record.position for record in records] == list(range(1, 241))
    bodies = {record.body for record in records}
    assert all(event_id.encode() in bodies for words in printed for event_id in words[::2])
    log.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    process = appender(path, "k", 1_000_000)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.communicate()
    log = SqliteLog(path)
    stored = {record.offset: record.body for record in log.read({}, 1_000_000, 0.0)}
    for line in acknowledged:
        event_id, position = line.split()
        assert stored[int(position) - 1] == event_id.encode()
        assert stored[int(position)] == b"{}"
    assert sorted(stored) == list(range(1, len(stored) + 1))
    log.close()


def test_threads_share_one_log(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")

    def append(name: int) -> None:
        for number in range(20):
            log.append([(f"{name}-{number}", b"{}")])
            log.read({}, 5, 0.0)

    threads = [threading.Thread(target=append, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.position for record in log.read({}, 1000, 0.0)] == list(range(1, 121))
    log.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    database = Database(
        tmp_path / "any.db", "CREATE TABLE IF NOT EXISTS t (x) STRICT;".replace("(x)", "(x ANY)"), "FULL"
    )
    with database.writing() as connection:
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("journal_mode") == "wal"
    database.close()


def test_a_failed_append_stores_nothing_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    log = SqliteLog(path)
    log.append([("a", b"1")])
    limiter = apsw.Connection(str(path))
    limiter.execute("CREATE TRIGGER full BEFORE INSERT ON bodies BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(FeedbackUnavailable) as caught:
        log.append([("b", b"2"), ("a", b"1")])
    assert caught.value.code == "log_unavailable"
    limiter.execute("DROP TRIGGER full")
    limiter.close()
    assert log.duplicates_refused() == 0
    assert log.append([("b", b"2")]).accepted == [0]
    assert log.end() == {0: 3}
    log.close()


def test_a_place_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedbackUnavailable):
        SqliteLog(tmp_path)
    (tmp_path / "file").write_bytes(b"not a database, but long enough to look at, " * 200)
    with pytest.raises(FeedbackUnavailable):
        SqliteLog(tmp_path / "file")


def test_dead_letters_are_kept_once(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")
    log.append([("a", b"nonsense")])
    (record,) = log.read({}, 1, 0.0)
    for _ in range(2):
        log.dead_letter(record, "malformed_json", "the event is not valid JSON")
    assert [(letter.position, letter.body) for letter in log.dead_letters()] == [(1, b"nonsense")]
    log.close()


@pytest.mark.parametrize("seed", range(2))
def test_no_page_keeps_what_was_deleted_from_it(tmp_path: Path, seed: int) -> None:
    log, random = SqliteLog(tmp_path / "feedback.db"), np.random.default_rng(seed)
    subjects, position = [f"canary-{number:03}" for number in range(12)], 1
    for subject in subjects:
        mixed = [str(random.choice([subject, "others"])) for _ in range(60)]
        bodies = [b'{"subject": "%s"}' % name.encode() + b" " * int(random.integers(6_000)) for name in mixed]
        log.append([(f"{subject}-{number}", body) for number, body in enumerate(bodies)])
        for record in log.read({0: position}, 60, 0.0):
            log.dead_letter(record, "unknown_label", "it is not in the list")
        position += 60
        log.commit({0: position})
        assert log.erase({subject}) == {subject: mixed.count(subject)}
        found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b'"%s"' % subject.encode() not in found


def test_of_an_erased_subject_no_letter_and_no_byte_is_left(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "feedback.db")
    body = b'{"subject": "Al\\u0069ce", "instance": "canary"}'
    own = [(f"own-{number}", body + b" " * 900 * number) for number in range(9)]
    others = [(f"other-{number}", b'{"subject": "Bob", "label": "Alice"}') for number in range(9)]
    broken = [("broken", b'{"subject": "Alice", "instance": canary')]
    log.append([*own, *others, *broken])
    for record in log.read({}, 100, 0.0):
        if record.offset % 3 == 1:
            log.dead_letter(record, "unknown_label", "it is not in the list")
    assert not log.is_clear(1)
    assert log.commit({0: 20})
    assert log.is_clear(19)
    assert log.erase({"Alice", "nobody"}) == {"Alice": 4}
    assert [letter.position for letter in log.dead_letters()] == [10, 13, 16]
    assert not [path for path in tmp_path.iterdir() if b"canary" in path.read_bytes()]
    assert log.append(own).duplicates == list(range(9))
