"""The bAbI tasks are read as published, checked, or named as missing; a network learns stories like theirs."""

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from contracts.errors import InvalidConfiguration
from lifelong.bench import babi, babi_run
from lifelong.bench.babi import Question, Task, held_out, questions, story_input, stream
from lifelong.bench.babi_run import METHODS, RECIPES, Kept, Recipes, best_joint, choose, run_all
from lifelong.bench.babi_study import Pass, Recipe, RecipeLearner, study
from lifelong.bench.runs import Results
from lifelong.bench.stream import Rows, Stream
from lifelong.bench.study import Method
from lifelong.data import DATA_DIR_VARIABLE
from lifelong.errors import BadFile, MissingDataSet
from networks.build import build
from networks.memory import MemoryNetwork
from networks.settings import MemorySpec
from trainer.batch import Batch
from trainer.strategy import Naive

pytestmark = pytest.mark.unit
torch.set_num_threads(1)

TEXT = """1 Mary went home.
2 Where is Mary? \thome\t1
3 John took the apple.
4 What does John carry? \tapple,milk\t3
1 Ann is here.
2 Is Ann here?\tyes\t1
"""
PLACES, PEOPLE = ("kitchen", "garden", "office"), ("mary", "john", "ann")
SMALL = Recipe(width=16, hops=2, linear_passes=4, passes=8, halve_every=4)
TINY = Recipe(width=4, hops=1, linear_passes=1, passes=1)


def test_a_question_has_the_sentences_before_it_and_not_the_questions() -> None:
    told = ["Mary went home.", "John took the apple."]
    assert questions(TEXT) == [
        Question(told[:1], "Where is Mary?", "home"),
        Question(told, "What does John carry?", "apple,milk"),
        Question(["Ann is here."], "Is Ann here?", "yes"),
    ]


@pytest.mark.parametrize("line", ["Mary went home.", "", "1 ", "1 Where is Mary?\t\t1", "1 ?\thome\t1"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(BadFile, match="line 2"):
        questions(f"1 Ann is here.\n{line}\n")


def test_answers_of_later_tasks_come_later_and_unknown_ones_are_never_right() -> None:
    asked = questions(TEXT)
    tasks = [Task("one", asked[:1], asked[:1]), Task("two", asked[1:2], asked[1:]), Task("three", asked[:1], asked[:1])]
    made = stream(tasks, story_input(tasks, sentences=2))
    assert [column.label for column in made.columns] == ["home", "apple,milk"]
    assert [made.columns_of(place) for place in range(3)] == [1, 2, 2]
    assert made.experiences[1].test.targets.tolist() == [1, babi.UNKNOWN]
    assert made.experiences[1].train.tasks.tolist() == [1]
    assert made.experiences[2].train.inputs.shape == (1, 3, 4)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files of the published form, with their own checksum."""
    files = {name: TEXT.replace("home", f"place{place}").encode() for place, name in enumerate(babi.FILES)}
    monkeypatch.setattr(babi, "SHA256", hashlib.sha256(b"".join(files.values())).hexdigest())
    return files


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {DATA_DIR_VARIABLE: str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
        """Nothing is logged."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], str]]:
    """Puts files into the archive of a local source and gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:

        def packed(files: dict[str, bytes]) -> str:
            with tarfile.open(tmp_path / "babi.tar.gz", "w:gz") as archive:
                for name, content in files.items():
                    member = tarfile.TarInfo(f"{babi.FOLDER_IN_SOURCE}/{name}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            return f"http://127.0.0.1:{server.server_address[1]}/babi.tar.gz"

        thread = Thread(target=server.serve_forever)
        thread.start()
        yield packed
        server.shutdown()
        thread.join()


def test_the_files_of_the_data_directory_are_checked(
    tmp_path: Path, published: dict[str, bytes], environment: dict[str, str]
) -> None:
    folder = tmp_path / "data" / "babi" / "en"
    put(folder, published)
    assert babi.babi(environment, "http://127.0.0.1:1")[1].train[0].answer == "place2"
    (folder / babi.FILES[5]).write_bytes(b"1 Ann is here.\n")
    with pytest.raises(BadFile, match="not the published files"):
        babi.babi(environment)


def test_a_download_is_checked_and_kept(
    published: dict[str, bytes], environment: dict[str, str], serve: Callable[[dict[str, bytes]], str]
) -> None:
    with pytest.raises(MissingDataSet, match="bAbI is not here"):
        babi.babi(environment, "http://127.0.0.1:1")
    with pytest.raises(BadFile, match="not the published set"):
        babi.babi(environment, serve({**published, babi.FILES[0]: b"1 Ann is here.\n"}))
    with pytest.raises(BadFile, match="not the published archive"):
        babi.babi(environment, serve({}))
    downloaded = babi.babi(environment, serve(published))
    assert babi.babi(environment, "http://127.0.0.1:1") == downloaded
    assert len(downloaded) == 20


def nobody(loss: float) -> None:
    """Hears of a pass and says nothing."""


def told(random_numbers: random.Random, people: tuple[str, ...]) -> Question:
    moves = [
        (random_numbers.choice(people), random_numbers.choice(PLACES)) for _ in range(random_numbers.randint(2, 5))
    ]
    who = random_numbers.choice([person for person, _ in moves])
    answer = [place for person, place in moves if person == who][-1]
    return Question([f"{person} went to the {place}" for person, place in moves], f"Where is {who}?", answer)


@pytest.fixture(scope="module")
def journeys() -> list[Task]:
    """Who is where after several journeys; the second task has one person more."""
    numbers = random.Random(0)
    return [
        Task(name, [told(numbers, people) for _ in range(600)], [told(numbers, people) for _ in range(200)])
        for name, people in (("two", PEOPLE[:2]), ("three", PEOPLE))
    ]


@pytest.fixture(scope="module")
def travels(journeys: list[Task]) -> Stream:
    return stream(journeys, story_input(journeys, sentences=6))


def test_where_people_are_is_learned_from_where_they_went(travels: Stream) -> None:
    losses: list[float] = []
    outcome, loss = study(travels, METHODS["fine-tuning"], 0, SMALL, losses.append)
    assert len(losses) == 2 * SMALL.n_passes
    assert losses[-1] == loss < 0.3 * losses[0]
    assert min(accuracy or 0.0 for accuracy in outcome.accuracy[-1]) > 0.9


def test_a_schedule_starts_linearly_once_and_halves_the_rate() -> None:
    first, later = SMALL.schedule(is_first=True), SMALL.schedule(is_first=False)
    assert [each.is_linear for each in first] == [True] * 4 + [False] * 8
    assert not any(each.is_linear for each in later)
    assert [each.rate for each in later] == [0.005] * 4 + [0.01] * 4 + [0.005] * 4


def test_each_pass_is_learned_with_its_own_rate_and_only_the_first_ones_without_softmax(travels: Stream) -> None:
    network = build(MemorySpec(width=4, hops=1), travels.spec, travels.columns, 0)
    module = network.module
    assert isinstance(module, MemoryNetwork)
    seen: list[bool] = []
    learner = RecipeLearner(network, Naive(), TINY, 0, lambda _: seen.append(module.is_linear))
    train = travels.experiences[0].train
    rows = Batch(torch.arange(len(train.targets)), *train)
    moved = []
    for task in (0, 1):
        learner.before_task(task)
        for expected in TINY.schedule(is_first=task == 0):
            before = network.theta.clone()
            learner.train(rows, rows.select(slice(0, 0)), 0, 1)
            moved.append((expected, float((network.theta - before).norm())))
    assert seen == [True, False, False, False]
    assert [each for each, _ in moved][2] == Pass(False, 0.005)
    assert moved[3][1] > moved[2][1] > 0


def test_held_out_questions_are_the_last_whole_stories_of_training(journeys: list[Task]) -> None:
    stories = [Question(["a b", *["c d"] * (place % 3)], "Where?", str(place)) for place in range(30)]
    part = held_out(Task("told", stories, journeys[0].test))
    assert (part.train, part.test) == (stories[:27], stories[27:])
    part = held_out(Task("told", stories[:19], []))
    assert (len(part.train), part.train + part.test) == (18, stories[:19])


def test_stored_runs_are_not_made_again_and_the_training_loss_chooses(travels: Stream, tmp_path: Path) -> None:
    recipes, methods = Recipes(TINY, TINY), choose(["joint", "replay"], [])
    path = tmp_path / "deep" / "runs.jsonl"
    joint, replay = run_all(travels, methods, [0, 1], Results(path, Kept), recipes)
    assert len(path.read_text().splitlines()) == 4
    assert run_all(travels, methods, [0, 1], Results(path, Kept), recipes) == [joint, replay]
    assert len(path.read_text().splitlines()) == 4
    other = [Method("replay", [{"kind": "replay", "rows": 1}])]
    ((again,),) = run_all(travels, other, [0], Results(path, Kept), recipes)
    assert again.key not in {run.key for run in replay}
    best = best_joint(joint)
    assert best is not None
    assert best.training_loss == min(run.training_loss for run in joint)
    assert best_joint([]) is None


def test_the_command_prints_its_runs(
    journeys: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(babi_run, "babi", lambda: journeys)
    methods = choose(["joint", "fine-tuning"], [])
    for as_json in (True, False):
        babi_run.run(tmp_path / "runs.jsonl", methods, as_json=as_json, recipes=Recipes(TINY, TINY))
    line, shown = capsys.readouterr().out.split("\n", 1)
    document = json.loads(line)
    joint, one_by_one = document["methods"]
    best = document["joint"]
    assert best["mean_error"] == pytest.approx(sum(best["errors"]) / 2)
    assert joint["mean"]["average_accuracy"] == pytest.approx(1 - best["mean_error"])
    assert joint["mean"]["backward_transfer"] is None
    first, last = (row[0] for row in one_by_one["R"])
    assert one_by_one["mean"]["backward_transfer"] == pytest.approx(last - first)
    assert document["recipes"]["one_by_one"]["passes"] == TINY.passes
    assert "joint training, seed 0, chosen by its training loss: mean error" in shown
    assert "fine-tuning" in shown


def test_held_out_runs_read_no_test_question(
    journeys: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(babi_run, "babi", lambda: [task._replace(test=[]) for task in journeys])
    for holds_out in (True, False):
        if not holds_out:
            monkeypatch.setattr(babi_run, "babi", lambda: journeys)
        babi_run.run(tmp_path / "runs.jsonl", choose(["joint"], []), (0,), holds_out, True, Recipes(TINY, TINY))
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 2
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["data"], second["data"]) == ("bAbI, held-out questions", "bAbI")


def test_methods_are_chosen_by_name_or_by_their_strategies() -> None:
    assert choose([], []) == list(METHODS.values())
    assert [method.name for method in choose(["replay"], ["[{kind: ewc, strength: 3}]"])] == [
        "replay",
        "ewc (strength 3)",
    ]
    assert [method.name for method in choose([], ["si"])] == ["si"]
    with pytest.raises(InvalidConfiguration, match="magic: expected some of joint, fine-tuning"):
        choose(["magic"], [])
    with pytest.raises(InvalidConfiguration, match="needs instances that are numbers"):
        choose([], ["generative"])


def test_another_predictor_answers_and_tasks_that_are_kept_apart_are_refused(travels: Stream) -> None:
    few = stream_of(travels, 64)
    gdumb = Method("gdumb", [{"kind": "gdumb", "capacity": 32, "epochs": 1}])
    plain, own = (study(few, method, 0, TINY, nobody)[0] for method in (METHODS["fine-tuning"], gdumb))
    assert plain.accuracy != own.accuracy
    with pytest.raises(InvalidConfiguration, match=r"packnet needs labels\.scenario: task"):
        study(few, Method("packnet", [{"kind": "packnet"}]), 0, TINY, nobody)


def test_the_same_seed_gives_the_same_run(travels: Stream) -> None:
    few = stream_of(travels, 64)
    outcomes = [study(few, METHODS["replay + EWC"], seed, TINY, nobody) for seed in (0, 0, 1)]
    assert outcomes[0][0].accuracy == outcomes[1][0].accuracy
    assert outcomes[0][1] == outcomes[1][1] != outcomes[2][1]


def test_the_published_recipe_is_shortened_for_one_task() -> None:
    assert RECIPES.of(METHODS["joint"]) == Recipe()
    assert 3 * RECIPES.of(METHODS["replay"]).n_passes == Recipe().n_passes


def stream_of(whole: Stream, rows: int) -> Stream:
    """The same tasks with their first training rows alone."""
    few = [each._replace(train=Rows(*(part[:rows] for part in each.train))) for each in whole.experiences]
    return replace(whole, experiences=few)
