"""Whatever is done to the server: its memory, its log and the time others wait stay bounded."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from client import Client

from faults.attackers import ARRIVALS, ATTACKS
from faults.disks import Disk
from faults.server import ChaosServer

promise = pytest.mark.promise
MIB = 1024 * 1024
SECONDS = 1.5
IDLE = int(os.environ.get("FAULTS_IDLE", "2000"))
SOCKETS = {"idle": IDLE, "loris": 300, "giant": 8, "bomb": 4, "pieces": 8, "deep": 8}
GROWTH = 192 * MIB
"""Of the server's memory; ten thousand idle connections may take more."""
LINES = 40
"""Of the operator's log, for any number of misdeeds of a kind."""
P99_SECONDS = 1.0
"""Until an honest user's message is answered; on a machine that the attackers share."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosServer]:
    folder = tmp_path_factory.mktemp("abuse")
    server = ChaosServer(folder / "server", Disk(folder / "disk"))
    server.environment |= {"PARLOUR_IDLE_AFTER": "60", "PARLOUR_HIBERNATE_AFTER": "60"}
    server.start()
    yield server
    server.close()


class Honest:
    """Somebody who talks all the time, over one socket, and writes down how long it takes."""

    def __init__(self, server: ChaosServer) -> None:
        self.client = Client(server.ws, name="visitor000")
        self.client.connect()
        self.session = self.client.open()
        self.delays: list[float] = []
        self.failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def _talk(self) -> None:
        client, number = self.client, 0
        try:
            while not self._over.wait(0.01):
                number += 1
                began = time.monotonic()
                client.say(self.session, f"visitor000 echo {number}")
                # The greeting's round is the first.
                client.wait_finished(self.session, 1 + number, 30)
                self.delays.append(time.monotonic() - began)
        except BaseException as failure:  # noqa: BLE001 - the test's own thread raises it
            self.failure = failure

    @contextmanager
    def talking(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join(60)
            self.client.leave()

    @property
    def p99(self) -> float:
        return sorted(self.delays)[len(self.delays) * 99 // 100]


def _attack(server: ChaosServer, name: str, words: list[str]) -> dict[str, int]:
    sockets = SOCKETS.get(name, 30)
    seconds = str(SECONDS + sockets / ARRIVALS)
    command = [sys.executable, "-m", "faults.attackers", str(server.port), name, seconds]
    command += [str(sockets), *words]
    path = os.pathsep.join(server.environment["PYTHONPATH"].split(os.pathsep))
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends: dict[str, int] = json.loads(done.stdout)
    return ends


@promise("P12")
@promise("P13")
@promise("P1")
@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_feels_an_attack_by(name: str, server: ChaosServer) -> None:
    honest = Honest(server)
    before = server.measure()["resident"]
    lines = len(server.errors.splitlines())
    words = [honest.session] if name == "others" else [honest.client.resume]
    words += [] if name == "others" else [honest.client.history.user]
    with honest.talking():
        ends = _attack(server, name, words)
        grown = server.measure()["resident"] - before
    assert honest.failure is None, honest.failure
    told = server.errors.splitlines()[lines:]
    print(
        f"{name}: {ends}, p99 {1000 * honest.p99:.0f} ms, {grown / MIB:.1f} MiB, {len(told)} lines"
    )
    assert honest.client.connections == 1
    assert honest.p99 < P99_SECONDS
    assert grown < GROWTH
    assert len(told) <= LINES, told[:20]
    assert sum(ends.values()) >= SOCKETS.get(name, 30) // 2, ends
    assert "LEAKED" not in ends


@promise("P12")
def test_afterwards_the_server_has_let_go_of_everything(server: ChaosServer) -> None:
    from live_server import wait_until

    wait_until(lambda: server.measure()["descriptors"] < 64, "the sockets are let go of", 30)
    assert server.is_well()
    code, _ = server.terminate()
    assert code == 0
    assert Path(server.database).exists()
