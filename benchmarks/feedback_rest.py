"""Feedback events per second accepted over REST in batches of 100, each 202 meaning durable, while the trainer learns.

`python -m benchmarks.feedback_rest [--json] [--seconds S]`
"""

import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import numpy as np
import typer
from rich.table import Table

from contracts.inputs import TensorInput
from lifelong.output import emit
from lifelong.settings import Settings
from lifelong.up import Place, running
from service.environment import free_port

BATCH_EVENTS = 100
CLIENTS = 4
SIZES = (16, 784)


class Sender(threading.Thread):
    """Posts batches, one after the other, until the deadline; counts what was answered by 202."""

    def __init__(self, url: str, name: str, numbers: int, seconds: float) -> None:
        super().__init__(name=name)
        self._url = url
        self._rows = np.random.default_rng(0).random((BATCH_EVENTS, numbers)).round(3).tolist()
        self._seconds = seconds
        self.accepted = 0
        self.refused = 0

    def run(self) -> None:
        """Posts."""
        deadline = time.monotonic() + self._seconds
        batch = 0
        with httpx.Client(timeout=60.0, trust_env=False) as client:
            while time.monotonic() < deadline:
                batch += 1
                answer = client.post(self._url, content=self._body(batch), headers={"content-type": "application/json"})
                if answer.status_code == httpx.codes.ACCEPTED:
                    self.accepted += int(answer.json()["accepted"])
                else:
                    self.refused += 1

    def _body(self, batch: int) -> bytes:
        events = [
            {"event_id": f"{self.name}-{batch}-{place}", "label": place % 10, "instance": row}
            for place, row in enumerate(self._rows)
        ]
        return msgspec.json.encode({"events": events})


def measure(address: str, numbers: int, seconds: float) -> dict[str, Any]:
    """Events accepted per second for instances of so many numbers."""
    url = f"{address}/v1/models/rate-{numbers}/feedback"
    senders = [Sender(url, f"s{number}", numbers, seconds) for number in range(CLIENTS)]
    begun = time.monotonic()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    took = time.monotonic() - begun
    accepted = sum(sender.accepted for sender in senders)
    refused = sum(sender.refused for sender in senders)
    return {"numbers": numbers, "accepted_per_second": accepted / took, "accepted": accepted, "refused": refused}


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    seconds: Annotated[float, typer.Option(help="How long to send.")] = 10.0,
) -> None:
    """Measures small and MNIST-sized instances and prints the table."""
    models = [Settings(model=f"rate-{numbers}", input=TensorInput(shape=(numbers,))) for numbers in SIZES]
    with (
        tempfile.TemporaryDirectory() as state,
        running(models, Place(Path(state), "127.0.0.1", free_port())) as service,
    ):
        results = [measure(service.place.address, numbers, seconds) for numbers in SIZES]
    table = Table("numbers an instance", "events/s accepted", "accepted", "requests refused")
    for result in results:
        cells = (result["numbers"], round(result["accepted_per_second"]), result["accepted"], result["refused"])
        table.add_row(*(str(cell) for cell in cells))
    emit(results, as_json, table)


if __name__ == "__main__":
    typer.run(main)
