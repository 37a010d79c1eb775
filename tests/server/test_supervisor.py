"""`parlour run --workers`: the dead are replaced, all are replaced on request, and none is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from live_server import LiveServer, wait_until

from postgres import database, run_sql

APP = """
import parlour
app = parlour.App()

@app.on_message
async def answer(session, message):
    session.reply(message.text)
"""
_SECONDS = 40.0


class House:
    """A supervisor with two workers, and what it and its database know of them."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server

    @property
    def supervisor(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    @property
    def processes(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.supervisor).children()}

    @property
    def at_work(self) -> int:
        return alive(self.server.store)

    def wait_for(self, workers: int) -> None:
        wait_until(lambda: self.at_work == workers, f"{workers} workers are at work", _SECONDS)


def alive(address: str) -> int:
    [(count,)] = run_sql("SELECT count(*) FROM parlour.worker", address)
    return int(count)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with database() as address:
        server = LiveServer(tmp_path, APP, store=address, options=("--workers", "2"))
        server.start()
        made = House(server)
        made.wait_for(2)
        yield made
        if server.process is not None:
            server.kill()


@pytest.mark.promise("P11")
def test_none_is_left_of_workers_that_were_replaced_when_the_end_came(house: House) -> None:
    begun = house.processes
    os.kill(house.supervisor, signal.SIGHUP)
    wait_until(lambda: house.processes - begun, "a successor is started", _SECONDS)
    seen = [psutil.Process(pid) for pid in house.processes | begun if psutil.pid_exists(pid)]

    os.kill(house.supervisor, signal.SIGTERM)

    assert house.server.process is not None
    assert house.server.process.wait(_SECONDS) == 0
    assert not [process for process in seen if process.is_running()]
    assert alive(house.server.store) == 0
    house.server.reap()


def test_workers_are_replaced_on_request_and_when_they_die(house: House) -> None:
    begun = house.processes
    os.kill(house.supervisor, signal.SIGHUP)
    wait_until(
        lambda: len(house.processes) == 2 and not house.processes & begun, "all are new", _SECONDS
    )
    fresh = house.processes

    os.kill(min(fresh), signal.SIGKILL)
    wait_until(lambda: len(house.processes - fresh) == 1, "another takes its place", _SECONDS)

    code, _ = house.server.terminate()
    assert code == 0
    # The row of one that was killed lasts as long as its lease.
    assert alive(house.server.store) <= 1
