"""The documentation as its readers see it: pages with their blocks, commands, links and headings."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_FENCE = re.compile(r"^```(.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEREDOC = re.compile(r"<<'(\w+)'")


class Block(NamedTuple):
    """A fenced or indented block; `title` is the file that its text is to be written to."""

    page: str
    language: str
    title: str
    text: str

    def commands(self) -> list[str]:
        """The commands of a shell block, each whole: with its continued lines and with its here-document."""
        return list(_commands(self.text.splitlines())) if self.language == "sh" else []


def name(page: Path) -> str:
    """The page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All blocks of a page; those that are indented, behind an empty line, are shell blocks."""
    found, language, lines, before = [], None, list[str](), ""
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = _FENCE.match(line)
        is_indented = language is None and line.startswith("    ") and (bool(lines) or not before)
        before = line
        if fence and language is not None:
            found.append(_block(page, language, lines))
            language, lines = None, []
        elif fence:
            language = fence[1]
        elif language is not None or is_indented:
            lines.append(line if language is not None else line.removeprefix("    "))
        elif lines:
            found.append(_block(page, "sh", lines))
            lines = []
    return found


def prose(page: Path) -> str:
    """The page without its blocks."""
    inside, kept = False, []
    for line in page.read_text(encoding="utf-8").splitlines():
        inside ^= bool(_FENCE.match(line))
        if not inside and not line.startswith(("```", "    ")):
            kept.append(line)
    return "\n".join(kept)


def spans(page: Path) -> list[str]:
    """The code within sentences and tables, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(page))]


def links(page: Path) -> list[str]:
    """Where the page leads within the repository: a path from the page, an anchor, or both."""
    return [link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def navigation() -> list[str]:
    """The pages of the site's navigation, in their order."""
    return list(_pages_in(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))


def _block(page: Path, info: str, lines: list[str]) -> Block:
    title = _TITLE.search(info)
    return Block(name(page), info.partition(" ")[0], title[1] if title else "", "\n".join(lines) + "\n")


def _commands(lines: list[str]) -> Iterator[str]:
    whole, end = list[str](), ""
    for line in lines:
        whole.append(line)
        if end:
            is_over = line == end
        else:
            heredoc = _HEREDOC.search(line)
            end = heredoc[1] if heredoc else ""
            is_over = not end and not line.endswith("\\")
        if is_over:
            command, whole, end = "\n".join(whole), [], ""
            if command.strip() and not command.startswith("#"):
                yield command


def _pages_in(entry: Any) -> Iterator[str]:
    match entry:
        case str():
            yield entry
        case list():
            for inner in entry:
                yield from _pages_in(inner)
        case dict():
            for inner in entry.values():
                yield from _pages_in(inner)
