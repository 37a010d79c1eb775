"""A real `parlour run` in a process of its own, which can be killed, frozen and started again."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

START_SECONDS = 30.0
END_SECONDS = 10.0
LAUNCHER = Path(__file__).with_name("launcher.py")


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    """Poll a real system, for a bounded time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in {seconds:g} s it did not happen that {what}"
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class LiveServer:
    """One app file and one store, served again and again at the same address.

    What it writes to stderr is kept; `noise` is what of it nobody expected.
    """

    def __init__(
        self, folder: Path, source: str, *, store: str = "", options: tuple[str, ...] = ()
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "app_under_test.py"
        self.file.write_text(textwrap.dedent(source), encoding="utf-8")
        self.database = folder / "parlour.db"
        self.store = store or f"sqlite:///{self.database}"
        self.options = options
        self.port = free_port()
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[str] | None = None
        self._errors: list[str] = []
        self._listener: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    # -- life -------------------------------------------------------------------------------

    def start(self, **environment: str) -> "LiveServer":
        """Start, and return when it answers. `environment` counts for this life only."""
        assert self.process is None, "it runs already"
        command = self._command(environment)
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--store", self.store]
        self.process = subprocess.Popen(
            [*command, *self.options],
            cwd=self.folder,
            env=os.environ | self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(self.process,))
        self._listener.start()
        self._wait(self.process)
        return self

    def _command(self, environment: Mapping[str, str]) -> list[str]:
        fragile = any(name.startswith("FRAGILE") for name in environment)
        launch = [str(LAUNCHER)] if fragile else ["-m", "parlour"]
        return [sys.executable, *launch, "run", self.file.name]

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        self._errors.extend(process.stderr)

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert f"http://127.0.0.1:{self.port}" in said, f"it did not start: {said}{self.errors}"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            # It says where it is a moment before it listens there.
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.005)
        raise AssertionError(f"it does not answer: {self.errors}")

    def kill(self) -> None:
        """As `kill -9` does: no goodbye to anyone."""
        assert self.process is not None
        self.process.kill()
        self.reap()

    def terminate(self) -> tuple[int, float]:
        """As an operator ends it; its exit code, and how long it took in seconds."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.reap(), time.monotonic() - begun

    def reap(self) -> int:
        """Wait for an end that is on its way."""
        process = self.process
        assert process is not None
        try:
            code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_SECONDS)
            raise AssertionError(f"it did not end in {END_SECONDS:g} s: {self.errors}") from None
        finally:
            if self._listener is not None:
                self._listener.join(END_SECONDS)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            self.process = None
        return code

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End however it stands."""
        if self.process is not None:
            self.process.kill()
            self.reap()

    # -- looking on -------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def is_well(self) -> bool:
        """Whether it still serves HTTP."""
        return httpx.get(f"{self.url}/healthz", timeout=10).status_code == 200

    def lines(self, name: str) -> list[str]:
        """What the app has noted in a file of its folder."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def log(self, session: str) -> list[dict[str, Any]]:
        """The stored events of a session, in order; the numbers must be dense."""
        events: list[dict[str, Any]] = []
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT first, count, data FROM log WHERE session = ? ORDER BY first", (session,)
            )
            for first, count, data in rows:
                chunk = msgspec.json.decode(data)
                assert first == len(events) + 1, f"the log jumps from {len(events)} to {first}"
                assert count == len(chunk)
                events += chunk
        return events

    def owners(self) -> dict[str, str]:
        """All sessions of the store, each with its user."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return dict(db.execute("SELECT id, user FROM session"))
