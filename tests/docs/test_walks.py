"""What the pages say is typed, in their order, and does what they say."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from PIL import Image

from lifelong.client import Client, FeedbackEvent
from service.environment import free_port
from tests.docs.walk import Said, Walk

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
PLANS = "model: plans\ninput: {kind: tabular, columns: {age: fitted, plan: [free, paid]}}\n"
GUARDED = "model: digits\ninput: {kind: tensor, shape: [4]}\nservice: {tokens: tokens.json}\n"
ROWS = ("age,plan\n31,free\n64,paid\n", '{"age": 31, "plan": "free"}\n{"age": 64, "plan": "paid"}\n')


def annotation(number: int, label: str, text: str, **changes: object) -> dict[str, object]:
    """A task of a Label Studio export with its one annotation, as its documentation of the JSON format has it."""
    choice = {"from_name": "kind", "to_name": "text", "type": "choices", "origin": "manual", "id": "a1"}
    made = {
        "id": 1000 + number,
        "completed_by": 1,
        "result": [choice | {"value": {"choices": [label]}}],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-09T22:16:08.728353Z",
        "updated_at": "2026-03-09T22:16:08.728378Z",
        "lead_time": 4.3,
        "task": number,
    }
    return {"id": number, "project": 7, "data": {"text": text}, "predictions": [], "annotations": [made | changes]}


EXPORT = [
    annotation(1, "refund", "give me my money back"),
    annotation(2, "delivery", "where is my parcel"),
    annotation(3, "refund", "skipped", was_cancelled=True),
    annotation(4, "refund", "without a choice", result=[]),
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Somebody who reads the tutorial, and whose service is to answer about plans too."""
    directory = tmp_path_factory.mktemp("tutorial")
    (directory / "plans.yaml").write_text(PLANS)
    with Walk(directory, beside=["plans.yaml"]) as walk:
        yield walk


@pytest.fixture(scope="module")
def tutorial(reader: Walk) -> list[Said]:
    """The tutorial as it went."""
    return reader.page("tutorial.md")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Somebody who reads the front page, and has the models of two other pages beside its own."""
    with Walk(tmp_path_factory.mktemp("readme"), beside=["pets.yaml", "tickets.yaml"]) as walk:
        walk.files("own-model.md")
        walk.files("label-studio.md")
        yield walk


@pytest.fixture(scope="module")
def front_page(owner: Walk) -> list[Said]:
    """The front page as it went."""
    return owner.page("README.md", {"[…]": [json.dumps([shade] * 784) for shade in (0, 1)]})


def test_the_tutorial_ends_with_a_model_that_learned_and_went_back(tutorial: list[Said]) -> None:
    *_, measured, answered, rolled_back, _ = [said.output for said in tutorial]
    matrix = re.findall(r"│ (low|high) +│ +([\d.]+) │ +([\d.–]+) │", measured)
    assert [row[0] for row in matrix] == ["low", "high"]
    assert all(float(accuracy) > 50 for _, *row in matrix[1:] for accuracy in row)
    right = re.fullmatch(r"(\d+) of 20 are right\n\d+ sent; version \d+ has learned from them\n", answered)
    assert right
    assert int(right[1]) > 10
    assert re.fullmatch(r"serving version \d+\n", rolled_back)


@pytest.mark.usefixtures("tutorial")
def test_serving_answers_as_its_page_says(reader: Walk) -> None:
    table, lines = ROWS
    (reader.directory / "rows.csv").write_text(table)
    (reader.directory / "rows.ndjson").write_text(lines)
    (reader.directory / "mine.yaml").write_text(GUARDED)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(reader.directory / "digit.png")
    labelled = zip(lines.splitlines(), ("stays", "leaves"), strict=True)
    events = [f'{{"instance": {line}, "label": "{label}"}}\n' for line, label in labelled]
    (reader.directory / "labelled.ndjson").write_text("".join(events))
    reader.type("lifelong send plans.yaml labelled.ndjson")
    said = reader.page("serving.md")
    asked = [one.output for one in said if "/predict" in one.command]
    assert len(asked) >= 3
    assert all("prediction_id" in output for output in asked)
    assert any(one.output.startswith("ll_") for one in said)


@pytest.mark.usefixtures("tutorial")
def test_a_copy_of_the_state_gives_the_same_champion_bit_for_bit(reader: Walk) -> None:
    unseen = np.load(reader.directory / "unseen.npz")["instances"].tolist()
    reader.page("upgrade.md")
    with Client(reader.address, "digits") as client:
        answered, status = client.predict(unseen, scores=True), client.status()
        champion = client.version(answered.version)
    reader.stop()
    reader.page("recovery.md", {"cp -a state ": "cp -a tutorial "})
    with Client(reader.address, "digits") as client:
        again = client.predict(unseen, scores=True)
        assert client.version(again.version) == champion
        assert client.status().ledger == status.ledger
    assert [one.scores for one in again.predictions] == [one.scores for one in answered.predictions]
    reader.type("lifelong send digits.yaml low.npz")
    assert re.match(r"accepted 0, duplicates \d{3}, rejected 0\n", reader.said[-1].output)


def test_the_front_page_gets_the_answers_that_it_shows(front_page: list[Said]) -> None:
    answers = [json.loads(said.output) for said in front_page if said.command.startswith("post ")]
    taught, asked, corrected, closed, _ = answers
    assert taught == {"accepted": 2, "duplicates": 0, "rejected": [], "position": 2}
    assert asked["model"] == "digits"
    assert asked["predictions"][0].keys() >= {"prediction_id", "label", "probability"}
    assert corrected == {"accepted": 1, "duplicates": 0, "rejected": [], "position": 3}
    assert closed["task"] == "morning"
    (status,) = [
        json.loads(said.output)
        for said in front_page
        if said.command.startswith("curl -s localhost:8000/v1/models/digits ")
    ]
    assert status["processed_through"] == 3
    assert [said.output for said in front_page if "/stream" in said.command] == ["retry: 1000\n"]


@pytest.mark.usefixtures("front_page")
def test_a_subject_is_forgotten_and_its_certificate_says_what_went(owner: Walk) -> None:
    name = "ada@example.org"
    images = [msgspec.Raw(json.dumps([shade] * 784).encode()) for shade in np.linspace(0.1, 0.9, 24).tolist()]
    events = [FeedbackEvent(instance=image, label="5", subject=name) for image in images]
    with Client(owner.address, "digits") as client:
        taught = client.wait_served(client.feedback(events).position or 0, 60)
        assert _files_with(name, owner.directory / "state" / "digits")
        shown, listed, asked, followed, waited = owner.page("erasure.md")
        *_, first = client.erasures()
        assert first.examples + first.probes == len(events)
        assert taught.version in first.withdrawn
        assert client.status().version == first.version
        assert "5" not in client.status().labels
    assert first.id in shown.output
    assert first.id in listed.output
    assert json.loads(asked.output)["erasure"] == json.loads(followed.output)["id"]
    assert waited.output == "0 rows erased, versions withdrawn: []\n"
    assert _files_with(name, owner.directory / "state" / "digits") == []


@pytest.mark.usefixtures("front_page")
def test_an_own_model_is_served(owner: Walk) -> None:
    shown, *_ = owner.page("own-model.md")
    assert "pets.model:build" in shown.output
    with Client(owner.address, "pets") as client:
        assert client.status().specification["input"]["shape"] == [3, 32, 32]


@pytest.mark.usefixtures("front_page")
def test_annotations_of_label_studio_become_feedback_once(owner: Walk) -> None:
    (owner.directory / "export.json").write_text(json.dumps(EXPORT))
    *_, sent = owner.page("label-studio.md")
    assert sent.output == "accepted 2, duplicates 0, rejected 0\n"
    port = free_port()
    command = [sys.executable, "webhook.py", str(port)]
    environment = {"LIFELONG_ADDRESS": owner.address}
    program = subprocess.Popen(command, cwd=owner.directory, env=environment, stderr=subprocess.DEVNULL)
    try:
        again, later = EXPORT[0], annotation(5, "delivery", "the parcel is broken")
        for task in (again, later):
            payload = {
                "action": "ANNOTATION_CREATED",
                "project": {"id": 7},
                "task": task,
                "annotation": task["annotations"][0],
            }
            assert _posted(port, payload).status_code == 204
        assert _posted(port, {"action": "PROJECT_UPDATED", "project": {"id": 7}}).status_code == 204
    finally:
        program.kill()
        program.wait()
    with Client(owner.address, "tickets") as client:
        ledger = client.wait_processed(3, 60).ledger
    assert (ledger.trained + ledger.probe, ledger.dead) == (3, 0)


def _files_with(text: str, directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def _posted(port: int, payload: dict[str, object]) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as http:
        return http.post(f"http://127.0.0.1:{port}/", json=payload, timeout=60)
