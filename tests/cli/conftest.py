"""Real `parlour` processes in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import Server

from commands import app, parlour, sessions

__all__ = ["app", "parlour", "server", "sessions"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server in `tmp_path`; it is ended, and its children with it."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(Server(tmp_path, *arguments))
        return servers[-1]

    yield start
    for one in servers:
        if one.process.returncode is None:
            one.end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
