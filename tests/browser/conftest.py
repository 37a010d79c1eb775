"""A browser, a server in a process of its own, and a visitor who talks to it through the page."""

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 30.0

expect.set_options(timeout=15_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=1, help="run the tests marked `again` so often")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # the option is known only where this folder is named on the command line
    times = metafunc.config.getoption("times", 1)
    if times > 1 and metafunc.definition.get_closest_marker("again"):
        metafunc.fixturenames.append("time_of_many")
        metafunc.parametrize("time_of_many", range(times))


# A session's scope would be natural, but while Playwright's synchronous API runs, its event loop
# counts as running in this thread, and no other test could start one of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        reason = f"there is none of {', '.join(CHROMIUM)} on the PATH; install Debian's chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


class Server:
    """`parlour run` for one app file, or a `script` that serves one by itself.

    It can be killed and started again at the same address.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        environment: dict[str, str],
        options: list[str] | None = None,
        *,
        script: bool = False,
    ) -> None:
        self._folder = folder
        self._options = options or []
        self._script = script
        self._file = folder / "app_under_test.py"
        self._file.write_text(textwrap.dedent(source), encoding="utf-8")
        self._environment = os.environ | environment
        self._process: subprocess.Popen[str] | None = None
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        store = f"sqlite:///{self._folder / 'parlour.db'}"
        command = [sys.executable, self._file.name, str(self.port), store]
        if not self._script:
            command = [sys.executable, "-m", "parlour", "run", self._file.name, *self._options]
            command += ["--host", "127.0.0.1", "--port", str(self.port), "--store", store]
        with (self._folder / "stderr.txt").open("a") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._wait(self._process)

    def _wait(self, process: subprocess.Popen[str]) -> None:
        """Until the server says where it is, and answers there."""
        assert process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        said = ""
        while f"http://127.0.0.1:{self.port}" not in said:
            ready, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
            line = process.stdout.readline() if ready else ""
            if not line:
                pytest.fail(f"the server did not start: {said}\n{self.errors}")
            said += line
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(self.url, timeout=START_SECONDS):
                    return
            except urllib.error.URLError:
                time.sleep(0.02)
        pytest.fail(f"the server does not answer: {self.errors}")

    def kill(self) -> None:
        """As `kill -9` does: no goodbye to anyone."""
        if self._process is not None:
            self._process.kill()
            self._reap(self._process)

    def stop(self) -> None:
        """As an operator does it."""
        if self._process is not None:
            self._process.terminate()
            self._reap(self._process)

    def _reap(self, process: subprocess.Popen[str]) -> None:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None
        print(self.errors)

    @property
    def errors(self) -> str:
        return (self._folder / "stderr.txt").read_text(encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server for an app's source: `serve(source, PARLOUR_LIMITS__UPLOAD_BYTES="1000")`.

    `options` go to `parlour run`; a `script` is run as it is, with its port and store; `prepare`
    puts more into the app's folder.
    """
    with contextlib.ExitStack() as running:
        yield partial(_start, running, tmp_path)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """A server for an app's source that the tests of a module share, each as its own visitor."""
    folder = tmp_path_factory.mktemp("house")
    with contextlib.ExitStack() as running:
        yield cache(partial(_start, running, folder))


def _start(
    running: contextlib.ExitStack,
    folder: Path,
    source: str,
    *,
    options: list[str] | None = None,
    script: bool = False,
    prepare: Callable[[Path], None] | None = None,
    **environment: str,
) -> Server:
    own = folder / f"server{len(list(folder.iterdir()))}"
    own.mkdir()
    if prepare is not None:
        prepare(own)
    server = Server(own, source, environment, options, script=script)
    running.callback(server.stop)
    server.start()
    return server


class Chat:
    """What a visitor sees and does on the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.composer = page.get_by_label("Message", exact=True)
        self.log = page.get_by_role("log")
        self.mine = page.locator(".turn.user .said")
        self.replies = page.locator(".turn.bot .prose")
        self.question = page.locator("form.question")
        self.notices = page.locator(".turn.notice")
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.status = page.get_by_role("status")

    def say(self, text: str) -> None:
        self.is_settled()
        self.composer.fill(text)
        self.composer.press("Enter")

    def sees(self, text: str) -> Locator:
        """Wait until the bot has said something with `text` in it."""
        found = self.replies.filter(has_text=text).last
        expect(found).to_be_visible()
        return found

    def is_settled(self) -> None:
        """Wait until the conversation has its place in the page's address."""
        expect(self.page).to_have_url(re.compile(r"[?]s=\w+$"))

    def is_open(self) -> None:
        """Wait until the conversation is there and up to date."""
        self.is_settled()
        expect(self.log).to_have_attribute("aria-busy", "false")

    @property
    def session(self) -> str:
        self.is_open()
        return urlsplit(self.page.url).query.removeprefix("s=")

    def transcript(self) -> str:
        """What stands in the conversation, without what can be done with it."""
        return self.log.evaluate(
            """log => {
                const copy = log.cloneNode(true);
                for (const part of copy.querySelectorAll("button, .tools")) part.remove();
                return copy.textContent;
            }"""
        )


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Chat]]:
    """Opens the page as a new visitor, or in another tab of one: `visit(server, tab_of=chat)`.

    `host` is another one, whose page the chat is on. Whatever a test is about, no request leaves
    these hosts and nothing on the page fails.
    """
    contexts: list[BrowserContext] = []
    foreign: list[str] = []
    errors: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # the browser itself reports each lost connection and refused upload
        if message.type == "error" and not message.text.startswith(
            ("WebSocket connection to", "Failed to load resource")
        ):
            errors.append(message.text)

    def start(
        server: Server,
        *,
        tab_of: Chat | None = None,
        path: str = "",
        host: str = "",
        **options: object,
    ) -> Chat:
        if tab_of is None:
            contexts.append(browser.new_context(**options))
        context = contexts[-1] if tab_of is None else tab_of.page.context
        page = context.new_page()
        hosts = {urlsplit(address).netloc for address in (server.url, host)}

        def requested(request: Request) -> None:
            url = urlsplit(request.url)
            if url.scheme not in ("data", "blob") and url.netloc not in hosts:
                foreign.append(request.url)

        page.on("request", requested)
        page.on("console", heard)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(host or server.url + path)
        return Chat(page)

    yield start
    for context in contexts:
        context.close()
    assert not foreign
    assert not errors
