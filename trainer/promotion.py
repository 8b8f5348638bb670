"""The gate: a pure function of paired probe answers and a policy (formulae in docs/gate.md).

It forbids forgetting without forbidding learning: without a measured gain nothing may be lost; with one, the loss is
weighed against it and bounded per version and in all.
"""

import math
from collections.abc import Sequence

from contracts.versions import Decision, Reason, TaskComparison, Verdict
from trainer.answers import Paired, PairedAnswers
from trainer.policies import PromotionSettings
from trainer.significance import binomial_at_most, wilson_lower
from trainer.tally import Tally, join, tally

THIN_ALPHA = 0.2
"""p below which a loss on too few rows holds a version: three rows lost and none gained do, two do not."""
TINY_P = 1e-6
"""p below which sentences no longer say how small it is."""
FEW_NEW_ROWS = 5
"""Rows of new labels below which none right does not yet show that they were not learned."""


def decide(paired: Paired, policy: PromotionSettings) -> Decision:
    """Whether the challenger may replace the champion, with reasons in sentences and the numbers of every task."""
    return _Gate(paired, policy).decision()


class _Gate:
    """One decision: what was counted, and the rules in the order in which they apply."""

    def __init__(self, paired: Paired, policy: PromotionSettings) -> None:
        self._paired = paired
        self._policy = policy
        self._tallies = [tally(task) for task in paired.tasks]
        kept = [t for t in self._tallies if t.rows]
        small = [t for t in kept if t.rows < policy.floor_rows and not t.is_current]
        pools = [join(small, "the pool of small probe sets")] if len(small) > 1 else []
        self._sets = [t for t in kept if t.rows >= policy.min_rows]
        self._pools = [t for t in pools if t.rows >= policy.min_rows]
        self._tested = self._sets + self._pools
        self._thin = join([t for t in kept if t.rows < policy.min_rows], "what has few probe rows")
        self._gains = self._find_gains()

    def decision(self) -> Decision:
        """The verdict of the first rule that applies."""
        hurt = [t for t in self._tested if self._is_lost(t)]
        if violations := self._violations():
            return self._answer("refuse", violations, *self._limits_broken())
        if hurt and self._gains:
            return self._weigh(hurt)
        if hurt:
            return self._without_gain(hurt)
        missing = self._policy.min_rows - self._thin.rows
        if missing > 0 and not self._gains and not self._paired.is_first and self._thin.p_loss < THIN_ALPHA:
            needed = f"{_fall(self._thin)}: {missing} more rows are needed to tell loss from chance"
            return self._answer("hold", [needed], "too_few_rows")
        gained: list[Reason] = ["gained"] if self._gains else []
        kept: Reason = "nothing_lost" if self._tested else "no_probe_rows"
        return self._answer("promote", [*self._gains, self._nothing_lost()], *gained, kept)

    def _is_lost(self, t: Tally) -> bool:
        significant = t.p_loss < self._policy.alpha / len(self._tested)
        return significant or (t.rows >= self._policy.floor_rows and t.drop > self._floor(t.rows))

    def _floor(self, rows: int) -> float:
        return float(self._policy.floor_drop * (1000 / rows) ** 0.5)

    def _violations(self) -> list[str]:
        """One sentence for every set that breaks a limit; the pool is named only if no set of it is."""
        found = [fault for t in self._sets if (fault := self._fault(t))]
        named = {task.task for task, t in zip(self._paired.tasks, self._tallies, strict=True) if self._fault(t)}
        found += [
            self._overdraft(task) for task in self._paired.tasks if task.task not in named and self._breaks_budget(task)
        ]
        return found or [fault for t in self._pools if (fault := self._fault(t))]

    def _limits_broken(self) -> list[Reason]:
        """The limits that any set breaks, each once."""
        broken: dict[Reason, bool] = {
            "drops_too_far": any(self._drops_too_far(t) for t in self._tested),
            "too_many_flips": any(self._flips_too_much(t) for t in self._tested),
            "over_budget": any(self._breaks_budget(task) for task in self._paired.tasks),
        }
        return [code for code, is_broken in broken.items() if is_broken]

    def _fault(self, t: Tally) -> str | None:
        if t.rows < self._policy.min_rows:
            return None
        if self._drops_too_far(t):
            return f"{_fall(t)}: one version may cost {self._policy.max_drop:.1%}"
        if self._flips_too_much(t):
            return (
                f"{t.name}: {t.lost} of {t.rows} rows were right and become wrong, above {self._flips_allowed(t):.1%}"
            )
        return None

    def _drops_too_far(self, t: Tally) -> bool:
        certain = t.rows >= self._policy.floor_rows or t.p_loss < self._policy.alpha
        return certain and t.drop > self._policy.max_drop

    def _flips_too_much(self, t: Tally) -> bool:
        limit = self._flips_allowed(t)
        if t.lost <= limit * t.rows:
            return False
        return binomial_at_most(t.rows - t.lost, t.rows, 1.0 - limit) < self._policy.alpha / len(self._tested)

    def _flips_allowed(self, t: Tally) -> float:
        if t.p_gain < self._policy.alpha:
            return 1.0
        usual = max(self._policy.max_negative_flips, (1.0 - t.before) / 2)
        return min(1.0, usual + self._policy.max_drop if self._gains else usual)

    def _breaks_budget(self, task: PairedAnswers) -> bool:
        counts, rows, right = tally(task), len(task.after), int(task.after.sum())
        allowed = task.best_accuracy - self._policy.budget
        if task.best is None or rows < self._policy.min_rows:
            return False
        if counts.lost <= counts.gained or right / rows >= allowed:
            return False
        return rows >= self._policy.floor_rows or binomial_at_most(right, rows, allowed) < self._policy.alpha

    def _overdraft(self, task: PairedAnswers) -> str:
        after, best, rows = float(task.after.mean()), task.best_accuracy, len(task.after)
        return (
            f"{task.task} falls to {after:.1%} on {rows} rows, its best is {best:.1%}: {self._policy.budget:.1%} may go"
        )

    def _find_gains(self) -> list[str]:
        current = [t for t in self._tallies if t.is_current and t.rows]
        risen = [t for t in current if t.p_gain < self._policy.alpha / len(current)]
        grown = [t for t in self._tallies if t.new_right]
        return [f"{t.name} rises {_course(t)}" for t in risen] + [
            f"{t.name}: {t.new_right} of {t.new_rows} rows with labels new to the champion are right" for t in grown
        ]

    def _weigh(self, hurt: Sequence[Tally]) -> Decision:
        """Average accuracy has to rise; sets with few rows weigh less, new labels count by their lower bound."""
        known = [(min(1.0, t.rows / self._policy.min_rows), -t.drop) for t in self._tallies if t.rows]
        new = [(1.0, wilson_lower(t.new_right, t.new_rows)) for t in self._tallies if t.new_rows]
        change = math.fsum(weight * rise for weight, rise in known + new) / math.fsum(
            weight for weight, _ in known + new
        )
        weighed = f"in return {', '.join(_fall(t) for t in hurt)}; weighed together {100 * change:+.2f} points"
        if change > 0:
            return self._answer("promote", [*self._gains, weighed], "gained", "gain_outweighs")
        return self._answer("refuse", [*self._gains, weighed], "loss_outweighs")

    def _without_gain(self, hurt: Sequence[Tally]) -> Decision:
        """A label that the champion cannot answer and no probe row measures excuses a loss of the floor, no more."""
        falls = [_fall(t) for t in hurt]
        unseen = list(self._paired.unmeasured)
        unseen += [t.name for t in self._tallies if 0 < t.new_rows < FEW_NEW_ROWS]
        if not unseen:
            return self._answer("refuse", ["nothing was measurably gained", *falls], "loss_without_gain")
        new = f"what is new has too few probe rows to be measured ({', '.join(unseen[:5])})"
        if all(t.rows >= self._policy.floor_rows and t.drop <= self._floor(t.rows) for t in hurt):
            small = "which is small beside labels that it cannot answer at all"
            return self._answer("promote", [new, *falls, small], "new_unmeasured")
        return self._answer("hold", [f"{new}: 1 row right is needed, 0 are", *falls], "new_unmeasured")

    def _nothing_lost(self) -> str:
        if not self._tested:
            return f"no probe set has the {self._policy.min_rows} rows that could show a loss"
        worst = max(self._tested, key=lambda t: t.drop)
        if worst.drop <= 0:
            return f"nothing was lost on {len(self._sets)} probe sets" if len(self._sets) > 1 else "nothing was lost"
        return f"no significant loss; the largest: {_fall(worst)}"

    def _answer(self, verdict: Verdict, reasons: list[str], *codes: Reason) -> Decision:
        tasks = [self._compare(task) for task in self._paired.tasks]
        return Decision(verdict=verdict, reasons=reasons, tasks=tasks, codes=list(codes))

    def _compare(self, task: PairedAnswers) -> TaskComparison:
        counts = tally(task)
        return TaskComparison(
            task=task.task,
            rows=len(task.after),
            before=float(task.before.mean()),
            after=float(task.after.mean()),
            gained=counts.gained + counts.new_right,
            lost=counts.lost,
            p_loss=counts.p_loss,
            best=task.best_accuracy,
            is_new=task.best is None,
            verdict=self._verdict(task, counts),
        )

    def _verdict(self, task: PairedAnswers, counts: Tally) -> str:
        if self._breaks_budget(task):
            return "over budget"
        if counts.rows < self._policy.min_rows:
            return "new labels" if counts.new_right else "too few rows"
        if self._drops_too_far(counts):
            return "drops too far"
        if self._flips_too_much(counts):
            return "too many flips"
        if self._is_lost(counts):
            return "lost"
        return "gained" if counts.p_gain < self._policy.alpha or counts.new_right else "kept"


def _fall(t: Tally) -> str:
    return f"{t.name} falls {_course(t)}"


def _course(t: Tally) -> str:
    p = min(t.p_loss, t.p_gain)
    chance = f"p {p:.2g}" if p >= TINY_P else f"p < {TINY_P:g}"
    return f"from {t.before:.1%} to {t.after:.1%} ({t.rows} rows, {t.lost} lost, {t.gained} gained, {chance})"
