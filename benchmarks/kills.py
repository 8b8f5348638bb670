"""Kill -9 of the trainer, of a replica and of the whole tree at random moments of a stream; then the books are checked.

`python -m benchmarks.kills [--json] [--kills N] [--seed S]`

A client sends events as fast as they are accepted and repeats what got no answer. At random moments one of the three is
killed; a killed tree is started again. At the end nothing that was accepted may be missing or counted twice, and the
learner's weights must equal, bit for bit, those of the recorded rounds applied anew without any interruption.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import apsw
import msgspec
import psutil
import typer
from rich.progress import track
from rich.table import Table

from contracts.events import FeedbackEvent
from lifelong.actors import training
from lifelong.client import Client, Patience, wait_ready
from lifelong.data import small_digits
from lifelong.errors import RequestRefused, ServiceUnreachable
from lifelong.output import emit, stderr
from lifelong.settings import load_settings
from service.environment import free_port

TARGETS = {"trainer": "ray::TrainerActor", "replica": "ray::ServeReplica", "tree": ""}
READY_SECONDS = 240.0
BATCH_EVENTS = 20
CONFIG = "model: digits\ninput: {kind: image, shape: [8, 8]}\npromotion: {min_interval_seconds: 0.5}\n"


class Tree:
    """A service in a process tree of its own that can be killed and started again on the same state."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "digits.yaml"
        self.config.write_text(CONFIG)
        self.state = directory / "state"
        self._log = (directory / "up.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        command = [
            sys.executable,
            "-m",
            "lifelong",
            "up",
            str(self.config),
            "--state",
            str(self.state),
            "--port",
            str(port),
        ]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        wait_ready(self.address, READY_SECONDS)

    def kill(self, target: str) -> None:
        """Kills one part with SIGKILL; the whole tree is started again."""
        if target == "tree":
            for process in [self._root(), *self._root().children(recursive=True)]:
                _kill(process)
            if self._process is not None:
                self._process.wait()
            self.start()
            return
        for process in self._root().children(recursive=True):
            if _title(process).startswith(TARGETS[target]):
                _kill(process)
                return

    def stop(self) -> None:
        """Ends it as a supervisor does."""
        self._root().send_signal(signal.SIGTERM)
        if self._process is not None:
            self._process.wait(120)
        self._log.close()

    def _root(self) -> psutil.Process:
        if self._process is None:
            raise RuntimeError("the tree was not started")
        return psutil.Process(self._process.pid)


class Stream(threading.Thread):
    """Sends every digit once, in order, until each was accepted; remembers the ids of what was answered by 202."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(daemon=True)
        self._tree = tree
        self._data = small_digits()
        self.accepted: set[str] = set()
        self.stopping = False

    def run(self) -> None:
        """Sends until stopped, with new ids for every pass over the digits."""
        labels = self._data.train_labels
        start = 0
        while not self.stopping:
            rows = [number % len(labels) for number in range(start, start + BATCH_EVENTS)]
            events = [self._event(start + place, row) for place, row in enumerate(rows)]
            try:
                with Client(self._tree.address, "digits", Patience(5.0, 5.0)) as client:
                    receipt = client.feedback(events)
            except ServiceUnreachable:
                continue
            except RequestRefused as refusal:
                if refusal.problem["status"] != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                continue
            if receipt.accepted + receipt.duplicates == len(events):
                self.accepted.update(str(event.event_id) for event in events)
                start += BATCH_EVENTS
            time.sleep(0.05)

    def _event(self, number: int, row: int) -> FeedbackEvent:
        label = str(self._data.train_labels[row])
        instance = msgspec.Raw(msgspec.json.encode(self._data.train_images[row].tolist()))
        return FeedbackEvent(label=label, event_id=f"e{number}", instance=instance, task=f"t{int(label) // 2}")


def check(tree: Tree, accepted: set[str], ledger: dict[str, int]) -> dict[str, Any]:
    """Compares the ids in the books with those accepted, and the weights with an uninterrupted run of the record."""
    database = apsw.Connection(str(tree.state / "digits" / "trainer" / "state.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = list(database.execute("SELECT event_id, sequence, split FROM events ORDER BY sequence"))
    steps = [json.loads(row[0]) for row in database.execute("SELECT document FROM steps")]
    training = [sequence for _, sequence, split in rows if split == "train"]
    trained = Counter(
        sequence
        for step in steps
        if step["type"] == "round"
        for sequence in training[
            bisect_left(training, step["first_sequence"]) : bisect_right(training, step["last_sequence"])
        ]
    )
    counted = ledger["trained"] + ledger["late"] - len(training), ledger["probe"] - (len(rows) - len(training))
    resumed, rebuilt = weights(tree, keep_checkpoints=True), weights(tree, keep_checkpoints=False)
    return {
        "accepted": len(accepted),
        "lost": len(accepted - {row[0] for row in rows}),
        "trained_not_once": sum(trained[sequence] != 1 for sequence in training),
        "ledger_difference": sum(map(abs, counted)),
        "rounds": len(steps),
        "weights_equal": resumed == rebuilt,
    }


def weights(tree: Tree, keep_checkpoints: bool) -> str:
    """Digest of the weights that a trainer has after resuming; without checkpoints it applies every recorded round."""
    program = (
        "import sys, apsw\n"
        "from contracts.versions import sha256\n"
        "from trainer.assembly import TrainerConfiguration, assemble\n"
        "from benchmarks.kills import Silent\n"
        "config = TrainerConfiguration.model_validate_json(sys.stdin.read())\n"
        "path = config.directory / 'trainer' / 'state.db'\n"
        f"if not {keep_checkpoints}: apsw.Connection(str(path)).execute('DELETE FROM checkpoints')\n"
        "trainer = assemble(config, Silent(), lambda: None)\n"
        "trainer.begin()\n"
        "print(sha256(trainer.network.weights()))\n"
    )
    configuration = training(load_settings(tree.config), tree.state)
    done = subprocess.run(
        [sys.executable, "-c", program], input=configuration.encode(), stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().split()[-1]


class Silent:
    """A service that listens to nothing."""

    def announce(self, generation: int, files: dict[str, bytes]) -> None:
        """Nothing."""

    def report(self, status: object) -> bool:
        """Known."""
        return status is not None

    def narrate(self, news: object) -> None:
        """Nothing."""

    def remember(self, versions: object) -> None:
        """Nothing."""


def measure(kills: int, seed: int, pause: float) -> dict[str, Any]:
    """Streams, kills and checks."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Tree(Path(directory))
        tree.start()
        try:
            counted, accepted = stream_and_kill(tree, kills, seed, pause)
            ledger = settled(tree)
        finally:
            tree.stop()
        return {"seed": seed, "kills": counted, **check(tree, accepted, ledger)}


def stream_and_kill(tree: Tree, kills: int, seed: int, pause: float) -> tuple[dict[str, int], set[str]]:
    """Kills at random moments of a stream; returns how often which part, and the ids of the accepted events."""
    chance = random.Random(seed)
    stream = Stream(tree)
    stream.start()
    targets = [chance.choice(list(TARGETS)) for _ in range(kills)]
    for target in track(targets, f"kills, seed {seed}", console=stderr()):
        time.sleep(chance.uniform(0.2, pause))
        tree.kill(target)
    if not stream.is_alive():
        raise SystemExit("the stream broke off before the last kill")
    stream.stopping = True
    stream.join()
    return {target: targets.count(target) for target in TARGETS}, stream.accepted


def settled(tree: Tree) -> dict[str, int]:
    """The ledger once everything accepted is accounted for."""
    with Client(tree.address, "digits") as client:
        position = client.status().processed_through
        while (status := client.status()).ledger.pending or status.processed_through != position:
            position = status.processed_through
            time.sleep(0.5)
    ledger: dict[str, int] = msgspec.to_builtins(status.ledger)
    return ledger


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    kills: Annotated[int, typer.Option()] = 20,
    seed: Annotated[int, typer.Option()] = 0,
    pause: Annotated[float, typer.Option(help="Most seconds between two kills.")] = 6.0,
) -> None:
    """Runs and prints the table; exits with 1 if a promise was broken."""
    result = measure(kills, seed, pause)
    table = Table("what", "value")
    for name, value in result.items():
        table.add_row(name, json.dumps(value))
    emit(result, as_json, table)
    broken = result["lost"] or result["trained_not_once"] or result["ledger_difference"] or not result["weights_equal"]
    raise typer.Exit(1 if broken else 0)


if __name__ == "__main__":
    typer.run(main)
