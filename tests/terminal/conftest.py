"""A real `parlour chat` on a real pseudo-terminal, and the same on pipes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from commands import app, parlour, sessions

__all__ = ["app", "parlour", "sessions"]

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
