"""Event accepted → a prediction by a version that learned it: the seconds in between, and where they go.

`python -m benchmarks.freshness [--json] [--events N] [--interval S] [--network mlp|conv]`

A service that has learned eight MNIST digits gets single events of the last two, one after the other: each is sent when
the one before is served. The clock runs from before the request to after the first prediction that follows a status in
which `served_through` has reached the event. Gate and MLflow are on. `round` and `decision` are the trainer's own
medians of learning and of measuring, judging and publishing; the rest is the log, the push to the replica and polling.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from rich.progress import track
from rich.table import Table

from contracts.events import FeedbackEvent
from contracts.inputs import ImageInput
from lifelong.client import Client
from lifelong.data import mnist
from lifelong.output import emit, stderr
from lifelong.settings import Settings
from lifelong.stream import Task, learn, split
from lifelong.up import Place, running
from networks.settings import NetworkSpec, parse_network
from service.environment import free_port
from trainer.policies import PromotionSettings

POLL_SECONDS = 0.005
PATIENCE_SECONDS = 15.0
PAUSE_SECONDS = 0.3


class Fresh(NamedTuple):
    """One event: seconds until its 202, and until it was served; None if it was not within the patience."""

    accepted: float
    served: float | None
    round: float
    decision: float


def send_one(client: Client, task: Task, row: int) -> Fresh:
    """Sends one event and waits until a version that learned it predicts."""
    instance = msgspec.Raw(msgspec.json.encode(task.images[row].tolist()))
    event = FeedbackEvent(label=str(task.labels[row]), event_id=f"fresh-{row}", instance=instance, task=task.name)
    begun = time.perf_counter()
    position = client.feedback([event]).position or 0
    accepted = time.perf_counter() - begun
    while time.perf_counter() - begun < PATIENCE_SECONDS:
        status = client.status()
        if status.served_through >= position:
            client.predict([task.images[row].tolist()])
            parts = status.seconds
            unknown = float("nan")
            return Fresh(accepted, time.perf_counter() - begun, parts.round or unknown, parts.decision or unknown)
        time.sleep(POLL_SECONDS)
    return Fresh(accepted, None, float("nan"), float("nan"))


def measure(events: int, interval: float, network: NetworkSpec) -> dict[str, Any]:
    """Runs a service, teaches it four tasks, and sends single events of the fifth."""
    tasks = split(mnist(), 1500)
    promotion = PromotionSettings(min_interval_seconds=interval)
    settings = Settings(model="mnist", input=ImageInput(shape=(28, 28)), network=network, promotion=promotion)
    with (
        tempfile.TemporaryDirectory() as state,
        running([settings], Place(Path(state), "127.0.0.1", free_port())) as service,
        Client(service.place.address, "mnist") as client,
    ):
        for task in tasks[:4]:
            learn([client], task, lambda: None)
        found = []
        for row in track(range(events), "single events", console=stderr()):
            time.sleep(PAUSE_SECONDS + interval)
            found.append(send_one(client, tasks[4], row))
        gate = client.status().gate
    whole = [fresh for fresh in found if fresh.served is not None]
    served = sorted(fresh.served or 0.0 for fresh in whole)
    return {
        "network": network.model_dump(mode="json"),
        "interval_seconds": interval,
        "events": events,
        "not_served": events - len(served),
        "accepted_p50": statistics.median(fresh.accepted for fresh in found),
        "served_p50": _quantile(served, 0.5),
        "served_p95": _quantile(served, 0.95),
        "round_p50": statistics.median(fresh.round for fresh in whole),
        "decision_p50": statistics.median(fresh.decision for fresh in whole),
        "gate": gate,
    }


def _quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    events: Annotated[int, typer.Option(help="Single events to send.")] = 60,
    interval: Annotated[float, typer.Option(help="promotion.min_interval_seconds.")] = 0.1,
    network: Annotated[str, typer.Option(help="mlp (2 × 400) or conv (the default for images).")] = "mlp",
) -> None:
    """Measures and prints the table."""
    result = measure(events, interval, parse_network({"kind": network}))
    table = Table("what", "value")
    for name, value in result.items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    emit(result, as_json, table)


if __name__ == "__main__":
    typer.run(main)
