"""An open-loop load generator: requests leave at a constant rate, whether or not those before were answered.

A latency is counted from the moment at which its request was meant to be sent. So a server that stands still for a
second is charged with all requests of that second, as its users would; a closed loop charges it with one for each
connection ("coordinated omission", Tene, *How NOT to Measure Latency*, 2013).
"""

import asyncio
import selectors
from collections import deque

from benchmarks.serving.connection import LOST, UNSENT, Answer, Connection
from benchmarks.serving.samples import Samples

FIRST_CONNECTIONS = 16
MAX_CONNECTIONS = 512
"""`select` takes file descriptors below 1,024; beyond this many requests in flight they wait, which counts."""
BURST = 32
"""A generator that is late sends so many at once before it looks for answers, and so catches up."""
PATIENCE_SECONDS = 10.0
"""After the last request was meant to be sent; what is not answered by then counts as lost, or as unsent."""


def send_at_rate(port: int, request: bytes, rate: float, seconds: float) -> Samples:
    """Sends `rate` requests a second; it blocks, and is meant for a process of its own."""
    # Of all selectors only `select` takes its timeout in microseconds: others would send up to a millisecond late.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(OpenLoop(port, request).run(rate, seconds))


class OpenLoop:
    """Sends on any idle connection, and opens one more where there is none."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._samples = Samples()
        self._idle: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()

    async def run(self, rate: float, seconds: float) -> Samples:
        """The whole schedule, then what is still in flight."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(self._connect() for _ in range(FIRST_CONNECTIONS)))
        started = loop.time()
        n_requests = round(rate * seconds)
        for number in range(n_requests):
            due = started + number / rate
            left = due - loop.time()
            if left > 0 or number % BURST == 0:
                await asyncio.sleep(left)
            self._arrive(due)
        deadline = loop.time() + PATIENCE_SECONDS
        while self._samples.statuses.total() < n_requests and loop.time() < deadline:
            await asyncio.sleep(0.01)
        self._samples.seconds = loop.time() - started
        return self._ended(n_requests)

    def _ended(self, n_requests: int) -> Samples:
        for task in self._opening:
            task.cancel()
        samples, self._samples = self._samples, Samples()
        for connection in list(self._connections):
            connection.close()
        samples.statuses[UNSENT] = len(self._waiting)
        samples.statuses[LOST] += n_requests - samples.statuses.total()
        return samples

    def _arrive(self, due: float) -> None:
        self._waiting.append(due)
        if self._idle:
            self._send_next(self._idle.pop())
        elif len(self._connections) < MAX_CONNECTIONS:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        connection = Connection(self._answered, self._lost)
        self._connections.add(connection)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, "127.0.0.1", self._port)
        except OSError:
            self._connections.discard(connection)
            if self._waiting:
                self._waiting.popleft()
                self._samples.add(Answer(LOST), 0.0, 0.0)
            return
        self._send_next(connection)

    def _send_next(self, connection: Connection) -> None:
        """Sends the request that has waited longest, if there is one."""
        if not self._waiting:
            self._idle.append(connection)
            return
        connection.sent_for = self._waiting.popleft()
        self._samples.late.append(asyncio.get_running_loop().time() - connection.sent_for)
        connection.send(self._request)

    def _answered(self, connection: Connection, answer: Answer) -> None:
        now = asyncio.get_running_loop().time()
        self._samples.add(answer, now - connection.sent_for, now - connection.sent_at)
        if answer.status != LOST:
            self._send_next(connection)

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
