"""The prediction log: found from every process, bounded by age and size, never in the way."""

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from feedback import predictions
from feedback.predictions import PredictionLog

pytestmark = pytest.mark.unit
DAY, MEBIBYTE = 86_400.0, 1 << 20
RECORD_ELSEWHERE = """
import sys
from pathlib import Path
from feedback.predictions import PredictionLog
log = PredictionLog(Path(sys.argv[1]), 86400.0, 1 << 20)
for line in sys.stdin:
    log.record(line.strip(), 3, line.strip().encode())
    print("recorded", flush=True)
"""


def test_a_body_is_found_as_it_came(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db", DAY, MEBIBYTE)
    first, second = b'{"instances": [[1.50, 2]]}', b'{"instances": ["text \\u00e9"]}'
    log.record("p-1", 7, first)
    log.record("p-2", 7, second)
    assert log.find(["p-2", "unknown", "p-1"], 1.0) == {"p-1": first, "p-2": second}
    log.close()


def test_it_is_found_from_another_process(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    command = [sys.executable, "-c", RECORD_ELSEWHERE, str(path)]
    log = PredictionLog(path, DAY, MEBIBYTE)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(10):
            prediction_id = uuid.uuid4().hex
            process.stdin.write(prediction_id + "\n")
            process.stdin.flush()
            process.stdout.readline()
            assert log.find([prediction_id], wait_seconds=5.0) == {prediction_id: prediction_id.encode()}
    log.close()


def test_a_new_log_finds_what_an_old_one_recorded(tmp_path: Path) -> None:
    for attempt in range(2):
        log = PredictionLog(tmp_path / "predictions.db", DAY, MEBIBYTE)
        log.record(f"p{attempt}", 1, b"[1]")
        log.close()
    log = PredictionLog(tmp_path / "predictions.db", DAY, MEBIBYTE)
    assert set(log.find(["p0", "p1"], wait_seconds=0.0)) == {"p0", "p1"}
    log.close()


def test_unknown_ids_wait_no_longer_than_asked(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db", DAY, MEBIBYTE)
    assert log.find(["nobody"], wait_seconds=0.0) == {}
    assert log.find([], wait_seconds=5.0) == {}
    log.close()


def test_old_predictions_are_neither_found_nor_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "EXPIRE_SECONDS", 0.01)
    path = tmp_path / "predictions.db"
    log = PredictionLog(path, 1.0, MEBIBYTE)
    log.record("p", 1, b"[1]")
    _await(lambda: _rows(path) == 1)
    _await(lambda: not log.find(["p"], wait_seconds=0.0))
    _await(lambda: _rows(path) == 0)
    log.close()


def test_the_oldest_go_when_the_space_is_used_up(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    log = PredictionLog(path, DAY, MEBIBYTE)
    ids = [f"p{number}" for number in range(4000)]
    for prediction_id in ids:
        log.record(prediction_id, 1, b"x" * 1000)
    assert log.find([ids[-1]], 5.0) == {ids[-1]: b"x" * 1000}
    assert log.find([ids[0]], wait_seconds=0.0) == {}
    kept = _rows(path)
    log.close()
    assert 500 < kept < 1100
    assert path.stat().st_size < 6 * MEBIBYTE


def test_an_instance_larger_than_the_whole_log_is_let_go(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db", DAY, MEBIBYTE)
    log.record("huge", 1, b"x" * (2 * MEBIBYTE))
    log.record("q", 1, b"[2]")
    assert log.find(["q"], 5.0) | log.find(["huge"], 0.0) == {"q": b"[2]"}
    log.close()


def test_memory_stays_bounded_while_the_disk_stalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "PENDING_BYTES", 10_000)
    path = tmp_path / "predictions.db"
    log = PredictionLog(path, DAY, MEBIBYTE)
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(1000):
        log.record(str(number), 1, b"x" * 100)
    assert log.dropped >= 900
    blocker.execute("ROLLBACK")
    blocker.close()
    assert log.find(["0"], wait_seconds=5.0)
    log.record("after", 1, b"[1]")
    assert log.find(["after"], wait_seconds=5.0) == {"after": b"[1]"}
    log.close()


def test_a_failing_disk_costs_the_join_alone(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    log = PredictionLog(path, DAY, MEBIBYTE)
    other = apsw.Connection(str(path))
    other.execute("CREATE TRIGGER full BEFORE INSERT ON predictions BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    log.record("p", 1, b"[1]")
    _await(lambda: log.dropped == 1)
    other.execute("DROP TRIGGER full")
    other.close()
    log.record("q", 1, b"[2]")
    assert log.find(["p", "q"], wait_seconds=0.2) == {"q": b"[2]"}
    log.close()


def test_threads_find_side_by_side(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db", DAY, MEBIBYTE)
    ids = [uuid.uuid4().hex for _ in range(50)]
    for prediction_id in ids:
        log.record(prediction_id, 1, prediction_id.encode())
    results: list[dict[str, bytes]] = []
    threads = [threading.Thread(target=lambda: results.append(log.find(ids, 5.0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [{prediction_id: prediction_id.encode() for prediction_id in ids}] * 8
    log.close()


def _rows(path: Path) -> int:
    connection = apsw.Connection(str(path))
    count: int = connection.execute("SELECT count(*) FROM predictions").get
    connection.close()
    return count


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_are_forgotten_by_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    log = PredictionLog(path, DAY, MEBIBYTE)
    kinds = {f"p-{number}": b"others %d" if number % 50 else b"canary %d" for number in range(260)}
    bodies = {key: kind % number * 200 for number, (key, kind) in enumerate(kinds.items())}
    for key, body in bodies.items():
        log.record(key, 1, body)
    log.find(["p-259"], 5.0)
    assert log.erase(lambda body: {"own"} if b"canary" in body else set()) == {"own": 6}
    assert set(log.find(list(bodies), 0.0)) == {key for key, body in bodies.items() if b"others" in body}
    assert not [file for file in tmp_path.iterdir() if b"canary" in file.read_bytes()]
    log.close()
