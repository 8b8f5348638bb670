"""The 20 bAbI question answering tasks in English, 1,000 questions each to learn and to be tested on.

(Weston et al., *Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks*, 2015.)
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch

from contracts.inputs import StoryInput
from contracts.labels import Column
from contracts.stories import WORD
from lifelong.bench.stream import Experience, Rows, Stream
from lifelong.data import DATA_DIR_VARIABLE
from lifelong.errors import BadFile, MissingDataSet

SOURCE = "http://www.thespermwhale.com/jaseweston/babi/tasks_1-20_v1-2.tar.gz"
FOLDER_IN_SOURCE = "tasks_1-20_v1-2/en"
SHA256 = "50dcf8fd8d121e6b7a8be62060dc3f7a830a054276c25844895fe0c3c1c691d6"
"""Of all 40 files one after another: each task's training file, then its test file."""
DOWNLOAD_SECONDS = 60.0
TASKS = (
    "single-supporting-fact", "two-supporting-facts", "three-supporting-facts", "two-arg-relations",
    "three-arg-relations", "yes-no-questions", "counting", "lists-sets", "simple-negation", "indefinite-knowledge",
    "basic-coreference", "conjunction", "compound-coreference", "time-reasoning", "basic-deduction", "basic-induction",
    "positional-reasoning", "size-reasoning", "path-finding", "agents-motivations",
)  # fmt: skip
FILES = [f"qa{number}_{task}_{part}.txt" for number, task in enumerate(TASKS, start=1) for part in ("train", "test")]
UNKNOWN = -1
"""The target of an answer that no training question has: no output can be right."""


class Question(NamedTuple):
    """A question, the story's sentences so far, and the answer: several words are one answer, joined by commas."""

    story: list[str]
    question: str
    answer: str


class Task(NamedTuple):
    """One task's questions."""

    name: str
    train: list[Question]
    test: list[Question]


def babi(environment: Mapping[str, str] = os.environ, source: str = SOURCE) -> list[Task]:
    """All tasks, in their order: from this machine, else downloaded once into the user's cache and checked.

    Raises:
        MissingDataSet: they are not on this machine and their source cannot be reached.
        BadFile: the files are not the published ones.
    """
    for folder in _folders(environment):
        if all((folder / name).is_file() for name in FILES):
            contents = [(folder / name).read_bytes() for name in FILES]
            return _tasks(_checked(contents, f"{folder}: these are not the published files"))
    contents = _checked(_download(source), "bAbI: what its source sent is not the published set")
    folder = _folders(environment)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(FILES, contents, strict=True):
        unfinished = folder / f"{name}.{os.getpid()}"
        unfinished.write_bytes(content)
        unfinished.replace(folder / name)
    return _tasks(contents)


def questions(text: str) -> list[Question]:
    """The questions of a file: a line is `number sentence` or `number question⇥answer⇥numbers`; at 1 a story starts.

    Raises:
        BadFile: `bad_row`, naming the line.
    """
    found: list[Question] = []
    story: list[str] = []
    for place, line in enumerate(text.splitlines(), start=1):
        number, _, rest = line.partition(" ")
        question, *answer = rest.split("\t")
        if not number.isdecimal() or not WORD.search(question) or (answer and not answer[0]):
            raise BadFile("bad_row", f"bAbI: line {place}: neither a numbered sentence nor a question with its answer")
        if number == "1":
            story = []
        if answer:
            found.append(Question(list(story), question.strip(), answer[0]))
        else:
            story.append(rest)
    return found


def story_input(tasks: Sequence[Task], sentences: int = 50) -> StoryInput:
    """How these tasks' stories are encoded: each word of theirs has a number of its own, so that none share one."""
    lines = {line for task in tasks for each in chain(task.train, task.test) for line in (*each.story, each.question)}
    split = [WORD.findall(line.lower()) for line in lines]
    return StoryInput(sentences=sentences, words=max(map(len, split)), vocabulary=sorted(set(chain(*split))))


def held_out(task: Task) -> Task:
    """The task with its last training questions, those of whole stories, in the place of its test questions."""
    first = len(task.train) * 9 // 10
    while task.train[first].story[: len(told := task.train[first - 1].story)] == told:
        first += 1
    return Task(task.name, task.train[:first], task.train[first:])


def stream(tasks: Sequence[Task], spec: StoryInput, name: str = "bAbI") -> Stream:
    """The tasks one after another in the class scenario: answers that are new in a task grow the head."""
    answers = dict.fromkeys(chain.from_iterable(sorted({each.answer for each in task.train}) for task in tasks))
    places = {answer: place for place, answer in enumerate(answers)}
    experiences = [
        Experience(task.name, _rows(task.train, spec, places, number), _rows(task.test, spec, places, number))
        for number, task in enumerate(tasks)
    ]
    return Stream(name, "class", spec, [Column(answer) for answer in answers], experiences)


def _rows(asked: Sequence[Question], spec: StoryInput, places: Mapping[str, int], number: int) -> Rows:
    inputs = spec.encode([{"story": each.story, "question": each.question} for each in asked])
    targets = torch.tensor([places.get(each.answer, UNKNOWN) for each in asked])
    return Rows(torch.from_numpy(inputs), targets, torch.full_like(targets, number))


def _tasks(contents: Sequence[bytes]) -> list[Task]:
    parts = [questions(content.decode("ascii")) for content in contents]
    names = [f"{number} {name.replace('-', ' ')}" for number, name in enumerate(TASKS, start=1)]
    return [Task(*each) for each in zip(names, parts[::2], parts[1::2], strict=True)]


def _folders(environment: Mapping[str, str]) -> list[Path]:
    cache = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folders = [Path(cache) / "lifelong" / "babi" / "en"]
    if configured := environment.get(DATA_DIR_VARIABLE, "").strip():
        folders.insert(0, Path(configured) / "babi" / "en")
    return folders


def _checked(contents: list[bytes], fault: str) -> list[bytes]:
    if hashlib.sha256(b"".join(contents)).hexdigest() != SHA256:
        raise BadFile("checksum_mismatch", fault)
    return contents


def _download(source: str) -> list[bytes]:
    import httpx

    try:
        packed = httpx.get(source, timeout=DOWNLOAD_SECONDS, follow_redirects=True).raise_for_status().content
    except httpx.HTTPError as error:
        reason = type(error).__name__
        raise MissingDataSet(
            "missing_data_set",
            f"bAbI is not here and its source did not answer ({reason}): put its files in ${DATA_DIR_VARIABLE}/babi/en",
        ) from None
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            members = [archive.extractfile(f"{FOLDER_IN_SOURCE}/{name}") for name in FILES]
            return [b"" if member is None else member.read() for member in members]
    except (tarfile.TarError, KeyError, EOFError, OSError):
        raise BadFile("bad_archive", "bAbI: what its source sent is not the published archive") from None
