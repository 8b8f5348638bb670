"""Queries in the names of the metric catalogue; a name that it does not have is an error."""

from contracts.metrics import BY_NAME

INTERVAL = "$__rate_interval"
OPERATORS = {"": "=", "~": "=~", "!": "!=", "!~": "!~"}


def now(name: str, **match: str) -> str:
    """The present value of every series of the selected model of one job, each once, however many replicas are scraped.

    A job is what Prometheus calls the targets of one service: two services may have a model of the same name.
    """
    return _once(name, _selected(name, match))


def since(moment: str) -> str:
    """Seconds since a moment, the name of whose metric ends in `_timestamp_seconds`."""
    return f"time() - {now(f'{moment}_timestamp_seconds')}"


def rate(name: str, window: str = INTERVAL, **match: str) -> str:
    """What each series grew by a second; for gauges that only grow, too."""
    return _once(name, f"rate({_selected(name, match)}[{window}])")


def increase(name: str, window: str = INTERVAL, **match: str) -> str:
    """What each series grew by within a window."""
    return _once(name, f"increase({_selected(name, match)}[{window}])")


def changes(name: str, window: str = INTERVAL) -> str:
    """How often each series changed within a window."""
    return _once(name, f"changes({_selected(name, {})}[{window}])")


def per_model(operator: str, expression: str) -> str:
    """One number of a model's series."""
    return f"{operator} by (job, model) ({expression})"


def quantile(share: float, name: str, *by: str) -> str:
    """A quantile of a histogram by some of its labels, in its unit."""
    grouped = ", ".join([*by, "le"])
    rates = _once(name, f"rate({name}_bucket{_matchers(name, {})}[{INTERVAL}])", "le")
    return f"histogram_quantile({share}, sum by ({grouped}) ({rates}))"


def _once(name: str, inner: str, *more: str) -> str:
    return f"max by ({', '.join(['job', *BY_NAME[name].labels, *more])}) ({inner})"


def _selected(name: str, match: dict[str, str]) -> str:
    return f"{name}{_matchers(name, match)}"


def _matchers(name: str, match: dict[str, str]) -> str:
    """`match` gives a label's value, or after `~`, `!` and `!~` a pattern and what it must not be, as in PromQL."""
    unknown = match.keys() - set(BY_NAME[name].labels)
    if unknown:
        raise KeyError(f"{name} has no label {', '.join(sorted(unknown))}")
    parts = ['job="$job"', 'model="$model"']
    for label, value in match.items():
        wanted = value.lstrip("!~")
        sign = value.removesuffix(wanted)
        parts.append(f'{label}{OPERATORS[sign]}"{wanted}"')
    return "{" + ", ".join(parts) + "}"
