"""The program on the page about Kafka writes what the service reads, on a real broker."""

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.events import decode_event
from feedback.kafka import KafkaReader
from feedback.settings import KafkaSettings
from feedback.topics import Topics
from tests.broker import Broker
from tests.docs.markdown import DOCS, blocks

pytestmark = pytest.mark.real


def test_the_program_of_the_page_writes_an_event(broker: Broker, tmp_path: Path) -> None:
    (program,) = [block for block in blocks(DOCS / "kafka.md") if block.title == "produce.py"]
    (typed,) = [command for block in blocks(DOCS / "kafka.md") for command in block.commands()]
    assert typed == f".venv/bin/python {program.title} localhost:9092"
    (tmp_path / program.title).write_text(program.text, encoding="utf-8")
    settings = KafkaSettings(kind="kafka", bootstrap_servers=broker.bootstrap_servers)
    with Topics(settings) as topics:  # as the service does when it starts
        topics.ensure(settings.topic_of("digits"), settings.partitions)
    subprocess.run([sys.executable, program.title, broker.bootstrap_servers], cwd=tmp_path, timeout=120, check=True)
    reader = KafkaReader(settings, "digits")
    try:
        events = [decode_event(record.body or b"") for record in reader.read({0: 0}, 10, 30.0)]
    finally:
        reader.close()
    assert ("ticket-4711", "morning") in [(event.event_id, event.task) for event in events]
