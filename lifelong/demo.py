"""`lifelong demo`: five tasks of handwritten digits, learned one after the other, with the cure and without it."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contracts.inputs import ImageInput
from lifelong.client import Client
from lifelong.data import DataSet, demonstration_digits
from lifelong.output import emit, stderr
from lifelong.settings import Settings
from lifelong.stream import TASKS, Learned, Task, learn, split, test_accuracy
from lifelong.tables import comparison_table, matrix_table, percent
from lifelong.up import Place, Service, running
from networks.settings import MlpSpec
from trainer.policies import ProbeSettings, PromotionSettings

SERVED, FINETUNED, JOINT = "digits", "digits-finetuning", "digits-joint"
TITLES = {SERVED: "replay + EWC", FINETUNED: "plain fine-tuning", JOINT: "joint training"}
ROWS_PER_TASK = 2000
EXAMPLES_ASKED = 100
EXAMPLE_FILE = "example.json"


class Outcome(NamedTuple):
    """What the demonstration measured: each model's last report, and the served model's accuracy on unseen rows."""

    learned: dict[str, Learned]
    tested: list[float]
    seconds: float


def run(state: Path | None, port: int, keep_serving: bool, as_json: bool) -> None:
    """Starts the service, streams the tasks through it, prints what came of it, and serves on until Ctrl-C.

    The two bounds are models of the same service and see the same stream: one without any protection, one that keeps
    everything it ever saw. They are measured but not served.

    Raises:
        LifelongError: as `running` and `Client` say.
    """
    data = demonstration_digits()
    tasks = split(data, ROWS_PER_TASK)
    console = stderr()
    console.print(f"{data.name}: five tasks of two digits each, {sum(len(task.labels) for task in tasks)} events")
    with _directory(state) as directory, running(settings(data), Place(directory, "127.0.0.1", port)) as service:
        outcome = demonstrate(service, tasks)
        emit(_document(outcome, data), as_json, *_report(outcome, data))
        if keep_serving:
            console.print(next_steps(service, tasks[-1], directory), highlight=False, markup=False, soft_wrap=True)
            service.wait()


def settings(data: DataSet) -> list[Settings]:
    """The configurations of the served model and of the two bounds: alike but for their strategies."""
    is_small = len(data.train_labels) < len(TASKS) * ROWS_PER_TASK
    shared: dict[str, Any] = {
        "input": ImageInput(shape=data.train_images.shape[1:]),
        "network": MlpSpec(),
        "probes": ProbeSettings(fraction=0.2 if is_small else 0.1),
    }
    bound = {**shared, "promotion": PromotionSettings(mode="apprentice")}
    return [
        Settings(model=SERVED, **shared),
        Settings(model=FINETUNED, strategies=[], **bound),
        Settings(model=JOINT, strategies=[{"kind": "joint"}], **bound),
    ]


def demonstrate(service: Service, tasks: Sequence[Task]) -> Outcome:
    """Streams the tasks to all models alike and shows each finished task on stderr."""
    begun = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    learned: dict[str, Learned] = {}
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(service.place.address, model)) for model in service.models]
        progress = stack.enter_context(Progress(*columns, console=stderr()))
        for task in tasks:
            bar = progress.add_task(f"feedback for {task.name}", total=len(task.labels))
            learned = learn(clients, task, partial(progress.advance, bar))
            progress.print(_growth(task, learned), highlight=False, soft_wrap=True)
            progress.remove_task(bar)
        return Outcome(learned, test_accuracy(clients[0], tasks), time.monotonic() - begun)


def next_steps(service: Service, task: Task, directory: Path) -> str:
    """Commands that predict, correct and look, ready to be pasted; the instance is in a file of its own."""
    with Client(service.place.address, SERVED) as client:
        row, truth = _telling_row(client, task)
        prediction = client.predict([row]).predictions[0]
    example = directory / EXAMPLE_FILE
    example.write_bytes(msgspec.json.encode({"instances": [row]}))
    correction = msgspec.json.encode({"events": [{"prediction_id": prediction.prediction_id, "label": truth}]})
    program = Path(sys.argv[0])
    curl, base = "curl -H 'content-type: application/json' -d", f"{service.place.address}/v1/models/{SERVED}"
    return "\n".join(
        [
            f"What to try next ({example} holds the digit {truth}, answered as {prediction.label}):",
            f"  predict  {curl} @{example} {base}/predict",
            f"  correct  {curl} '{correction.decode()}' {base}/feedback",
            f"  look     {service.place.address}/ in a browser, or: {program} status --address {service.place.address}",
            f"  your own model: {program} init, then {program} up lifelong.yaml",
            "Ctrl-C stops the service.",
        ]
    )


def _telling_row(client: Client, task: Task) -> tuple[Any, str]:
    """A test row and its label: the first that is answered wrongly, if there is one among those asked."""
    rows = task.test_images[:EXAMPLES_ASKED].tolist()
    labels = [str(label) for label in task.test_labels[:EXAMPLES_ASKED]]
    answers = [answer.label for answer in client.predict(rows).predictions]
    wrong = (place for place, answer in enumerate(answers) if answer != labels[place])
    chosen = next(wrong, 0)
    return rows[chosen], labels[chosen]


def _growth(task: Task, learned: Mapping[str, Learned]) -> str:
    row = "  ".join(percent(value) for value in learned[SERVED].matrix.accuracy[-1])
    averages = (f"{TITLES[model]} {percent(one.matrix.average_accuracy)}" for model, one in learned.items())
    return f"after {task.name}: {row}\n  average: {' · '.join(averages)}"


def _report(outcome: Outcome, data: DataSet) -> Iterator[RenderableType]:
    yield matrix_table(outcome.learned[SERVED].matrix, f"{TITLES[SERVED]}: accuracy in % on each task's probe set")
    yield comparison_table({TITLES[model]: one.matrix for model, one in outcome.learned.items()})
    tested = percent(sum(outcome.tested) / len(outcome.tested))
    yield f"{data.name}: {tested} % of the test rows, never sent as feedback, are answered rightly over REST"
    yield f"learned in {outcome.seconds:.0f} s"


def _document(outcome: Outcome, data: DataSet) -> dict[str, Any]:
    return {
        "data": data.name,
        "seconds": round(outcome.seconds, 1),
        "test_accuracy": outcome.tested,
        "models": {model: one.matrix for model, one in outcome.learned.items()},
    }


@contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    if state is not None:
        yield state
        return
    with tempfile.TemporaryDirectory(prefix="lifelong-demo-") as temporary:
        yield Path(temporary)
