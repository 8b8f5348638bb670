"""Which pages are made from the code, and which of their lines."""

import itertools
from pathlib import Path

from contracts import metrics
from deploy.reference import commands, configuration, rest, strategies


def written(docs: Path) -> dict[Path, str]:
    """Every reference page as the code says it must be; what people wrote behind a made part stays."""
    protected = docs / "strategies.md"
    about_strategies = protected.read_text(encoding="utf-8")
    return {
        docs / "reference" / "cli.md": commands.page(),
        docs / "reference" / "configuration.md": configuration.page(),
        docs / "reference" / "rest.md": rest.page(),
        docs / "metrics.md": _beginning(docs / "metrics.md", metrics.page()),
        protected: about_strategies[: about_strategies.index(strategies.HEADING)] + strategies.section(),
    }


def _beginning(path: Path, made: str) -> str:
    """The made part, and behind it the page from its first heading on that is not of the made part."""
    ours = set(made.splitlines())
    sections = path.read_text(encoding="utf-8").split("\n## ")[1:]
    behind = itertools.dropwhile(lambda section: f"## {section.partition(chr(10))[0]}" in ours, sections)
    return "\n## ".join([made, *behind])
