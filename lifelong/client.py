"""A small client of the REST interface: it retries what is safe to repeat and names every refusal."""

import random
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
import msgspec

from contracts.answers import Predictions, Receipt
from contracts.events import FeedbackEvent
from lifelong.errors import RequestRefused, ServiceUnreachable

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
MAX_PAUSE_SECONDS = 5.0


class Patience(NamedTuple):
    """How long one call may take in all, its retries included, and how long one attempt may take."""

    total_seconds: float = 120.0
    attempt_seconds: float = 60.0


PATIENT = Patience()


def served_models(address: str) -> list[str]:
    """Names of the models that a service hosts.

    Raises:
        ServiceUnreachable: nothing usable answers at the address.
    """
    try:
        answer = httpx.get(f"{address.rstrip('/')}/v1/models", timeout=PATIENT.attempt_seconds, trust_env=False)
        models: list[dict[str, Any]] = answer.raise_for_status().json()["models"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError):
        raise ServiceUnreachable("unreachable", f"no lifelong service answers at {address}") from None
    return [model["model"] for model in models]


def wait_ready(address: str, timeout_seconds: float) -> None:
    """Returns once a service reports that it is ready to answer.

    Raises:
        ServiceUnreachable: it does not in time.
    """
    deadline = time.monotonic() + timeout_seconds
    with httpx.Client(timeout=5.0, trust_env=False) as http:
        while time.monotonic() < deadline:
            try:
                if http.get(f"{address}/v2/health/ready").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise ServiceUnreachable("not_ready", f"{address} was not ready after {timeout_seconds:.0f} s")


def only_model(address: str) -> str:
    """The name of the one model that a service hosts.

    Raises:
        RequestRefused: it hosts several, so that one must be named.
        ServiceUnreachable: as `served_models`.
    """
    names = served_models(address)
    if len(names) != 1:
        raise RequestRefused("model_needed", f"name the model: one of {', '.join(names)}", {})
    return names[0]


class Client:
    """Speaks to one model of a service; use it as a context manager.

    Overload (429), a restart in progress (502, 503, 504) and lost connections are retried with growing, jittered
    pauses or after the `Retry-After` that the service names. Feedback gets its event ids here, so that repeating a
    request never trains an event twice.

    Raises, from every call:
        RequestRefused: the service answered with a problem document.
        ServiceUnreachable: no usable answer came within the client's patience.
    """

    def __init__(self, address: str, model: str, patience: Patience = PATIENT) -> None:
        self.address = address.rstrip("/")
        self.model = model
        self._patience = patience
        self._http = httpx.Client(base_url=self.address, timeout=patience.attempt_seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def predict(self, instances: Sequence[Any], task: str | None = None, scores: bool = False) -> Predictions:
        """Predictions for instances in their JSON form; `task` is needed in the task scenario only."""
        document: dict[str, Any] = {"instances": instances}
        if task is not None:
            document["task"] = task
        if scores:
            document["scores"] = True
        return msgspec.json.decode(self._call("POST", "/predict", document), type=Predictions)

    def feedback(self, events: Sequence[FeedbackEvent]) -> Receipt:
        """Sends events; once this returns, the accepted ones are durable. That none was accepted is no exception."""
        named = [event if event.event_id else _with_id(event) for event in events]
        try:
            return msgspec.json.decode(self._call("POST", "/feedback", {"events": named}), type=Receipt)
        except RequestRefused as refusal:
            if not refusal.problem.get("rejected"):
                raise
            return msgspec.convert({"accepted": 0, "duplicates": 0, **refusal.problem}, type=Receipt)

    def status(self) -> dict[str, Any]:
        """The model's status document."""
        return self._document("GET", "")

    def matrix(self) -> dict[str, Any]:
        """The accuracy matrix with its averages."""
        return self._document("GET", "/matrix")

    def versions(self, version: int | None = None) -> dict[str, Any]:
        """All versions, or one with its lineage, probe results and decision."""
        return self._document("GET", "/versions" if version is None else f"/versions/{version}")

    def close_task(self, task: str) -> dict[str, Any]:
        """Ends a task: everything accepted for it before is learned, consolidated and measured once this returns.

        It is no fault that the task is closed already when the answer to an earlier attempt was lost.
        """
        try:
            return self._document("POST", f"/tasks/{task}/close", {})
        except RequestRefused as refusal:
            if refusal.code != "task_already_closed" or not refusal.is_repeat:
                raise
        matrix = self.matrix()
        row = matrix["R"][matrix["tasks"].index(task)] if task in matrix["tasks"] else []
        return {"task": task, "closed": True, "tasks": matrix["tasks"], "row": row}

    def rollback(self, version: int | None = None) -> dict[str, Any]:
        """Serves an earlier version again: the given one, or the one before the champion. Never sent twice."""
        document = {} if version is None else {"version": version}
        return msgspec.json.decode(self._call("POST", "/rollback", document, repeat=False), type=dict[str, Any])

    def wait_processed(self, position: int, timeout_seconds: float) -> dict[str, Any]:
        """The first status in which the trainer has accounted for everything up to `position`."""
        return self._wait("processed_through", position, timeout_seconds)

    def wait_served(self, position: int, timeout_seconds: float) -> dict[str, Any]:
        """The first status in which every replica serves a version that has learned everything up to `position`.

        A version that the gate refuses is never served: then this ends with `ServiceUnreachable` after the timeout.
        """
        return self._wait("served_through", position, timeout_seconds)

    def _wait(self, mark: str, position: int, timeout_seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            status = self.status()
            if (status.get(mark) or 0) >= position:
                return status
            if time.monotonic() > deadline:
                raise ServiceUnreachable("not_in_time", f"{mark} did not reach {position} in {timeout_seconds:.0f} s")
            time.sleep(0.02)

    def _document(self, method: str, route: str, document: Any = None) -> dict[str, Any]:
        return msgspec.json.decode(self._call(method, route, document), type=dict[str, Any])

    def _call(self, method: str, route: str, document: Any = None, repeat: bool = True) -> bytes:
        deadline = time.monotonic() + self._patience.total_seconds
        content = None if document is None else msgspec.json.encode(document)
        attempt = 0
        while True:
            answer = self._attempt(method, route, content)
            if answer is not None and answer.is_success:
                return answer.content
            if answer is not None and (answer.status_code not in RETRIED_STATUSES or not repeat):
                raise _refusal(answer, is_repeat=attempt > 0)
            pause = _pause_seconds(answer, attempt)
            if not repeat or time.monotonic() + pause > deadline:
                raise self._given_up(answer)
            time.sleep(pause)
            attempt += 1

    def _attempt(self, method: str, route: str, content: bytes | None) -> httpx.Response | None:
        headers = {} if content is None else {"content-type": "application/json"}
        try:
            return self._http.request(method, f"/v1/models/{self.model}{route}", content=content, headers=headers)
        except httpx.TransportError:
            return None

    def _given_up(self, answer: httpx.Response | None) -> RequestRefused | ServiceUnreachable:
        if answer is not None:
            return _refusal(answer)
        return ServiceUnreachable("unreachable", f"nothing answers at {self.address}; is `lifelong up` running?")


def _with_id(event: FeedbackEvent) -> FeedbackEvent:
    return msgspec.structs.replace(event, event_id=uuid.uuid4().hex)


def _pause_seconds(answer: httpx.Response | None, attempt: int) -> float:
    named = "" if answer is None else answer.headers.get("retry-after", "")
    if named.isdigit():
        return min(float(named), MAX_PAUSE_SECONDS)
    return float(min(0.05 * 2**attempt, MAX_PAUSE_SECONDS) * random.uniform(0.5, 1.0))


def _refusal(answer: httpx.Response, is_repeat: bool = False) -> RequestRefused:
    try:
        problem = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        problem = {}
    code = str(problem.get("error", "unexpected_answer"))
    detail = str(problem.get("detail") or problem.get("title") or f"the service answered {answer.status_code}")
    return RequestRefused(code, detail, {"status": answer.status_code, **problem}, is_repeat)
