"""Our predict path beside other servers of the same network: rates and latencies, in one run.

    python -m benchmarks.serving [--json | --markdown] [--seconds S] [--rounds N] [--servers ours,litserve,…]

Every server gets the same row of 784 numbers as JSON in its own protocol, from the same clients on the same machine:
wrk with 16 connections and with one, then an open loop of our own at half of the server's own rate and at one rate for
all. Each peer runs in an environment of its own below `.cache/peers`, built at the first run; what
was chosen for it stands in its module of `benchmarks/serving/programs`.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from benchmarks.serving.catalogue import SERVERS, versions
from benchmarks.serving.closedloop import client_name
from benchmarks.serving.comparison import CONNECTIONS, Latencies, Plan, Result, measure
from benchmarks.serving.generator import generators
from benchmarks.serving.process import running
from benchmarks.serving.report import AsJson, AsMarkdown, Rows, conditions, emit, failures, milliseconds


def main(
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    seconds: Annotated[float, typer.Option(help="Of one measurement.", min=1)] = 4.0,
    rounds: Annotated[int, typer.Option(help="Turns of each server.", min=1)] = 5,
    servers: Annotated[str, typer.Option(help="Which, separated by commas.")] = ",".join(SERVERS),
    common_rate: Annotated[float, typer.Option(help="Requests a second that all are asked for.")] = 500.0,
) -> None:
    """Compares them and prints the table; exits with 1 when a request was not answered with 200."""
    chosen = [SERVERS[name] for name in servers.split(",")]
    plan = Plan(seconds, rounds, 0.5, common_rate)
    with ExitStack() as stack:
        generator = stack.enter_context(generators())
        results = measure([stack.enter_context(running(one)) for one in chosen], plan, generator)
    found: dict[str, Any] = {
        "conditions": conditions("benchmarks.serving", versions(chosen), client=client_name()),
        "servers": {name: nested(result) for name, result in results.items()},
    }
    emit(found, table(results, plan), as_json, as_markdown)
    raise typer.Exit(1 if any(has_failed(result) for result in results.values()) else 0)


def nested(result: Result) -> dict[str, Any]:
    """A result as JSON objects."""
    open_loops = {"at_share": result.at_share, "at_common_rate": result.at_common_rate}
    return result._asdict() | {name: loop and loop._asdict() for name, loop in open_loops.items()}


def has_failed(result: Result) -> bool:
    """Whether any request was not answered with 200."""
    common = result.at_common_rate
    return bool(result.failures or result.at_share.failures or (common and common.failures))


def table(results: Mapping[str, Result], plan: Plan) -> Rows:
    """The results as people read them, each beside ours."""
    heads = [
        "server",
        f"requests/s, {CONNECTIONS} connections",
        "p50 · p99 ms",
        "p50 ms, 1 connection",
        f"open loop at {plan.share:.0%} of it: p50 · p99 · p99.9 ms",
        f"open loop at {plan.common_rate:,.0f}/s: p50 · p99 · p99.9 ms",
        "not 200",
        "ours is",
    ]
    mine = results.get("ours")
    rows = [_row(SERVERS[name].meaning, result, mine) for name, result in results.items()]
    return Rows("Predict: one row of 784 numbers as JSON, MLP 784-400-400-10, one model process each", heads, rows)


def _row(meaning: str, result: Result, mine: Result | None) -> list[str]:
    failed: dict[str, int] = {"closed": result.failures} if result.failures else {}
    for loop in (result.at_share, result.at_common_rate):
        failed |= loop.failures if loop else {}
    return [
        meaning,
        f"{result.rate:,.0f}",
        f"{milliseconds(result.p50_ms)} · {milliseconds(result.p99_ms)}",
        milliseconds(result.single_p50_ms),
        _quantiles(result.at_share),
        _quantiles(result.at_common_rate) if result.at_common_rate else "cannot",
        failures(failed),
        f"{mine.rate / result.rate:.2f}×" if mine else "",
    ]


def _quantiles(loop: Latencies) -> str:
    return " · ".join(milliseconds(value) for value in (loop.p50_ms, loop.p99_ms, loop.p999_ms))


if __name__ == "__main__":
    typer.run(main)
