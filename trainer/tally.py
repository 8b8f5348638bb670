"""What changed on a probe set, counted: rows lost and gained where the champion knows the label, and new labels apart.

Rows with a label that the champion cannot answer are wrong for it by construction. Counted with the others they would
hide a loss behind a sure gain, so they are counted for themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.answers import PairedAnswers
from trainer.significance import mcnemar_loss


@dataclass(frozen=True)
class Tally:
    """Counts over probe sets; `rows`, `right_before`, `gained`, `lost` are of rows with labels the champion knows."""

    name: str
    rows: int
    right_before: int
    gained: int
    lost: int
    new_rows: int = 0
    new_right: int = 0
    is_current: bool = False

    @property
    def before(self) -> float:
        """Champion's accuracy in 0…1; 0 without rows."""
        return self.right_before / self.rows if self.rows else 0.0

    @property
    def after(self) -> float:
        """Challenger's accuracy in 0…1; 0 without rows."""
        return (self.right_before + self.gained - self.lost) / self.rows if self.rows else 0.0

    @property
    def drop(self) -> float:
        """Accuracy lost, in −1…1; negative when it rose."""
        return (self.lost - self.gained) / self.rows if self.rows else 0.0

    @property
    def p_loss(self) -> float:
        """One-sided exact McNemar p of the loss."""
        return mcnemar_loss(self.lost, self.gained)

    @property
    def p_gain(self) -> float:
        """One-sided exact McNemar p of the gain."""
        return mcnemar_loss(self.gained, self.lost)


def tally(task: PairedAnswers) -> Tally:
    """Counts one task's paired answers."""
    known, before, after = task.known, task.before & task.known, task.after
    return Tally(
        name=task.task,
        rows=int(known.sum()),
        right_before=int(before.sum()),
        gained=int((~before & after & known).sum()),
        lost=int((before & ~after).sum()),
        new_rows=int((~known).sum()),
        new_right=int((after & ~known).sum()),
        is_current=task.is_current,
    )


def join(tallies: Sequence[Tally], name: str) -> Tally:
    """The same counts over several probe sets as if they were one."""
    return Tally(
        name=name,
        rows=sum(t.rows for t in tallies),
        right_before=sum(t.right_before for t in tallies),
        gained=sum(t.gained for t in tallies),
        lost=sum(t.lost for t in tallies),
    )
