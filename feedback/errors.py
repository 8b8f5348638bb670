"""What can go wrong between the two sides of the log; errors of Kafka and SQLite never leave this package."""

from contracts.errors import LifelongError


class FeedbackUnavailable(LifelongError):
    """The log cannot be opened, written or read now: nothing was accepted, trying again later may help."""


class FeedbackReplaced(LifelongError):
    """The log is not the one that the cursor belongs to: it was deleted and made anew, or restored from a copy."""


class FeedbackGap(LifelongError):
    """Records between the cursor and the oldest kept record are gone; they were never read.

    The loss is `first` to `last`, both included. To go on without them, set `cursor[partition] = last + 1`.
    """

    def __init__(self, log: str, partition: int, first: int, last: int) -> None:
        super().__init__("feedback_gap", f"{log}, partition {partition}: records {first} to {last} are no longer kept")
        self.log = log
        self.partition = partition
        self.first = first
        self.last = last


def check_kept(log: str, partition: int, wanted: int, oldest: int, end: int) -> None:
    """Returns if a cursor can be read from: it is among the kept offsets, from `oldest` on, or at their `end`.

    Raises:
        FeedbackReplaced: it is beyond the end.
        FeedbackGap: it is before the oldest.
    """
    if wanted > end:
        raise FeedbackReplaced("log_replaced", f"{log}, partition {partition}: ends at {end}, before cursor {wanted}")
    if wanted < oldest:
        raise FeedbackGap(log, partition, wanted, oldest - 1)
