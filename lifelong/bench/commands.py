"""`lifelong bench …`: learn streams offline and compare. Each command is a few lines here and a module of its own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Learn streams of tasks offline, compare methods, and see what is forgotten.", no_args_is_help=True
)

Data = Annotated[str, typer.Option(help="mnist, digits, clinc150, or a file: CSV, npz, …-images-idx3-ubyte[.gz].")]
Scenario = Annotated[
    Literal["task", "domain", "class"], typer.Option(help="Outputs for each task, the same for all, or ever more.")
]
Kind = Annotated[
    Literal["split", "permuted", "rotated"], typer.Option(help="Tasks of own classes, of permuted or turned inputs.")
]
Tasks = Annotated[
    int | None, typer.Option(help="How many tasks share all classes; else as the data has them.", min=1, max=100)
]
ClassesPerTask = Annotated[int | None, typer.Option(help="Classes of each task of a split; else 2.", min=1)]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        help="Kinds joined by +, or YAML as in a configuration; may be repeated; else replay+ewc.",
        show_default=False,
    ),
]
Strategy = Annotated[str, typer.Option(help="replay+ewc, or YAML as in a configuration.")]
Network = Annotated[str | None, typer.Option(help="mlp, conv, text, or YAML as in a configuration.")]
Epochs = Annotated[int, typer.Option(help="Passes over each task's rows.", min=1)]
Learner = Annotated[str | None, typer.Option(help="YAML as in a configuration: {batch_size: 64, optimiser: sgd}.")]
Seeds = Annotated[int, typer.Option(help="How many seeds: 0, 1, ….", min=1, max=1000)]
MeasureEvery = Annotated[
    int | None,
    typer.Option(
        help="Steps between measurements within a task; 0 for none, else ten times a task.", min=0, max=1_000_000_000
    ),
]
Threads = Annotated[int, typer.Option(help="Threads of torch.", min=1, max=256)]
Out = Annotated[Path | None, typer.Option(help="Write the report here, as one HTML page.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command()
def stream(  # noqa: PLR0913, PLR0917  a command's options are its arguments
    data: Data = "mnist",
    scenario: Scenario = "class",
    kind: Kind = "split",
    tasks: Tasks = None,
    classes_per_task: ClassesPerTask = None,
    strategy: Strategies = None,
    bounds: Annotated[bool, typer.Option(help="Fine-tuning and joint training beside the strategies.")] = True,
    shuffle: Annotated[bool, typer.Option(help="Draw an order of the classes with every seed but 0.")] = False,
    network: Network = None,
    epochs: Epochs = 1,
    learner: Learner = None,
    seeds: Seeds = 1,
    measure_every: MeasureEvery = None,
    threads: Threads = 1,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare strategies on a stream of tasks: accuracy matrix, curves within tasks, transfer, forgetting, speed."""
    from lifelong.bench.comparison import Options, compare
    from lifelong.bench.plan import StreamPlan

    plan = StreamPlan(kind=kind, scenario=scenario, tasks=tasks, classes_per_task=classes_per_task)
    options = Options(
        data=data,
        plan=plan,
        network=network,
        epochs=epochs,
        learner=learner,
        seeds=seeds,
        measure_every=measure_every,
        threads=threads,
    )
    compare(options, strategy or [], bounds, shuffle, out, as_json)


@app.command()
def order(  # noqa: PLR0913, PLR0917  a command's options are its arguments
    data: Data = "mnist",
    scenario: Scenario = "class",
    tasks: Tasks = None,
    classes_per_task: ClassesPerTask = None,
    strategy: Strategy = "replay+ewc",
    random: Annotated[int, typer.Option(help="How many random orders.", min=0, max=1000)] = 3,
    network: Network = None,
    epochs: Epochs = 1,
    learner: Learner = None,
    seeds: Seeds = 1,
    threads: Threads = 1,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Learn the same tasks in many orders: given, reversed, random, by difficulty and by similarity."""
    from lifelong.bench.comparison import Options
    from lifelong.bench.ordering import compare_orders
    from lifelong.bench.plan import StreamPlan

    plan = StreamPlan(scenario=scenario, tasks=tasks, classes_per_task=classes_per_task)
    options = Options(
        data=data,
        plan=plan,
        network=network,
        epochs=epochs,
        learner=learner,
        seeds=seeds,
        measure_every=0,
        threads=threads,
    )
    compare_orders(options, strategy, random, out, as_json)


@app.command("two-tasks")
def two_tasks(  # noqa: PLR0913, PLR0917  a command's options are its arguments
    out: Annotated[Path, typer.Option(help="Write the picture here, as SVG.")] = Path("two-tasks.svg"),
    data: Data = "mnist",
    scenario: Scenario = "class",
    kind: Kind = "split",
    classes_per_task: ClassesPerTask = None,
    strategy: Strategy = "replay+ewc",
    network: Network = None,
    epochs: Epochs = 1,
    learner: Learner = None,
    measure_every: MeasureEvery = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Draw what forgetting is: two tasks one after the other, with a strategy, and both at once."""
    from lifelong.bench.comparison import Options
    from lifelong.bench.plan import StreamPlan
    from lifelong.bench.two_tasks import picture

    plan = StreamPlan(kind=kind, scenario=scenario, tasks=2, classes_per_task=classes_per_task)
    options = Options(
        data=data,
        plan=plan,
        network=network,
        epochs=epochs,
        learner=learner,
        seeds=1,
        measure_every=measure_every,
        threads=threads,
    )
    picture(options, strategy, out, as_json)


@app.command()
def reference(  # noqa: PLR0913, PLR0917  a command's options are its arguments
    table: Annotated[
        Literal["hsu", "vandeven", "vandeven_permuted", "avalanche", "derpp"], typer.Option(help="The published table.")
    ] = "hsu",
    methods: Annotated[
        list[str] | None, typer.Option("--method", help="A row of it; may be repeated; else all.")
    ] = None,
    scenarios: Annotated[
        list[str] | None, typer.Option("--scenario", help="task, domain or class; may be repeated; else all.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds: 0, 1, …; else as many as the table asks.", min=1, max=1000)
    ] = None,
    results: Annotated[Path, typer.Option(help="File that keeps every run, so that a later call goes on.")] = Path(
        "bench-results.jsonl"
    ),
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Rerun a published table: target, got, band and verdict of every method and scenario."""
    from lifelong.bench import reference as rerunning
    from lifelong.bench.runs import Results
    from lifelong.output import emit, stderr

    published = rerunning.load_table(table)
    jobs = rerunning.choose(published, methods or [], scenarios or [], seeds)
    with rerunning.resumable(results, stderr()):
        cells = rerunning.rerun(jobs, Results(results, rerunning.Run), stderr())
    table_of = rerunning.markdown if as_markdown else rerunning.shown
    emit(rerunning.document(published, cells), as_json, table_of(published, cells))


@app.command()
def babi(
    methods: Annotated[list[str] | None, typer.Option("--method", help="joint, fine-tuning, …; else all.")] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", help="replay+ewc, or YAML as in a configuration; may be repeated."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Ask the last training questions, not the test's: to choose settings.")
    ] = False,
    seeds: Seeds = 1,
    results: Annotated[Path, typer.Option(help="File that keeps every run, so that a later call goes on.")] = Path(
        "babi-results.jsonl"
    ),
    as_json: Json = False,
) -> None:
    """Answer questions about stories: the 20 bAbI tasks jointly and one after the other."""
    from lifelong.bench.babi_run import choose, run

    run(results, choose(methods or [], strategy or []), range(seeds), held_out, as_json)
