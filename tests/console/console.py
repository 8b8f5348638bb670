"""The console as a person at a browser sees it: what can be done on it, and what may never happen meanwhile."""

import io
import os
import re
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FloatRect, Locator, Page, expect

IMAGES = Path(__file__).parents[2] / "docs" / "images"
IMAGES_VARIABLE = "LIFELONG_CONSOLE_IMAGES"
"""Set to anything, every picture that a test takes is written to `docs/images`."""
MAX_IMAGE_BYTES = 150_000
TALLEST = {390: 3300, 1400: 2000}
"""Where a picture of a page this wide ends."""
PATIENCE_MS = 60_000
PROBE = "kept as a probe"
OUTCOMES = re.compile(f"served after|{PROBE}|by the gate")
MOST_LESSONS = 30
"""How many corrections may become probes before one is learned."""
NARROW, WIDE = 390, 1400
ORIGIN_ERRORS = ("Failed to load resource",)
"""What Chromium itself writes about an answer that is not 2xx; tests of refusals bring them about."""


class Console:
    """One page in a context of its own; `complaints` are console errors, `strangers` requests to anybody else."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        options = {
            "viewport": {"width": WIDE, "height": 900},
            "permissions": ["clipboard-read", "clipboard-write"],
        } | options
        self.context: BrowserContext = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self._settled = ""

    def open(self, model: str = "digits") -> "Console":
        """Opens the page and chooses a model."""
        self.page.goto(f"{self.address}/")
        expect(self.page.locator("#input > *")).to_be_visible()
        if self.page.locator("#model").input_value() != model:
            self.page.locator("#model").select_option(model)
        expect(self.page.locator("#live")).to_have_text("live")
        expect(self.page.locator("#input > *")).to_be_visible()
        return self

    def example(self, digit: int) -> str:
        """Takes an example digit and returns the answer to it."""
        self.page.get_by_role("button", name=f"Example {digit}", exact=True).click()
        return self.answer()

    def answer(self) -> str:
        """The label answered to what is now on the pad; waits for it."""
        expect(self.page.locator("#answer")).to_have_attribute("aria-busy", "false")
        return self.page.locator("#label").inner_text()

    def seen(self) -> list[int]:
        """The pixels that the page says the model sees, row by row."""
        script = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
        values: list[int] = self.page.locator("#seen-pixels").evaluate(script)
        return values[::4]

    def draw(self, *corners: tuple[float, float]) -> None:
        """Draws one stroke with the mouse through corners in 0…1."""
        pad = self.page.locator("#canvas")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        assert box
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=8)
        self.page.mouse.up()

    def clear(self) -> None:
        """Empties the pad."""
        self.page.get_by_role("button", name="Clear").click()

    @property
    def trail(self) -> Locator:
        """The trail of the last correction."""
        return self.page.locator("#trails details").first

    def wait_settled(self) -> str:
        """Waits until it is known what became of the last correction, and returns it as the page says it."""
        place = self.trail.locator("li").first
        expect(place).to_contain_text("on disk at position")
        if self._settled:
            expect(place).not_to_have_text(self._settled)  # until then it is the trail of the correction before
        self._settled = place.inner_text()
        outcome = self.trail.locator(".badge")
        expect(outcome).to_have_text(OUTCOMES)
        if outcome.inner_text().startswith("served"):
            expect(self.trail.locator("li").last).to_contain_text("→")
        return outcome.inner_text()

    def confirm_until_learned(self, label: str) -> str:
        """Says that the answer is right until that is no probe any more, and returns what became of it."""
        for _ in range(MOST_LESSONS):
            self.page.get_by_role("button", name=f"{label}, the answer is right").click()
            outcome = self.wait_settled()
            if outcome != PROBE:
                return outcome
        raise AssertionError(f"{MOST_LESSONS} corrections became probes")

    def violations(self) -> list[str]:
        """What axe-core finds on the page as it is now."""
        found = Axe().run(self.page).response["violations"]
        return [f"{fault['id']}: {node['html'][:200]}" for fault in found for node in fault["nodes"]]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def picture(self, name: str, of: str | None = None) -> None:
        """Writes what is seen to `docs/images` if that was asked for: the whole page, or one element of it."""
        if not os.environ.get(IMAGES_VARIABLE):
            return
        self.page.evaluate("document.documentElement.style.setProperty('--shadow', 'none')")
        place = self.page.locator(of) if of else None
        still: Any = {"animations": "disabled"}
        raw = place.screenshot(**still) if place else self.page.screenshot(full_page=True, clip=self._clip(), **still)
        content = io.BytesIO()
        _with_few_colours(Image.open(io.BytesIO(raw)).convert("RGB")).save(content, "PNG", optimize=True)
        assert content.tell() < MAX_IMAGE_BYTES
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(content.getvalue())

    def close(self) -> None:
        """Closes the page; nothing may have gone wrong on it, and nobody else may have been asked."""
        self.page.unroute_all(behavior="wait")  # an answer that is being altered would be lost with the page
        self.context.close()
        strangers = {url for url in self.asked if not url.startswith((f"{self.address}/", "data:"))}
        assert strangers == set()
        assert self.complaints == []

    def _clip(self) -> FloatRect:
        """The whole page, where it is not too long to be looked at in one piece."""
        width, height = self.page.evaluate("[window.innerWidth, document.documentElement.scrollHeight]")
        return {"x": 0, "y": 0, "width": width, "height": min(height, TALLEST[width])}

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith(ORIGIN_ERRORS):
            self.complaints.append(text)


def refuse(console: Console, pattern: str, *refusals: tuple[int, str, str]) -> None:
    """Answers the next requests to a path with problem documents, one each, and lets the rest through."""
    left = list(refusals)

    def answer(route: Any) -> None:
        if not left:
            route.continue_()
            return
        status, code, detail = left.pop(0)
        headers = {"retry-after": "1"} if status in (429, 503) else {}
        body = {"title": "refused", "status": status, "error": code, "detail": detail}
        route.fulfill(status=status, headers=headers, json=body, content_type="application/problem+json")

    console.page.route(pattern, answer)


def _with_few_colours(image: Image.Image) -> Image.Image:
    """The picture in its 256 commonest colours: flat grounds and thin lines keep exactly theirs."""
    counted = sorted(image.getcolors(1 << 24) or [], reverse=True)[:256]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in counted for part in colour])
    return image.quantize(palette=palette, dither=Image.Dither.NONE)
