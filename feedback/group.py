"""The offsets of the consumer group: they show people how far the trainer is, and nothing resumes from them."""

from typing import Any

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from feedback.log import Cursor


class GroupOffsets:
    """Moves the group's offsets on one topic in the background."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._moved: Cursor = {}

    def move(self, consumer: Any, cursor: Cursor) -> bool:
        """Returns whether the broker has the cursor; if not it is sent, and a later call tells whether it arrived."""
        if cursor == self._moved:
            return True
        target = dict(cursor)
        offsets = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in target.items()
        }
        consumer.commit_async(offsets, callback=lambda _, response: self._note(target, response))
        return False

    def _note(self, target: Cursor, response: object) -> None:
        if not isinstance(response, Exception):
            self._moved = target
