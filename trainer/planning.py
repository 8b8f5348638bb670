"""Examples → the steps that learn them, and the round that each of them belongs to."""

from collections.abc import Sequence

from trainer.examples import StoredExample
from trainer.record import Closing, Record, Round, Step
from trainer.settings import LearnerSettings
from trainer.tasks import Reason


class Plan:
    """Steps that go on from the record's tip after the examples up to sequence number `last`; it stores nothing."""

    def __init__(self, record: Record, learner: LearnerSettings, last: int) -> None:
        self.steps: list[Step] = []
        self.parts: list[tuple[Sequence[StoredExample], int | None]] = []
        """Examples with the number of the round that trains the training rows among them, if there are any."""
        self._learner = learner
        self._tip, self._first_number = record.tip, record.next_number()
        self._last = last

    def learn(self, examples: Sequence[StoredExample], is_flooded: bool) -> None:
        """Adds a round over the next examples; it takes no extra steps where more of them are waiting."""
        training = [example.sequence for example in examples if example.split == "train"]
        self._last = examples[-1].sequence
        self.parts.append((examples, self._number if training else None))
        if training:
            least = 0 if is_flooded else self._learner.min_steps
            self._add_round(training[0], self._learner.steps_for(len(training), is_flooded), least)

    def practise(self) -> None:
        """Adds a round without examples of its own."""
        self._add_round(self._last + 1, self._learner.min_steps, self._learner.min_steps)

    def close(self, task: str, reason: Reason) -> None:
        """Ends a task."""
        self.steps.append(
            Closing(number=self._number, parent=self._parent, task=task, last_sequence=self._last, reason=reason)
        )

    @property
    def _number(self) -> int:
        return self._first_number + len(self.steps)

    @property
    def _parent(self) -> int:
        return self.steps[-1].number if self.steps else self._tip

    def _add_round(self, first: int, steps: int, least: int) -> None:
        self.steps.append(
            Round(
                number=self._number,
                parent=self._parent,
                first_sequence=first,
                last_sequence=self._last,
                steps=steps,
                least_steps=least,
            )
        )
