"""Fixtures of tests that run `parlour` commands: an app's file, a command, its sessions."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest


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
