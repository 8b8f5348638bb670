"""Learner → R matrix → decision: measures every version on the stored probe sets, side by side with the champion."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from contracts.inputs import InputSpec
from contracts.labels import Column, LabelSpec
from contracts.versions import Decision, ProbeReport
from networks.flat import Network
from trainer.answers import Answers, Best, pair
from trainer.decoding import decoded
from trainer.evaluation import ProbeSets
from trainer.examples import StoredExample
from trainer.policies import PromotionSettings
from trainer.promotion import decide

Rebuild = Callable[[Sequence[Column], bytes | None], Network]
"""Builds a network with these outputs, from weights or, without them, as initialised."""


class Examiner:
    """Holds the probe sets and what the champion answers to them."""

    def __init__(
        self, spec: InputSpec, labels: LabelSpec, probes: ProbeSets, policy: PromotionSettings, rebuild: Rebuild
    ) -> None:
        self._spec = spec
        self._labels = labels
        self._probes = probes
        self._policy = policy
        self._rebuild = rebuild
        self._champion: Network | None = None
        self._champion_answers: Answers | None = None

    @property
    def tasks(self) -> list[str]:
        """Tasks that have probe rows."""
        return self._probes.tasks

    def add(self, examples: Iterable[StoredExample]) -> None:
        """Adds the probe rows among the examples to their tasks' sets."""
        held_out = [example for example in examples if example.split == "probe"]
        for task, group in groupby(held_out, key=lambda example: example.task):
            rows = list(group)
            columns = [self._labels.column_for(row.label, row.task) for row in rows]
            self._probes.add(task, columns, [row.sequence for row in rows], decoded(rows, self._spec))

    def refill(self, examples: Iterable[StoredExample]) -> None:
        """Measures on the probe rows among these examples from now on, and no others."""
        self._probes.clear()
        self._champion_answers = None
        self.add(examples)

    def enthrone(self, columns: Sequence[Column], weights: bytes, answers: Answers | None) -> None:
        """Takes a version as the champion; its answers, where they are known, save measuring them again."""
        self._champion = self._rebuild(columns, weights)
        self._champion_answers = answers

    def is_champion(self, network: Network) -> bool:
        """Whether the network is the champion, bit for bit, as after a task's end that changed no weight."""
        champion = self._champion
        return champion is not None and champion.columns == network.columns and champion.weights() == network.weights()

    def measure(self, network: Network, earlier: Answers | None = None) -> Answers:
        """A network's answers to all probe rows."""
        network.module.eval()
        return self._probes.answers(network, network.columns, earlier)

    def champion_accuracy(self) -> dict[str, float]:
        """The champion's accuracy per task, rows that joined since it was made included."""
        if self._champion is None:
            return {}
        self._champion_answers = self.measure(self._champion, self._champion_answers)
        return self._champion_answers.accuracy()

    def judge(self, challenger: Answers, current: set[str], best: dict[str, Best]) -> tuple[Decision, dict[str, Best]]:
        """The gate's decision, and the best accuracies that hold if the challenger is promoted."""
        self.champion_accuracy()
        champion = self._champion_answers
        if champion is None:
            raise RuntimeError("a champion must be enthroned before a challenger is judged")
        paired = pair(champion, challenger, current, best)
        return decide(paired, self._policy), best | {task.task: task.next_best for task in paired.tasks}

    def accuracy_of(self, columns: Sequence[Column], weights: bytes | None, task: str) -> float | None:
        """Accuracy on one task of a network given by its weights, or as initialised; None without probe rows."""
        return self.measure(self._rebuild(columns, weights)).accuracy().get(task)


def report(answers: Answers, decision: Decision) -> ProbeReport:
    """What a version's `probes.json` says."""
    accuracy = answers.accuracy()
    rows = answers.rows()
    return ProbeReport(
        tasks=list(accuracy), rows=list(rows.values()), accuracy=list(accuracy.values()), decision=decision
    )


def raised(best: Mapping[str, Best], probes: ProbeReport) -> dict[str, Best]:
    """Per task, the best that a promoted version reached, once the version with these results is one."""
    reached = dict(best)
    for task, rows, accuracy in zip(probes.tasks, probes.rows, probes.accuracy, strict=True):
        if task not in best or accuracy > best[task].accuracy:
            reached[task] = Best(accuracy, rows)
    return reached
