"""Reads a Dockerfile as far as its instructions: one entry for each, with continued lines joined."""

import json
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction: its word in capitals, and everything behind it in one line."""

    word: str
    rest: str

    @property
    def arguments(self) -> list[str]:
        """The JSON list of an exec form; whatever precedes it (HEALTHCHECK's options) is left out."""
        listed: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return listed


def stages(text: str) -> list[list[Instruction]]:
    """The instructions of every stage, each beginning with its FROM; before them those that stand above any FROM."""
    found: list[list[Instruction]] = [[]]
    for instruction in _instructions(text):
        if instruction.word == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def assignments(stage: list[Instruction], word: str) -> dict[str, str]:
    """What a stage's ARG, ENV or LABEL instructions set, without quotes; an ARG with no default has none here."""
    pairs: dict[str, str] = {}
    for instruction in stage:
        if instruction.word == word:
            pairs |= dict(part.split("=", 1) for part in _parts(instruction.rest) if "=" in part)
    return pairs


def declared(stage: list[Instruction]) -> set[str]:
    """The names of a stage's build arguments, with or without a default."""
    return {instruction.rest.split("=")[0] for instruction in stage if instruction.word == "ARG"}


def ignore_patterns(path: Path) -> list[str]:
    """The patterns of a .dockerignore, comments left out."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    split = [line.strip().split(maxsplit=1) for line in joined.splitlines()]
    return [Instruction(word.upper(), " ".join(rest.split())) for word, rest in split]


def _parts(rest: str) -> list[str]:
    """Splits at spaces outside of double quotes."""
    parts, is_quoted = [""], False
    for character in rest:
        if character == '"':
            is_quoted = not is_quoted
        elif character == " " and not is_quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
