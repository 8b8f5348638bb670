"""The settings of every strategy, as `docs/strategies.md` ends."""

from collections.abc import Iterator

from deploy.reference.words import allowed, plain
from lifelong.strategies import properties
from trainer.catalogue import LARGEST, kinds

HEADING = "## Settings\n"
HEAD = (
    HEADING,
    "All that can be set beside `kind`; what a setting does is said at the head of `trainer/strategies/<kind>.py`.",
    "`lifelong config show` fills in what an entry leaves out. A `seed` that is not set is the learner's, and no",
    f"number may be larger than {LARGEST:.0e}.".replace("e+", "e"),
    "",
    "| kind | setting | default | may be |",
    "|---|---|---|---|",
)


def section() -> str:
    """All settings of all strategies."""
    return "\n".join([*HEAD, *(row for kind in kinds() for row in _rows(kind)), ""])


def _rows(kind: str) -> Iterator[str]:
    named = f"`{kind}`"
    for name, schema in properties(kind).items():
        default = "the learner's" if name == "seed" else f"`{plain(schema.get('default'))}`"
        yield f"| {named} | `{name}` | {default} | {allowed(schema)} |"
        named = ""
    if named:
        yield f"| {named} | none | | |"
