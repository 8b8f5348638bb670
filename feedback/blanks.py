"""Offsets of a Kafka partition without a record: transaction markers, aborted and compacted records."""

from feedback.log import Cursor

START = -1
"""Stands for a partition that a cursor does not name."""


class Blanks:
    """Remembers where a client went on without having been given a record."""

    def __init__(self) -> None:
        self._spans: dict[int, tuple[int, int]] = {}

    def note(self, partition: int, start: int, position: int | None) -> None:
        """Takes note that nothing is to be had between a cursor's offset and the client's position."""
        if position is not None and position > max(0, start):
            self._spans[partition] = (start, position)

    def skip(self, cursor: Cursor) -> Cursor:
        """The cursor moved past those offsets."""
        spans = self._spans.items()
        return cursor | {partition: end for partition, (start, end) in spans if cursor.get(partition, START) == start}

    def forget(self) -> None:
        """Starts anew, as with another client."""
        self._spans = {}
