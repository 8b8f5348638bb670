"""The trainer's spans: what a round learned and what the gate said, linked to the requests that the events came in."""

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.spans import Span, Spans
from trainer.promoter import Outcome
from trainer.record import Round
from trainer.stores import Stores


class Traces:
    """Tells a collector, where there is one, of rounds and decisions once they are over."""

    def __init__(self, model: str, stores: Stores) -> None:
        self._spans = Spans(model)
        self._stores = stores
        self._round: str | None = None

    def note_round(self, step: Round, seconds: float) -> None:
        """A round that was just learned; it is the root of a trace of its own, since it may learn from many."""
        if not self._spans.are_made:
            return
        with self._span("round", None, step.first_sequence, step.last_sequence, seconds) as span:
            span.note({"lifelong.round": step.number})
            self._round = span.traceparent

    def note_outcome(self, outcome: Outcome, seconds: float) -> None:
        """A decision that was just made, as a child of the last round before it.

        With a version it names the events that this has learned and its parent has not; with none it names no event.
        """
        if not self._spans.are_made:
            return
        first, last = 1, 0
        if outcome.version is not None:
            events = self._stores.history.version(outcome.version).lineage.events
            first, last = events.first_sequence, events.last_sequence
        with self._span("decision", self._round, first, last, seconds) as span:
            decision = outcome.decision
            span.note({"lifelong.verdict": decision.verdict, "lifelong.reasons": list(decision.codes or ())})
            if outcome.version is not None:
                span.note({"lifelong.version": outcome.version})

    @contextmanager
    def _span(self, name: str, parent: str | None, first: int, last: int, seconds: float) -> Iterator[Span]:
        """A span of so many seconds up to now, about the training examples `first` to `last`."""
        origins = self._stores.examples.origins(first, last)
        links = [traceparent for _, traceparent in origins if traceparent]
        with self._spans.span(name, parent, links, ago=seconds) as span:
            tasks = list(dict.fromkeys(task for task, _ in origins))
            span.note({"lifelong.events": len(origins), "lifelong.tasks": tasks})
            yield span
