"""Whether a command can be typed as it stands: its program, subcommand and options exist, and the files it names."""

import contextlib
import functools
import importlib.util
import io
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest
import typer.main

from lifelong.__main__ import app
from tests.docs.markdown import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
KEPT = ("deploy/", "helm/", "docs/", "tests/")
"""What lies there lies in the repository."""
IMAGE, SERVICE = re.compile(r"lifelong(:[\w.-]+)?"), re.compile("service|trainer")
Check = Callable[[Sequence[str], bool], None]


def parts(command: str) -> Iterator[list[str]]:
    """The programs that a command starts, each with its arguments; here-documents and redirections are left out."""
    line = re.sub(r"<<'\w+'[\s\S]*|\\\n|[<>]+ *\S+", " ", command)
    part: list[str] = []
    for word in [*_words(line), ";"]:
        if word in {"|", "||", "&&", ";", "&"}:
            if part:
                yield part
            part = []
        elif part or not re.fullmatch(r"[A-Z_]+=.*", word):
            part.append(word)


def check(words: Sequence[str], is_exact: bool) -> None:
    """Fails unless the command exists; one in a sentence is not exact: it may have words that stand for others."""
    program = words[0].rpartition("/")[2]
    assert program in CHECKS, f"nothing checks what {program} is told"
    for word in words:
        if word.startswith(KEPT):
            assert (ROOT / word).exists(), f"{word}: no such file"
    CHECKS[program](words[1:], is_exact)


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words = []
    for word in lexer:
        if word == "#":
            break
        words.append(word)
    return words


def _lifelong(words: Sequence[str], is_exact: bool) -> None:
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands") and rest:
        if rest[0] == "--help" or not (is_exact or re.fullmatch("[a-z-]+", rest[0])):
            return
        assert rest[0] in command.commands, f"lifelong has no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    if is_exact:
        command.make_context("lifelong", rest)
    elif not hasattr(command, "commands"):
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word.partition("=")[0] for word in rest if word.startswith("--")} - known - {"--help"}
        assert not unknown, f"lifelong: no such option {unknown}"


def _make(words: Sequence[str], _: bool) -> None:
    for word in words:
        variable, is_variable, _value = word.partition("=")
        known = f"$({variable}" in MAKEFILE or f"{variable} ?=" in MAKEFILE if is_variable else word in TARGETS
        assert known, f"make knows no {word}"


def _python(words: Sequence[str], is_exact: bool) -> None:
    if words[:1] == ["-m"] and words[1] == "pytest":
        _pytest(words[2:], is_exact)
    elif words[:1] == ["-m"]:
        if not is_exact and "…" in words[1]:
            return
        assert importlib.util.find_spec(words[1]) is not None, f"there is no module {words[1]}"
        options = {word for word in words if word.startswith("--")}
        if options:
            unknown = {option for option in options if f"{option} " not in f"{_help(words[1])} "}
            assert not unknown, f"{words[1]}: no such option {unknown}"


@functools.cache
def _help(module: str) -> str:
    """What a program of ours says of itself."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        patch.setattr(sys, "argv", [module, "--help"])
        patch.setenv("TERMINAL_WIDTH", "200")
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return said.getvalue()


def _pytest(words: Sequence[str], _: bool) -> None:
    for word in words:
        if not word.startswith("-"):
            assert (ROOT / word).exists(), f"{word}: no such test"


def _container(words: Sequence[str], is_exact: bool) -> None:
    """What comes after the image's name, or a Compose service's, is said to `lifelong`; so is what `exec` runs."""
    if words[0] in {"run", "exec", "compose"}:
        named = SERVICE if words[0] == "compose" else IMAGE
        places = [place for place, word in enumerate(words) if named.fullmatch(word)]
        rest = words[places[-1] + 1 :] if places else []
        if rest:
            _lifelong(rest, is_exact)


def _anything(_: Sequence[str], __: bool) -> None:
    """A program of others: only the files that it is told of are ours."""


CHECKS: dict[str, Check] = {
    "lifelong": _lifelong,
    "make": _make,
    "python": _python,
    "pytest": _pytest,
    "docker": _container,
    "podman": _container,
    **dict.fromkeys(("cp", "curl", "git", "helm", "kubectl", "post"), _anything),
}
