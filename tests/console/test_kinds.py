"""Kinds of models that are asked and corrected in a way of their own: stories, pictures in colour, tasks kept apart."""

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.console.console import Console
from tests.console.service import LAMPS, PLACES, ROOMS, Service

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def test_a_story_is_asked_about_and_corrected(console: Console, service: Service) -> None:
    page = console.open("rooms").page
    page.get_by_label("Story, one sentence a line").fill("Mary went to the kitchen.\n\n John went to the garden. ")
    expect(page.locator("#answer")).to_contain_text("Whatever you give is answered")
    with page.expect_request("**/predict") as asked:
        page.get_by_label("Question", exact=True).fill("Where is John?")
    story = ["Mary went to the kitchen.", "John went to the garden."]
    assert asked.value.post_data_json["instances"] == [{"story": story, "question": "Where is John?"}]
    assert console.answer() in ROOMS
    correct(console, "attic")
    assert service.get("/v1/models/rooms")["labels"] == [*ROOMS, "attic"]


def test_a_picture_in_colour_is_sent_channels_first_and_corrected(console: Console, service: Service) -> None:
    page = console.open("lamps").page
    content = io.BytesIO()
    Image.new("RGB", (40, 40), (0, 128, 255)).save(content, "PNG")
    with page.expect_request("**/predict") as asked:
        page.locator("#picture").set_input_files(
            {"name": "lamp.png", "mimeType": "image/png", "buffer": content.getvalue()}
        )
    assert asked.value.post_data_json["instances"] == [[[[part] * 8] * 8 for part in (0, 128, 255)]]
    assert console.answer() in LAMPS
    script = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 1, 1).data]"
    assert page.locator("#seen-pixels").evaluate(script) == [0, 128, 255, 255]
    page.get_by_label("Show why").check()
    expect(page.locator("#seen-why")).to_be_visible()
    correct(console, "azure")
    assert service.get("/v1/models/lamps")["labels"] == [*LAMPS, "azure"]


def test_a_task_is_named_and_only_its_labels_answer(console: Console, service: Service) -> None:
    page = console.open("places").page
    page.get_by_label("2 numbers, of shape 2").fill("1 -1")
    expect(page.locator("#answer .problem")).to_contain_text("task")
    for task, labels in PLACES.items():
        page.get_by_label("Task", exact=True).fill(task)
        assert console.answer() in labels
        assert sorted(page.locator("#bars .bar-name").all_inner_texts()) == sorted(labels)
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if "/feedback" in request.url else None)
    correct(console, "zero")
    assert [event["task"] for event in sent[0]["events"]] == ["signs"]
    page.get_by_label("Task", exact=True).fill("sides")
    console.answer()
    assert "zero" not in page.locator("#bars .bar-name").all_inner_texts()


def correct(console: Console, label: str) -> None:
    """Teaches a new label and waits until what learned it is served, and is asked the same again."""
    console.page.get_by_label("A new label").fill(label)
    console.page.get_by_role("button", name="Teach", exact=True).click()
    assert console.wait_settled().startswith("served after")
    expect(console.trail.locator("li").last).to_contain_text(label)
