"""A storm on many workers: one PostgreSQL, a bus, a dumb balancer, and visitors who know of none.

The visitors, their habits and the judge are those of the storm on one server.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
from live_server import free_port

from faults.campaign import ARRIVAL_SECONDS, FAREWELL_SECONDS, LEAST_SECONDS, Outcome
from faults.case import Case
from faults.checker import judge
from faults.disks import Disk
from faults.history import History
from faults.injection import end_quietly
from faults.script import cast
from faults.server import ChaosServer
from faults.visitors import Visitor
from postgres import run_sql

LEASE_SECONDS = 1.5
NOT_STARTED = 3
REDIS = "redis://127.0.0.1:6379"


@dataclass(frozen=True, kw_only=True)
class TownOrders:
    """What a storm on many workers is made of; the same orders throw the same dice."""

    seed: int
    seconds: float
    visitors: int
    workers: int = 3
    gap: float = 1.0
    bus: str = ""
    patience: float = 60.0
    broken: str = ""


class Worker(ChaosServer):
    """One of several servers with the same app, folder and store; its clock is its own."""

    def __init__(self, folder: Path, number: int, address: str, orders: TownOrders) -> None:
        super().__init__(folder, Disk(folder / f"disk-{number}"), broken=orders.broken)
        self.store = address
        self._clock = folder / f"clock-{number}"
        self.step_clock(0.0)
        self.environment |= {
            "FAULTS_CLOCK": str(self._clock),
            "PARLOUR_LEASE_SECONDS": str(LEASE_SECONDS),
            "PARLOUR_FILES": str(folder / "files"),
        }
        if orders.bus:
            self.options = ("--bus", orders.bus)


class Balancer:
    """Passes each connection on to some worker that takes it; knows nothing of what it carries."""

    def __init__(self, ports: list[int], dice: random.Random) -> None:
        self._ports = ports
        self._dice = dice
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.port = free_port()
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        for port in self._dice.sample(self._ports, len(self._ports)):
            with contextlib.suppress(OSError):
                there, here = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            writer.transport.abort()
            return
        both = [
            asyncio.ensure_future(_pass_on(reader, here)),
            asyncio.ensure_future(_pass_on(there, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copying in both:
                copying.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, here):
                end.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        # What was sent before the end arrives before it.
        await writer.drain()


class Town:
    """The workers, and what is done to them; `strike` runs in a thread of its own."""

    def __init__(self, orders: TownOrders, folder: Path, address: str) -> None:
        self.orders = orders
        self.address = address
        self.folder = folder
        (folder / "histories").mkdir(parents=True)
        self.journal = History.on_disk("campaign", folder / "campaign.jsonl")
        self.workers = [
            Worker(folder / "server", number, address, orders) for number in range(orders.workers)
        ]
        self.dice = random.Random(orders.seed)
        self.strikes: Counter[str] = Counter()
        self.over = threading.Event()
        self._kinds: dict[str, Callable[[Worker], None]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "restart": self._restart,
            "clock": self._skew,
            "backends": self._cut_backends,
        }
        if orders.bus:
            self._kinds["bus"] = self._cut_bus

    def operate(self) -> None:
        """Strike until the time is over and each kind has come; none comes twice before that."""
        began = time.monotonic()
        deck: list[str] = []
        while (passed := time.monotonic() - began) < max(self.orders.seconds, LEAST_SECONDS):
            if passed > self.orders.seconds and len(self.strikes) == len(self._kinds):
                break
            self._rest(self.dice.uniform(0.5, 1.5) * self.orders.gap)
            deck = deck or self.dice.sample(sorted(self._kinds), len(self._kinds))
            kind = deck.pop()
            self.strikes[kind] += 1
            self.journal.note("strike", kind=kind)
            self._kinds[kind](self.dice.choice(self.workers))
            self.journal.note("healed", kind=kind)

    def attend(self) -> None:
        """No more faults; the visitors are finishing."""
        while not self.over.wait(0.25):
            self._revive()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._revive()
            time.sleep(0.05)

    def _revive(self) -> None:
        for worker in self.workers:
            if worker.dead:
                code = worker.reap()
                # A start that meets a store that is away ends, says so, and is made again.
                self.journal.note("died" if code != NOT_STARTED else "not started", code=code)
                worker.start()

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        time.sleep(self.dice.uniform(0.0, 2 * LEASE_SECONDS))
        worker.start()

    def _freeze(self, worker: Worker) -> None:
        """Long enough that others take its sessions over; then it wakes, and knows nothing."""
        worker.freeze()
        time.sleep(self.dice.uniform(1.2, 2.0) * LEASE_SECONDS)
        worker.thaw()

    def _restart(self, worker: Worker) -> None:
        worker.terminate()
        worker.start()

    def _skew(self, worker: Worker) -> None:
        worker.step_clock(self.dice.choice([-3600.0, -20.0, 20.0, 3600.0]))

    def _cut_backends(self, _: Worker) -> None:
        run_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            self.address,
        )

    def _cut_bus(self, _: Worker) -> None:
        import redis

        with redis.Redis.from_url(REDIS) as client:
            client.client_kill_filter(_type="pubsub")

    async def run(self) -> list[float]:
        over = asyncio.Event()
        dice = random.Random(self.orders.seed)
        async with Balancer([worker.port for worker in self.workers], self.dice) as balancer:
            visitors = [
                Visitor(
                    f"ws://127.0.0.1:{balancer.port}/ws",
                    habits,
                    self.orders.seed,
                    self.folder / "histories",
                    self.orders.patience,
                )
                for habits in cast(self.orders.visitors, dice, None)
            ]
            visits = [asyncio.create_task(visitor.visit(over)) for visitor in visitors]
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ARRIVAL_SECONDS):
                        await asyncio.gather(*(visitor.arrived.wait() for visitor in visitors))
                await asyncio.to_thread(self.operate)
            finally:
                over.set()
                attending = asyncio.create_task(asyncio.to_thread(self.attend))
                _, late = await asyncio.wait(visits, timeout=FAREWELL_SECONDS)
                for visit in late:
                    visit.cancel()
                self.over.set()
                await attending
            for visit in await asyncio.gather(*visits, return_exceptions=True):
                if isinstance(visit, Exception):
                    raise visit
        return [delay for visitor in visitors for _, delay in visitor.delays]


def keep_logs(address: str, path: Path) -> None:
    """Write the logs of all sessions of a store in PostgreSQL to a file that `Case.load` reads."""
    with path.open("wb") as file:
        for session, user in run_sql("SELECT id, user_id FROM parlour.session", address):
            file.write(msgspec.json.encode({"session": session, "user": user}) + b"\n")
        rows = run_sql(
            "SELECT session, first, count, records FROM parlour.log ORDER BY session, first",
            address,
        )
        for session, first, count, records in rows:
            line = {"session": session, "first": first, "count": count}
            line["events"] = msgspec.json.decode(records)
            file.write(msgspec.json.encode(line) + b"\n")


def storm_on_town(orders: TownOrders, folder: Path, address: str) -> Outcome:
    """Run a storm in a new `folder` on an empty database, and judge it."""
    began = time.monotonic()
    town = Town(orders, folder, address)
    with contextlib.ExitStack() as ends:
        ends.callback(town.journal.close)
        for worker in town.workers:
            ends.callback(end_quietly, worker)
            worker.start()
        delays = asyncio.run(town.run())
        for worker in town.workers:
            worker.terminate()
        errors = "".join(worker.errors for worker in town.workers)
        (folder / "operator.txt").write_text(errors, encoding="utf-8")
        keep_logs(address, folder / "logs.jsonl")
    case = Case.load(folder)
    return Outcome(
        case=case,
        findings=judge(case),
        strikes=town.strikes,
        kills=town.strikes["kill"],
        deaths=len(town.journal.of("died")),
        delays=delays,
        seconds=time.monotonic() - began,
    )
