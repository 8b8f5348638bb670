"""Events per second out of Kafka and the embedded log: read, decoded and validated, in one process.

`python -m benchmarks.kafka_decode [--json] [--rounds N] [--events N]`

A real broker runs beside it on the same machine. "read" is the log alone; "validated" adds the decoding of the event
and of its instance into a row; "trainer" is the whole intake: duplicates, probe split and one transaction per 512
events. CPU seconds are those of this process, so that rate does not depend on what else the machine does.
"""

import gc
import json
import logging
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table

from contracts.decoder import InstanceDecoder
from contracts.events import decode_event
from contracts.inputs import TensorInput
from contracts.labels import LabelSpec
from feedback.kafka import MAX_POLL_RECORDS, KafkaReader
from feedback.log import Cursor, FeedbackReader, Record
from feedback.messages import position_header
from feedback.predictions import PredictionLog
from feedback.settings import KafkaSettings
from feedback.sqlite import SqliteLog
from tests.broker import Broker
from trainer.ingest import Ingest
from trainer.intake import Intake
from trainer.policies import TaskSettings
from trainer.settings import LearnerSettings
from trainer.stores import Stores

OUTBOX = "benchmark"
SMALL, LARGE = 16, 784
"""Numbers in an instance: 16 make an event of about 200 bytes, 784 are an MNIST image."""
NUMBERS = random.Random(0)


class Bench(NamedTuple):
    """Where a measurement runs and how often."""

    broker: Broker
    folder: Path
    rounds: int


class Rate(NamedTuple):
    """Events per second of wall time and per second of this process's CPU time, medians over the rounds."""

    what: str
    event_bytes: int
    per_second: float
    per_cpu_second: float


def main(as_json: Annotated[bool, typer.Option("--json")] = False, rounds: int = 5, events: int = 50_000) -> None:
    """Measures all, in turn, and prints one table."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    gc.freeze()  # as the trainer does
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder)) as broker:
        small, large = bodies(SMALL, events), bodies(LARGE, events // 10)
        bench = Bench(broker, Path(folder), rounds)
        rates = [
            *kafka_rates(bench, small, SMALL, is_forwarded=False),
            *kafka_rates(bench, small, SMALL, is_forwarded=True),
            *kafka_rates(bench, large, LARGE, is_forwarded=True),
            *sqlite_rates(Path(folder), small, rounds),
            prediction_rate(Path(folder), bodies(LARGE, 2_000), rounds),
        ]
    if as_json:
        typer.echo(json.dumps([rate._asdict() for rate in rates]))
    else:
        show(rates)


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A broker of its own."""
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def bodies(numbers: int, count: int) -> list[tuple[str, bytes]]:
    """Ids and JSON of feedback events, all different."""
    ids = [uuid.UUID(int=NUMBERS.getrandbits(128)).hex for _ in range(count)]
    instance = [round(NUMBERS.random(), 4) for _ in range(numbers)]
    return [
        (name, msgspec.json.encode({"event_id": name, "label": "seven", "instance": instance, "task": "t1"}))
        for name in ids
    ]


def kafka_rates(bench: Bench, events: list[tuple[str, bytes]], numbers: int, is_forwarded: bool) -> Iterator[Rate]:
    """Rates out of a topic, filled as the forwarder fills it (with a header) or as other programs do (without)."""
    settings = KafkaSettings(kind="kafka", bootstrap_servers=bench.broker.bootstrap_servers)
    model, source = uuid.uuid4().hex, "Kafka, forwarded" if is_forwarded else "Kafka, bare"
    reader = KafkaReader(settings, model, OUTBOX)
    reader.end()
    fill(settings, model, events, is_forwarded)
    spec, size, count = TensorInput(shape=(numbers,)), len(events[0][1]), len(events)
    decoder = InstanceDecoder(spec)
    yield rate(f"{source}: read", size, count, bench.rounds, lambda: read(reader, count))
    yield rate(f"{source}: validated", size, count, bench.rounds, lambda: validate(reader, count, decoder))
    reader.close()
    yield rate(f"{source}: trainer", size, count, bench.rounds, lambda: intake(settings, model, spec, bench, count))


def sqlite_rates(folder: Path, events: list[tuple[str, bytes]], rounds: int) -> Iterator[Rate]:
    """Rates of the embedded log; every append is on disk when it returns."""
    size, logs = len(events[0][1]), [SqliteLog(folder / f"{number}.db") for number in range(2 * rounds)]
    fresh, single = iter(logs[:rounds]), iter(logs[rounds:])
    yield rate("SQLite: append, 100 a time", size, len(events), rounds, lambda: append(next(fresh), events, 100))
    few = events[:1000]
    yield rate("SQLite: append, one a time", size, len(few), rounds, lambda: append(next(single), few, 1))
    yield rate("SQLite: read", size, len(events), rounds, lambda: read(logs[0], len(events)))
    yield rate("SQLite: poll without news", 0, 1000, rounds, lambda: poll(logs[0], 1000))
    for log in logs:
        log.close()


def prediction_rate(folder: Path, events: list[tuple[str, bytes]], rounds: int) -> Rate:
    """What the predict path pays for the prediction log."""
    log = PredictionLog(folder / "predictions.db", 3600.0, 1 << 30)
    measured = rate("predictions: record", len(events[0][1]), len(events), rounds, lambda: record(log, events))
    log.close()
    return measured


def fill(settings: KafkaSettings, model: str, events: Sequence[tuple[str, bytes]], is_forwarded: bool) -> None:
    """Writes events to the topic, with the header of the outbox when forwarded."""
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, linger_ms=5, batch_size=256 << 10)
    for position, (_, body) in enumerate(events):
        headers = [position_header(OUTBOX, position)] if is_forwarded else []
        producer.send(settings.topic_of(model), body, key=b"t1", headers=headers)
    producer.flush()
    producer.close()


def batches(reader: FeedbackReader, count: int) -> Iterator[list[Record]]:
    """Batches from the start of the log until `count` records came."""
    cursor: Cursor = {}
    while count > 0:
        records = reader.read(cursor, MAX_POLL_RECORDS, 1.0)
        if records:
            cursor[0] = records[-1].offset + 1
            count -= len(records)
            yield records


def read(reader: FeedbackReader, count: int) -> None:
    """Reads and drops the records."""
    for _ in batches(reader, count):
        pass


def validate(reader: FeedbackReader, count: int, decoder: InstanceDecoder) -> None:
    """Reads records, decodes the events and encodes their instances as rows."""
    for records in batches(reader, count):
        raws = [decode_event(record.body or b"").instance for record in records]
        decoder.batch([raw for raw in raws if isinstance(raw, msgspec.Raw)])


def intake(settings: KafkaSettings, model: str, spec: TensorInput, bench: Bench, count: int) -> None:
    """Takes all of the topic into the stores of a new trainer."""
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    stores = Stores.open(folder, "benchmark")
    predictions = PredictionLog(folder / "predictions.db", 3600.0, 1 << 20)
    sorter = Intake(spec, LabelSpec(), stores.examples, predictions, 0.1)
    reader = KafkaReader(settings, model, OUTBOX)
    ingest = Ingest(reader, sorter, stores, LearnerSettings(), TaskSettings(), lambda examples, _: [list(examples)])
    while count > 0:
        examples, _ = ingest.take(1.0)
        count -= len(examples)
    ingest.close()


def append(log: SqliteLog, events: list[tuple[str, bytes]], size: int) -> None:
    """Appends events in batches."""
    for start in range(0, len(events), size):
        log.append(events[start : start + size])


def poll(log: SqliteLog, count: int) -> None:
    """Looks for records where there are none."""
    end = log.end()
    for _ in range(count):
        log.read(end, MAX_POLL_RECORDS, 0.0)


def record(log: PredictionLog, events: list[tuple[str, bytes]]) -> None:
    """Records instances as the predict path does."""
    for _, body in events:
        log.record(uuid.uuid4().hex, 1, body)


def rate(what: str, event_bytes: int, events: int, rounds: int, work: Callable[[], None]) -> Rate:
    """Runs the work `rounds` times and takes medians."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Rate(what, event_bytes, events / statistics.median(walls), events / statistics.median(cpus))


def show(rates: Sequence[Rate]) -> None:
    """Prints the table."""
    table = Table("", "bytes an event", "events/s", "events per CPU second")
    for row in rates:
        table.add_row(row.what, str(row.event_bytes), f"{row.per_second:,.0f}", f"{row.per_cpu_second:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
