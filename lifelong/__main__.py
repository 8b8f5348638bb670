"""The command line: every command is a few lines here and a module of its own, imported when it is called."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import LifelongError
from lifelong.bench.commands import app as bench_app
from lifelong.configured import Config, Json, config_app, token_app
from lifelong.errors import EXIT_BAD_DATA, EXIT_UNAVAILABLE, NOT_PERMITTED, exit_status
from lifelong.examples import Kind

Configs = Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files, one for each model.")]
File = Annotated[Path, typer.Argument(help="NDJSON, CSV or npz.")]
Model = Annotated[str, typer.Argument(help="Name of the model; may be left out when only one is served.")]
State = Annotated[Path, typer.Option(help="Directory for everything that must survive a restart.")]
Port = Annotated[int, typer.Option(help="HTTP port.", min=1, max=65535)]
Host = Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for every interface.")]
ModelOption = Annotated[str, typer.Option("--model", help="Name of the model, where several are served.")]
Address = Annotated[str, typer.Option(help="Where the service listens.", envvar="LIFELONG_ADDRESS")]
Cluster = Annotated[str, typer.Option(help="Address of the Ray cluster to join.", envvar="RAY_ADDRESS")]

HERE, STATE = "http://127.0.0.1:8000", Path("state")
app = typer.Typer(
    help="Serves a PyTorch classifier, learns from its users' corrections, and proves that it has not forgotten.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done · 2 usage · 65 bad data · 69 something needed is not there · 75 state directory or "
    "port in use · 77 not permitted · 78 bad configuration.",
)
app.add_typer(config_app, name="config")
app.add_typer(token_app, name="token")
app.add_typer(bench_app, name="bench")


@app.command()
def up(
    configs: Configs, state: State = STATE, host: Host = "127.0.0.1", port: Port = 8000, as_json: Json = False
) -> None:
    """Serve and train one or more models in one process tree, until Ctrl-C; a later start resumes."""
    from lifelong.settings import load_all
    from lifelong.up import Place, running

    with running(load_all(configs), Place(state, host, port)) as service:
        service.announce(as_json)
        service.wait()


@app.command()
def serve(
    configs: Configs,
    cluster: Cluster,
    state: State = STATE,
    host: Host = "0.0.0.0",
    port: Port = 8000,
) -> None:
    """Run the service half on a Ray cluster, until Ctrl-C."""
    from lifelong.halves import run_service
    from lifelong.settings import load_all
    from lifelong.up import Place

    run_service(load_all(configs), Place(state, host, port), cluster)


@app.command()
def train(
    configs: Configs,
    cluster: Cluster,
    state: State = STATE,
    here: Annotated[bool, typer.Option("--here", help="On this node; else where Ray finds the GPUs.")] = False,
) -> None:
    """Run the training half on a Ray cluster, until Ctrl-C."""
    from lifelong.halves import run_trainers
    from lifelong.settings import load_all

    run_trainers(load_all(configs), state, cluster, here)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def node(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="Such as: ray start --block")],
) -> None:
    """Become a command that starts a node of a Ray cluster, such that the node can serve."""
    from lifelong.node import become

    become(command)


@app.command()
def demo(
    state: Annotated[Path | None, typer.Option(help="Keep the state here instead of in a temporary directory.")] = None,
    port: Port = 8000,
    leave: Annotated[bool, typer.Option("--exit", help="End when the stream is learned.")] = False,
    as_json: Json = False,
) -> None:
    """Learn five tasks of handwritten digits over REST, beside plain fine-tuning and joint training."""
    from lifelong.demo import run as demonstrate

    demonstrate(state, port, keep_serving=not leave, as_json=as_json)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("lifelong.yaml"),
    model: Annotated[str, typer.Option(help="Name of the model.")] = "mymodel",
    kind: Annotated[Kind, typer.Option(help="What one instance is.")] = "tensor",
    as_json: Json = False,
) -> None:
    """Write a commented configuration."""
    from lifelong.init import write
    from lifelong.output import emit

    write(path, model, kind)
    emit({"written": str(path)}, as_json, f"wrote {path}; next: lifelong up {path}")


@app.command()
def send(config: Config, file: File, address: Address = HERE, as_json: Json = False) -> None:
    """Send feedback from an NDJSON, CSV or npz file; sending a file again trains nothing twice."""
    from lifelong import send as sending
    from lifelong.output import emit

    total = sending.send_file(config, file, address)
    emit(total, as_json, *total.lines())
    if total.rejected:
        raise typer.Exit(EXIT_BAD_DATA)


@app.command()
def status(model: Model = "", address: Address = HERE, as_json: Json = False) -> None:
    """Show what is served and what was learned."""
    import msgspec

    from lifelong.client import Client, served_models
    from lifelong.output import emit
    from lifelong.tables import matrix_tables, status_lines, status_table

    statuses, matrices, waiting = [], {}, {}
    for name in [model] if model else served_models(address):
        with Client(address, name) as client:
            statuses.append(client.status())
            matrices[name] = client.matrix()
            waiting[name] = client.versions(max_results=1000).waiting
    documents = [
        msgspec.to_builtins(status) | {"matrix": matrices[status.model], "waiting": waiting[status.model]}
        for status in statuses
    ]
    lines = [line for status in statuses for line in status_lines(status)]
    emit({"models": documents}, as_json, status_table(statuses, waiting), *lines, *matrix_tables(matrices))


@app.command()
def versions(model: Model = "", address: Address = HERE, as_json: Json = False) -> None:
    """List versions with the gate's verdicts and reasons."""
    from lifelong.client import Client, only_model
    from lifelong.output import emit
    from lifelong.tables import versions_table

    with Client(address, model or only_model(address)) as client:
        page = client.versions()
    emit(page, as_json, versions_table(page.versions))


@app.command()
def rollback(
    model: Model = "",
    version: Annotated[int | None, typer.Option(help="The version; else the one before the champion.", min=1)] = None,
    address: Address = HERE,
    as_json: Json = False,
) -> None:
    """Serve an earlier version again, and learn on from it."""
    from lifelong.client import Client, only_model
    from lifelong.output import emit

    with Client(address, model or only_model(address)) as client:
        served = client.rollback(version)
    is_empty = served.labels == []
    unlearned = ", which knows no label: predictions are refused until feedback is learned" if is_empty else ""
    emit(served, as_json, f"serving version {served.version}{unlearned}")


@app.command()
def forget(
    subject: Annotated[str, typer.Argument(help="The subject, exactly as its events name it.")],
    model: ModelOption = "",
    address: Address = HERE,
    waits: Annotated[bool, typer.Option("--wait/--no-wait", help="Until the erasure is complete.")] = True,
    as_json: Json = False,
) -> None:
    """Erase a subject's data, and unlearn what was learned from it; waits until both are done."""
    from lifelong.client import Client, only_model
    from lifelong.erasures import follow
    from lifelong.output import emit
    from lifelong.tables import certificate_table

    with Client(address, model or only_model(address)) as client:
        asked = client.forget(subject)
        if waits:
            certificate = follow(client, asked.erasure)
            emit(certificate, as_json, certificate_table(certificate))
        else:
            emit(asked, as_json, asked.erasure)


@app.command()
def erasures(
    model: Model = "",
    erasure: Annotated[str | None, typer.Option("--id", help="Show the certificate of this one alone.")] = None,
    address: Address = HERE,
    as_json: Json = False,
) -> None:
    """List what became of the erasures, newest first, or show one."""
    from lifelong.client import Client, only_model
    from lifelong.output import emit
    from lifelong.tables import certificate_table, erasures_table

    with Client(address, model or only_model(address)) as client:
        if erasure is not None:
            certificate = client.erasure(erasure)
            emit(certificate, as_json, certificate_table(certificate))
            return
        certificates = client.erasures()
    emit({"erasures": certificates}, as_json, erasures_table(certificates))


@app.command()
def doctor(state: State = STATE, port: Port = 8000, as_json: Json = False) -> None:
    """Check this machine: versions, data, port, state directory."""
    from lifelong import doctor as examination
    from lifelong.output import emit
    from lifelong.tables import checks_table

    checks = examination.examine(state, port)
    is_healthy = all(check.verdict != "bad" for check in checks)
    emit({"healthy": is_healthy, "checks": [check._asdict() for check in checks]}, as_json, checks_table(checks))
    if not is_healthy:
        raise typer.Exit(EXIT_UNAVAILABLE)


def main() -> None:
    """Runs a command; a fact that stops it is one line on stderr and an exit status that says its kind."""
    try:
        app()
    except LifelongError as error:
        if "--json" in sys.argv:
            typer.echo(json.dumps({"error": error.code, "detail": error.detail}))
        from lifelong.output import say

        say(error.detail, "ERROR", error=error.code)
        if error.code in NOT_PERMITTED:
            from lifelong.tokens import advice

            say(advice(error.code, os.environ))
        sys.exit(exit_status(error))


if __name__ == "__main__":
    main()
