"""Starts the servers that are measured: real processes on a core of their own."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.machine import SERVER_CORE, pin
from bench.peers import BESSER, CHAINLIT

HERE = Path(__file__).parent
RESULTS = HERE / "results"
_APPS = HERE / "apps"
_PATIENCE = 60.0


class DidNotStart(Exception):
    """A server does not listen; says what it wrote last."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server. `store` is the file of its store, if it has one."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]
    store: Path | None

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(kind: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server of this kind, with an empty store; it and its store end with the block."""
    port = _free_port()
    with scratch() as folder:
        store = folder / "bench.db" if kind in ("parlour", "flow") else None
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(kind, port, store),
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: pin(SERVER_CORE),  # noqa: PLW1509 - we have one thread
            )
        server = Server(kind=kind, port=port, process=process, store=store)
        try:
            _wait_for(process, port, log)
            yield server
        finally:
            server.stop()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk of the repository: /tmp may be memory, where nothing is durable."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix="run-") as folder:
        yield Path(folder)


def finished_rounds(store: Path) -> int:
    """How many rounds a store has as done, read from its file after the server has ended."""
    count = 0
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        for (data,) in connection.execute("SELECT data FROM log"):
            count += data.count('{"type":"RoundFinished"')
    return count


def _command(kind: str, port: int, store: Path | None) -> list[str]:
    match kind:
        case "parlour" | "flow":
            name = "echo.py" if kind == "parlour" else "echo_flow.py"
            app, address = str(_APPS / name), f"sqlite:///{store}"
            run = [sys.executable, "-m", "parlour", "run", app]
            return [*run, "--port", str(port), "--store", address]
        case "bare" | "plain":
            return [sys.executable, str(_APPS / f"{kind}.py"), str(port)]
        case "chainlit":
            app = str(_APPS / "chainlit_echo.py")
            chainlit = str(CHAINLIT.folder / "bin" / "chainlit")
            return [chainlit, "run", app, "--headless", "--port", str(port)]
        case "besser":
            return [str(BESSER.python), str(_APPS / "besser_echo.py"), str(port)]
        case _:
            raise ValueError(f"there is no server called {kind}")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1.0)):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise DidNotStart(f"it does not listen: {said[0][:200]}")
