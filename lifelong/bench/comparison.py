"""`lifelong bench stream`: methods on one stream, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from contracts.status import Matrix
from lifelong.bench.experiment import Experiment
from lifelong.bench.methods import methods
from lifelong.bench.plan import StreamPlan, learner_for, network_for
from lifelong.bench.printed import Comparison
from lifelong.bench.report import intransigence_bound, learning, matrices, numbers, overview, page
from lifelong.bench.results import Found
from lifelong.bench.sources import open_source
from lifelong.bench.study import Protocol
from lifelong.errors import BadFile
from lifelong.output import emit
from lifelong.tables import matrix_table, percent


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all commands that learn a stream can be told."""

    data: str
    plan: StreamPlan
    network: str | None
    epochs: int
    learner: str | None
    seeds: int
    measure_every: int | None
    threads: int

    def experiment(self, shuffles: bool = False) -> Experiment:
        """Opens the data set and makes sure that plan and network fit it.

        Raises:
            LifelongError: as `open_source`, `StreamPlan`, `network_for` and `learner_for` say.
        """
        torch.set_num_threads(self.threads)
        source = open_source(self.data)
        network = network_for(self.network, source.arrays.spec)
        self.plan.task_sizes(source)
        protocol = Protocol(network, learner_for(self.learner), self.epochs)
        return Experiment(source, self.plan, protocol, self.seeds, self.measure_every, shuffles)


def compare(
    options: Options, strategies: Sequence[str], with_bounds: bool, shuffles: bool, out: Path | None, as_json: bool
) -> None:
    """Learns the stream with every method and shows what became of it: a table or JSON, and a page if asked for."""
    chosen = methods(strategies, with_bounds)
    experiment = options.experiment(shuffles)
    check_writable(out)
    experiment.say_notes()
    learned = experiment.run(chosen)
    document = {**experiment.document(), "methods": learned}
    if out is not None:
        write(out, _page(learned, document))
    emit(document, as_json, *_tables(learned, document), *([f"report: {out}"] if out else []))


def check_writable(out: Path | None) -> None:
    """Makes sure before the work that its report can be written after it.

    Raises:
        BadFile: `unwritable`.
    """
    try:
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.open("a").close()
    except OSError as error:
        raise BadFile("unwritable", f"--out {out}: {error.strerror}") from None


def write(out: Path, text: str) -> None:
    """Writes a report.

    Raises:
        BadFile: `unwritable`.
    """
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadFile("unwritable", f"--out {out}: {error.strerror}") from None


def _tables(learned: Sequence[Found], document: Mapping[str, Any]) -> list[Any]:
    own = [each for each in learned if not each.is_joint]
    matrix = Matrix(tasks=document["tasks"], accuracy=own[-1].accuracy) if own else None
    which = "; the others' are in --out and --json" if len(own) > 1 else ""
    shown_matrix = [matrix_table(matrix, f"{own[-1].name}: accuracy in %, mean over seeds{which}")] if matrix else []
    bound = intransigence_bound(learned)
    return [*shown_matrix, Comparison(learned, "after all tasks, in %"), *([bound] if bound else [])]


def _page(learned: Sequence[Found], document: Mapping[str, Any]) -> str:
    settings = document["settings"]
    name = f"{settings['kind']} {document['data']['name']}"
    title = f"{name[0].upper()}{name[1:]}, {settings['scenario']}-incremental, {settings['tasks']} tasks"
    sections = [
        ("After all tasks", overview(learned)),
        ("While they are learned", learning(learned, document["tasks"])),
        ("Accuracy on each task (column) after each task (row)", matrices(learned, document["tasks"])),
        ("Numbers", numbers(learned)),
    ]
    return page(title, _lead(learned), sections, document)


def _lead(learned: Sequence[Found]) -> str:
    """The outcome in one sentence."""
    parts = (f"{each.name} {percent(each.mean['average_accuracy'])} %" for each in learned)
    return f"Average accuracy over all tasks at the end: {' · '.join(parts)}."
