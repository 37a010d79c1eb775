"""A storm from its beginning to its end: a server, visitors, a schedule; then the judgement.

Everything of it is in one folder, and stays there if anything is wrong.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faults.case import Case
from faults.checker import Finding, judge
from faults.disks import MIB, Disk, disk_at
from faults.history import History
from faults.injection import Injector, end_quietly, possible
from faults.schedule import ASKED_FOR, SECONDS, Strike, plan
from faults.script import cast
from faults.server import ChaosServer
from faults.visitors import Visitor

SAMPLE_SECONDS = 0.25
ARRIVAL_SECONDS = 10.0
FAREWELL_SECONDS = 100.0
ROOM_PER_SECOND = 1.5
"""MiB of the disk for each second of a storm."""
LEAST_SECONDS = 90.0
"""A short storm may take longer than planned on a busy machine, so that all of it comes."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a storm is made of; the same orders make the same plan and the same dice."""

    seed: int
    seconds: float
    visitors: int
    kinds: frozenset[str] | None = None
    gap: float = 1.5
    broken: str = ""
    weights: Mapping[str, int] | None = None
    patience: float = 60.0
    plain_disk: bool = False


@dataclass
class Outcome:
    """What became of it."""

    case: Case
    findings: list[Finding]
    strikes: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    deaths: int = 0
    delays: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rounds(self) -> int:
        return self.case.count("RoundFinished")

    def summary(self) -> str:
        """The lines that `make chaos` prints."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.strikes.items()))
        ends = Counter(
            event["status"]
            for log in self.case.logs.values()
            for _, event in log.items()
            if event["type"] == "RoundFinished"
        )
        ordered = sorted(self.delays) or [0.0]
        return "\n".join(
            [
                f"kills survived      {self.kills} (and {self.deaths} ends of the server's own)",
                f"faults by kind      {kinds or 'none'}",
                f"sessions checked    {len(self.case.logs)}",
                f"rounds checked      {self.rounds} "
                f"({', '.join(f'{status} {count}' for status, count in ends.most_common())})",
                f"records checked     {self.case.count()}",
                f"acknowledgements    {sum(len(h.acks) for h in self.case.histories)}",
                f"until acknowledged  p50 {1000 * ordered[len(ordered) // 2]:.1f} ms, "
                f"p99 {1000 * ordered[len(ordered) * 99 // 100]:.1f} ms, faults included",
                f"counter-examples    {len(self.findings)}",
            ]
        )


class _Storm:
    def __init__(self, orders: Orders, folder: Path) -> None:
        self.orders = orders
        self.folder = folder
        (folder / "histories").mkdir(parents=True)
        self.journal = History.on_disk("campaign", folder / "campaign.jsonl")
        size = int(48 + orders.seconds * ROOM_PER_SECOND) * MIB
        place = folder / "disk"
        self.disk = Disk(place) if orders.plain_disk else disk_at(place, size)
        self.server = ChaosServer(folder / "server", self.disk, broken=orders.broken)
        self.injector = Injector(self.server, self.disk, self.journal.note)
        wanted = set(SECONDS) - ASKED_FOR if orders.kinds is None else orders.kinds
        self.kinds = possible(self.disk) & wanted
        self.strikes: list[Strike] = []
        self.over = threading.Event()
        self.visitors: list[Visitor] = []

    def operate(self) -> None:
        """Strike by the plan and look after the server; runs in a thread of its own."""
        began = time.monotonic()
        latest = began + max(self.orders.seconds, LEAST_SECONDS)
        for strike in plan(self.orders.seed, self.orders.seconds, self.kinds, gap=self.orders.gap):
            self._watch(began + strike.at)
            self.strikes.append(strike)
            self.injector.strike(strike)
            # What starting again took is no time of peace.
            began += max(0.0, time.monotonic() - (began + strike.at + strike.seconds))
            if time.monotonic() > latest:
                return
        self._watch(began + self.orders.seconds)

    def _watch(self, until: float) -> None:
        while time.monotonic() < until:
            self.injector.revive()
            self.journal.note("measured", **self.server.measure())
            time.sleep(max(0.0, min(SAMPLE_SECONDS, until - time.monotonic())))

    def attend(self) -> None:
        """No more faults; the visitors are finishing."""
        while not self.over.wait(SAMPLE_SECONDS):
            self.injector.revive()
            self.journal.note("measured", **self.server.measure())

    async def run(self) -> None:
        dice = random.Random(self.orders.seed)
        over = asyncio.Event()
        folder = self.folder / "histories"
        self.visitors = [
            Visitor(self.server.ws, habits, self.orders.seed, folder, self.orders.patience)
            for habits in cast(self.orders.visitors, dice, self.orders.weights)
        ]
        visits = [asyncio.create_task(visitor.visit(over)) for visitor in self.visitors]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ARRIVAL_SECONDS):
                    await asyncio.gather(*(visitor.arrived.wait() for visitor in self.visitors))
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

    def end(self) -> None:
        """An orderly end; what it looked like is noted."""
        code, seconds = self.server.terminate()
        self.journal.note("terminated", code=code, seconds=seconds, last=True)


def storm(orders: Orders, folder: Path) -> Outcome:
    """Run a storm in a new `folder` and judge it."""
    began = time.monotonic()
    state = _Storm(orders, folder)
    with contextlib.ExitStack() as ends:
        ends.callback(state.disk.close)
        ends.callback(state.journal.close)
        ends.callback(end_quietly, state.server)
        state.server.start()
        asyncio.run(state.run())
        with contextlib.suppress(AssertionError):
            state.end()
        (folder / "operator.txt").write_text(state.server.errors, encoding="utf-8")
        Case.keep_logs(state.server.database, folder / "logs.jsonl")
    case = Case.load(folder)
    return Outcome(
        case=case,
        findings=judge(case),
        strikes=Counter(strike.kind for strike in state.strikes),
        kills=state.injector.kills,
        deaths=len(state.journal.of("died")),
        delays=[delay for visitor in state.visitors for _, delay in visitor.delays],
        seconds=time.monotonic() - began,
    )


def told(findings: Iterable[Finding], case: Case, limit: int = 5) -> str:
    """The findings, the first of each rule with its smallest counter-example."""
    from faults.shrink import smallest

    shown: dict[str, Finding] = {}
    for finding in findings:
        shown.setdefault(finding.rule, finding)
    parts = [smallest(case, finding) for finding in list(shown.values())[:limit]]
    return "\n\n".join(parts)
