"""Pictures of the chat's main states, to be looked at: `python tests/browser/pictures.py FOLDER`.

With `--readme` it takes the one of the README instead: `… --readme docs/picture.png`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
DESK = {"width": 1100, "height": 800}
PHONE = {"width": 390, "height": 780}


def empty(page: Page) -> None:
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "false")


def say(words: str, then: str) -> Callable[[Page], None]:
    def talk(page: Page) -> None:
        empty(page)
        page.get_by_label("Message", exact=True).fill(words)
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.get_by_text(then).last).to_be_visible(timeout=20_000)
        page.wait_for_timeout(500)

    return talk


def figure(page: Page) -> None:
    say("figure", "Bookings went up")(page)
    expect(page.locator(".drawing .bars path").first).to_be_attached(timeout=20_000)
    page.wait_for_timeout(500)


def steps(page: Page) -> None:
    say("steps", "The sea view is free")(page)
    page.get_by_text("Plan the week").click()
    page.get_by_text("Search the rooms").click()
    page.wait_for_timeout(300)


def arabic(page: Page) -> None:
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    page.locator("textarea").first.fill("choose")
    page.locator("button.send").click()
    expect(page.locator("form.question")).to_be_visible(timeout=10_000)
    page.wait_for_timeout(500)


def settings(page: Page) -> None:
    say("prose", "That is all.")(page)
    page.get_by_role("button", name="Settings").click()
    page.wait_for_timeout(300)


def threads(page: Page) -> None:
    say("prose", "That is all.")(page)
    page.get_by_role("button", name="Conversations").click()
    expect(page.locator(".thread")).to_have_count(1)
    page.wait_for_timeout(300)


def versions(page: Page) -> None:
    say("prose", "That is all.")(page)
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()
    page.locator(".turn.user").hover()
    page.get_by_role("button", name="Edit").click()
    page.wait_for_timeout(500)


def files(page: Page) -> None:
    empty(page)
    note = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"x" * 5000}
    large = {"name": "a rather long name of a file.pdf", "mimeType": "text/plain"}
    picker = page.locator("#composer input[type=file]")
    picker.set_input_files([note, large | {"buffer": b"x" * 50_000}])
    expect(page.get_by_role("button", name="Remove notes.txt")).to_be_visible()
    page.get_by_label("Message", exact=True).fill("Here they are.")
    page.wait_for_timeout(300)


def outage(page: Page) -> None:
    say("prose", "That is all.")(page)
    page.context.set_offline(True)
    page.wait_for_timeout(6000)
    page.get_by_label("Message", exact=True).fill("Are you there?")
    page.keyboard.press("Enter")
    page.wait_for_timeout(2000)


STATES: dict[str, tuple[Callable[[Page], None], dict[str, Any]]] = {
    "empty": (empty, {}),
    "prose": (say("prose", "That is all."), {}),
    "prose-dark": (say("prose", "That is all."), {"color_scheme": "dark"}),
    "code": (say("code", "Done."), {}),
    "code-dark": (say("code", "Done."), {"color_scheme": "dark"}),
    "streaming": (say("stream", "word 30"), {}),
    "working": (say("work", "work"), {}),
    "failed": (say("fail", "Something went wrong"), {}),
    "text": (say("text", "Which colour?"), {}),
    "choose": (say("choose", "Which room?"), {}),
    "many": (say("many", "Which extras?"), {}),
    "confirm": (say("confirm", "Shall I book it?"), {}),
    "number": (say("number", "How many guests?"), {}),
    "date": (say("date", "Which day?"), {}),
    "file": (say("file", "A photo, please."), {}),
    "form": (say("form", "Please tell us about your stay."), {}),
    "form-dark": (say("form", "Please tell us about your stay."), {"color_scheme": "dark"}),
    "figure": (figure, {}),
    "figure-dark": (figure, {"color_scheme": "dark"}),
    "table": (say("table", "All rooms"), {}),
    "steps": (steps, {}),
    "steps-running": (say("steps-running", "3 / 8"), {"color_scheme": "dark"}),
    "files": (files, {}),
    "settings": (settings, {}),
    "threads": (threads, {"color_scheme": "dark"}),
    "threads-phone": (threads, {"viewport": PHONE}),
    "versions": (versions, {}),
    "outage": (outage, {}),
    "phone": (say("prose", "That is all."), {"viewport": PHONE, "has_touch": True}),
    "phone-figure": (figure, {"viewport": PHONE, "has_touch": True}),
    "phone-choose": (say("choose", "Which room?"), {"viewport": PHONE, "has_touch": True}),
    "right-to-left": (arabic, {"locale": "ar-EG"}),
}


@contextlib.contextmanager
def served(app: Path) -> Iterator[str]:
    """A server of its own for an app; its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "parlour", "run", str(app), "--port", "0", "--no-open"]
        command += ["--store", f"sqlite:///{folder}/pictures.db"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None
            yield address.group()
        finally:
            server.terminate()
            server.wait(10)
            assert server.stdout is not None
            server.stdout.close()


def take_all(browser: Browser, folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with served(Path(__file__).with_name("pictured.py")) as address:
        for name, (talk, options) in STATES.items():
            if names and name not in names:
                continue
            context = browser.new_context(**{"viewport": DESK} | options)
            page = context.new_page()
            page.goto(address)
            talk(page)
            page.screenshot(path=folder / f"{name}.png")
            context.close()


def take_readme(browser: Browser, target: Path) -> None:
    with served(ROOT / "examples" / "hotel.py") as address:
        page = browser.new_page(viewport={"width": 880, "height": 900}, device_scale_factor=2)
        page.goto(address)
        page.get_by_label("name").fill("Ada Lovelace")
        page.get_by_label("arrival").fill("2030-05-03")
        page.get_by_label("departure").fill("2030-05-06")
        page.get_by_role("button", name="Send").first.click()
        expect(page.get_by_text("Which room?")).to_be_visible(timeout=10_000)
        page.wait_for_timeout(300)
        page.screenshot(path=target)


def main(arguments: list[str]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        if arguments[0] == "--readme":
            take_readme(browser, Path(arguments[1]))
        else:
            take_all(browser, Path(arguments[0]), arguments[1:])
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
