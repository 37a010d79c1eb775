"""A real `parlour chat` on a real pseudo-terminal, and the same on pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

SECONDS = 30
SHOWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """A person at a terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "parlour", "chat", *arguments],
            cwd=str(folder),
            env={**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(40, 100),
            timeout=SECONDS,
        )
        self.child.delaybeforesend = None

    def sees(self, text: str) -> str:
        """Waits for a text; gives what came before it."""
        self.child.expect_exact(text)
        return self.child.before or ""

    def sees_like(self, pattern: str) -> re.Match[str]:
        self.child.expect(pattern)
        found = self.child.match
        assert isinstance(found, re.Match)
        return found

    def types(self, text: str) -> None:
        self.child.send(f"{text}\r")

    def keys(self, keys: str) -> None:
        self.child.send(keys)

    def ends(self) -> tuple[str, int | None]:
        """Waits until the program has left; its last words, and its exit code."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return SHOWN.sub("", self.child.before or ""), self.child.exitstatus

    def close(self) -> None:
        if not self.child.closed:
            self.child.close(force=True)


Chat = Callable[..., Terminal]


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    """Starts a terminal chat in `tmp_path`."""
    open_ones: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        terminal = Terminal(tmp_path, *arguments)
        open_ones.append(terminal)
        return terminal

    yield start
    for terminal in open_ones:
        terminal.close()


@pytest.fixture
def app(tmp_path: Path) -> Callable[[str], Path]:
    """Writes an app's file."""

    def write(source: str, name: str = "bot.py") -> Path:
        path = tmp_path / name
        head = "import asyncio, datetime as dt\nfrom dataclasses import dataclass\nimport parlour\n"
        path.write_text(f"{head}app = parlour.App(title='Bot')\n{textwrap.dedent(source)}", "utf-8")
        return path

    return write


@pytest.fixture
def parlour(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a `parlour` command to its end."""

    def run(*arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "parlour", *arguments],
            cwd=tmp_path,
            input=lines,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def sessions(
    parlour: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[[], list[str]]:
    """The ids of the sessions in the store of `tmp_path`, the latest first."""

    def ids() -> list[str]:
        listed = parlour("sessions", "ls", "--json")
        assert listed.returncode == 0, listed.stderr
        return [json.loads(line)["id"] for line in listed.stdout.splitlines()]

    return ids
