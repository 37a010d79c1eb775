"""Takes the README's picture: `python tests/browser/picture.py docs/picture.png`.

Starts the hotel's guest desk, books a room as a guest would, and looks at the page.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

_ROOT = Path(__file__).parent.parent.parent
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "parlour", "run", str(_ROOT / "examples" / "hotel.py")),
                *("--port", "0", "--no-open", "--store", f"sqlite:///{folder}/hotel.db"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=_FLAGS
                )
                page = browser.new_page(
                    viewport={"width": 880, "height": 900}, device_scale_factor=2
                )
                page.goto(address.group())
                talk(page)
                page.screenshot(path=target)
                browser.close()
        finally:
            server.terminate()
            server.wait(10)
            assert server.stdout is not None
            server.stdout.close()


def talk(page: Page) -> None:
    page.get_by_label("name").fill("Ada Lovelace")
    page.get_by_label("arrival").fill("2030-05-03")
    page.get_by_label("departure").fill("2030-05-06")
    page.get_by_role("button", name="Send").first.click()
    expect(page.get_by_text("Which room?")).to_be_visible(timeout=10_000)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
