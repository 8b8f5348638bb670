"""A person asks: by drawing, by example, by picture, by text, by row; and sees why."""

import io
import subprocess

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.console.console import Console
from tests.console.service import DIGITS

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def test_digits_are_fitted_as_the_data_set_was_made_so_that_they_are_recognised(console: Console) -> None:
    answers = [console.example(digit) for digit in range(10)]
    assert sum(answer == str(digit) for digit, answer in enumerate(answers)) >= 8, answers
    sizes = [console.page.locator("#seen-pixels").evaluate(f"canvas => canvas.{side}") for side in ("width", "height")]
    assert sizes == [8, 8]


def test_a_drawing_is_fitted_wherever_and_however_small_it_is(console: Console) -> None:
    console.draw((0.1, 0.1), (0.1, 0.3))
    small = console.seen()
    console.clear()
    console.draw((0.8, 0.15), (0.8, 0.95))
    large = console.seen()
    assert np.abs(np.array(small) - np.array(large)).max() < 40
    rows = np.array(small).reshape(8, 8)
    assert rows[:, 3:5].min() > 100
    assert rows[:, [0, 1, 6, 7]].max() == 0


def test_the_answer_names_version_and_probabilities(console: Console) -> None:
    label = console.example(0)
    page = console.page
    version = page.locator("#headline strong").first.inner_text().lower()
    expect(page.locator("#answer")).to_contain_text(f"said {version}")
    bars = page.locator("#bars li")
    assert bars.count() == 10
    assert bars.first.locator(".bar-name").inner_text() == label
    shares = [float(text.removesuffix(" %")) for text in page.locator("#bars .bar-value").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=1)


def test_why_is_shown_over_the_picture(console: Console) -> None:
    page = console.page
    page.get_by_label("Show why").check()
    console.example(3)
    expect(page.locator("#seen-why")).to_be_visible()
    expect(page.locator("#attribution")).to_contain_text("for 3")
    first = page.locator("#seen-overlay").evaluate("canvas => canvas.toDataURL()")
    page.get_by_label("Method of explanation").select_option("integrated_gradients")
    page.wait_for_function("before => document.getElementById('seen-overlay').toDataURL() !== before", arg=first)


def test_a_picture_file_is_scaled_and_turned_light_on_dark(console: Console) -> None:
    row = int(np.flatnonzero(DIGITS.test_labels == 6)[0])
    paper = Image.fromarray(255 - DIGITS.test_images[row]).resize((160, 160), Image.Resampling.NEAREST)
    content = io.BytesIO()
    paper.save(content, "PNG")
    console.page.locator("#picture").set_input_files(
        {"name": "six.png", "mimeType": "image/png", "buffer": content.getvalue()}
    )
    expect(console.page.locator("#seen")).to_be_visible()
    assert console.answer() == "6"
    seen = np.array(console.seen()).reshape(8, 8).astype(int)
    assert np.abs(seen - DIGITS.test_images[row]).mean() < 20


def test_a_file_that_is_no_picture_is_refused_in_words(console: Console) -> None:
    console.page.locator("#picture").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"no"})
    expect(console.page.locator("#pad-hint")).to_contain_text("not a picture")


def test_a_text_is_answered_and_its_words_are_weighed(console: Console) -> None:
    console.open("notes")
    console.page.get_by_label("Show why").check()
    console.page.get_by_label("Text", exact=True).fill("my parcel is broken")
    assert console.answer() == "complaint"
    expect(console.page.locator("#attribution mark")).to_have_text(["my", "parcel", "is", "broken"])


def test_a_row_has_a_field_a_column_and_a_bar_a_column(console: Console) -> None:
    console.open("plans")
    page = console.page
    page.get_by_label("Show why").check()
    page.get_by_label("plan", exact=True).select_option("paid")
    page.get_by_label("age").fill("sixty")
    expect(page.locator("#answer")).to_contain_text("“age” needs a number")
    page.get_by_label("age").fill("64")
    assert console.answer() == "stays"
    expect(page.locator("#attribution .bar-name")).to_have_count(2)
    assert sorted(page.locator("#attribution .bar-name").all_inner_texts()) == ["age", "plan"]


def test_the_copied_command_asks_the_same(console: Console) -> None:
    label = console.example(4)
    console.page.locator("#answer-tools").get_by_role("button", name="Copy as curl").click()
    expect(console.page.locator("#answer-tools")).to_contain_text("Copied")
    command = console.page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["/bin/bash", "-c", f"{command} --silent --noproxy '*'"], capture_output=True, check=True)
    assert f'"label":"{label}"' in done.stdout.decode()
