"""The trainer as a Ray actor: one thread learns, the actor's own thread takes commands; only `crew` knows Ray, too."""

import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from contracts import spans
from contracts.erasures import Erasure, ErasureRequest
from contracts.errors import LifelongError
from contracts.status import NAMESPACE, News, TrainerStatus, VersionRecord, hub_name
from trainer.crew import ending_where_a_peer_is_lost, recruited
from trainer.process import end_at_once, give_way

WAIT_SECONDS = 0.02
COMMAND_SECONDS = 600.0
HEARD_SECONDS = 2.0
"""How long the answer to a command waits for the hub to know what came of it; a hub that is away hears it later."""
Command = tuple[Callable[[], dict[str, Any]], "Future[dict[str, Any]]"]


class HubLink:
    """The service's hub seen from the trainer; learning never waits for it, and what it missed it is sent again.

    A hub that is away is looked for again at every call; what is said meanwhile is lost, but for what is sent again.
    """

    def __init__(self, model: str) -> None:
        self._name = hub_name(model)
        self._hub: Any = None
        self._answer: Any = None
        self._said: dict[str, Any] = {}
        self._certifying = threading.Lock()
        self._reported = 0

    def announce(self, generation: int, files: dict[str, bytes]) -> None:
        """Sends the champion's files."""
        self._send("announce", generation, files)

    def report(self, status: TrainerStatus) -> bool:
        """Sends the status; False when an earlier answer shows that the hub lacked the champion or the versions."""
        has_all = self._has_all()
        answer = self._send("report", msgspec.json.encode(status))
        self._answer = answer if has_all else None  # that one is given before the hub gets what it lacked
        self._reported = status.generation
        return has_all

    def narrate(self, news: Sequence[News]) -> None:
        """Sends events for the stream."""
        self._send("narrate", [msgspec.json.encode(item) for item in news])

    def remember(self, versions: Sequence[VersionRecord]) -> None:
        """Sends the list of versions."""
        self._send("remember", [msgspec.json.encode(record) for record in versions])

    def certify(self, read: Callable[[], Sequence[Erasure]]) -> None:
        """Sends the list of erasures as it is read now; any thread may call this."""
        with self._certifying:
            self._send("certify", [msgspec.json.encode(erasure) for erasure in read()])

    def wait_heard(self) -> None:
        """Waits, 2 seconds at most, until the hub has taken the last of each kind; any thread may call this."""
        said = list(self._said.values())
        ray.wait(said, num_returns=len(said), timeout=HEARD_SECONDS)

    def _has_all(self) -> bool:
        if self._answer is None or not ray.wait([self._answer], timeout=0)[0]:
            return True
        try:
            known = ray.get(self._answer)
        except RayError:
            self._hub = None
            return True  # what the next hub lacks, it says itself
        return bool(known["generation"] >= self._reported and known["versions"])

    def _send(self, method: str, *arguments: Any) -> Any:
        """Where the answer will be; None without a hub."""
        try:
            self._hub = self._hub or ray.get_actor(self._name, namespace=NAMESPACE)
        except (ValueError, RayError):
            return None
        answer = self._said[method] = getattr(self._hub, method).remote(*arguments)
        return answer


class TrainerActor:
    """Runs a trainer for as long as the actor lives; a restarted actor resumes from the state directory.

    An error that the trainer cannot go on from ends the process: what it had not recorded yet is read again.
    """

    def __init__(self, configuration: str) -> None:
        # Whoever starts this actor need not load torch: only its own process does.
        from trainer.assembly import TrainerConfiguration, assemble, desk, mirror

        give_way()
        config = TrainerConfiguration.model_validate_json(configuration)
        self._crew = recruited(config, configuration)
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._is_stopping = False
        self._mirror = mirror(config)
        self._link = HubLink(config.model)
        self._desk = desk(config)
        with ending_where_a_peer_is_lost():
            self._trainer = assemble(config, self._link, self._mirror.wake, self._crew)
            self._trainer.begin()  # here, so that what prevents it is the actor's own last word
        gc.freeze()  # what is loaded by now stays: searching it again and again took a third of reading feedback
        self._thread = threading.Thread(target=self._run, name="trainer", daemon=True)
        self._thread.start()

    def ping(self) -> bool:
        """Answers once the trainer has begun."""
        return True

    def close_task(self, task: str) -> bytes:
        """Closes a task; the answer is JSON, an error with `error` and `detail`."""
        return self._ask(lambda: self._trainer.close_task(task))

    def rollback(self, version: int | None) -> bytes:
        """Serves an earlier version again; the answer is JSON, an error with `error` and `detail`."""
        return self._ask(lambda: self._trainer.rollback(version))

    def erase(self, subject: str) -> bytes:
        """Takes a request to forget a subject, however busy the trainer is; the answer is JSON, once it is on disk."""
        try:
            erasure = self._desk.ask(subject)
        except LifelongError as error:
            return _refusal(error)
        self._link.certify(self._desk.newest)
        self._link.wait_heard()
        return msgspec.json.encode(ErasureRequest(erasure.id, erasure.state))

    def stop(self) -> bool:
        """Ends after the step under way, with a checkpoint."""
        self._is_stopping = True
        self._thread.join()
        return True

    def _ask(self, action: Callable[[], dict[str, Any]]) -> bytes:
        answer: Future[dict[str, Any]] = Future()
        self._commands.put((action, answer))
        try:
            done = answer.result(COMMAND_SECONDS)
        except LifelongError as error:
            return _refusal(error)
        except TimeoutError:
            detail = "the trainer is still busy; the command is carried out when it is done"
            return msgspec.json.encode({"error": "trainer_busy", "detail": detail})
        self._link.wait_heard()  # so that who asks the service now is told of it
        return msgspec.json.encode(done)

    def _run(self) -> None:
        try:
            self._mirror.start()
            is_idle = False
            while not self._is_stopping and not (is_idle and self._crew and self._crew.has_more()):
                self._obey()
                is_idle = not self._trainer.advance(WAIT_SECONDS)
            self._obey()  # what came meanwhile
            self._mirror.stop()
            self._trainer.end()
        finally:
            spans.flush()
            if not self._is_stopping:  # an error, or the next crew is larger
                end_at_once()

    def _obey(self) -> None:
        while True:
            try:
                action, answer = self._commands.get_nowait()
            except Empty:
                return
            try:
                answer.set_result(action())
            except LifelongError as error:
                answer.set_exception(error)


def _refusal(error: LifelongError) -> bytes:
    """How a command is answered that cannot be carried out."""
    return msgspec.json.encode({"error": error.code, "detail": error.detail})
