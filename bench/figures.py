"""What is measured, and what it is to reach. Each figure is a ratio within the same run."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.kernels import kernels
from bench.load import Load, open_talkers, run
from bench.machine import cpu_seconds, resident_bytes
from bench.peers import BESSER, CHAINLIT, NotInstalled, Peer, install
from bench.report import Figure
from bench.servers import DidNotStart, Server, finished_rounds, running, scratch
from bench.talkers import Meter, Talker

_HERE = Path(__file__).parent
_FOREIGN = 0.05
_CPU = "cpu_ms_per_round"
_TRIES = 3
_KIB = 1024
_ASLEEP = {"PARLOUR_IDLE_AFTER": "1", "PARLOUR_HIBERNATE_AFTER": "1"}


class Bench:
    """Measures on demand, keeps what was measured, and collects what makes it doubtful."""

    def __init__(self, *, seconds: float, quick: bool) -> None:
        self.seconds = seconds
        self.quick = quick
        self.repeat = 1 if quick else 3
        self.loads: dict[tuple[str, int], list[Load]] = defaultdict(list)
        self.versions: list[str] = []
        self.doubts: list[str] = []

    # -- loads --------------------------------------------------------------------------------

    def alternate(self, kinds: Sequence[str], sessions: Sequence[int]) -> None:
        """Load servers of these kinds in turns, so that what disturbs one disturbs the others."""
        for _ in range(self.repeat):
            for kind in kinds:
                self.load(kind, sessions)

    def load(self, kind: str, sessions: Sequence[int]) -> None:
        """One server, loaded with so many sessions at once; then with the next number."""
        with running(kind) as server:
            loads = [load for count in sessions for load in self._loads(server, count)]
            if server.store is not None:
                server.stop()
                self._check(server.store, loads)

    def _loads(self, server: Server, sessions: int) -> list[Load]:
        """Load a server, again if other programs disturbed it; all loads, the best one last."""
        tried = [self._load(server, sessions)]
        while tried[-1].foreign > _FOREIGN and len(tried) < _TRIES:
            tried.append(self._load(server, sessions))
        tried.sort(key=lambda load: load.foreign, reverse=True)
        load = tried[-1]
        self.loads[server.kind, sessions].append(load)
        if load.foreign > _FOREIGN:
            share = f"{100 * load.foreign:.0f} % of the server's core"
            self.doubts.append(f"{server.kind} at {sessions} sessions: other programs took {share}")
        return tried

    def _load(self, server: Server, sessions: int) -> Load:
        print(f"  {server.kind} at {sessions} sessions …", file=sys.stderr, flush=True)
        options = {
            "kind": server.kind,
            "port": server.port,
            "pid": server.pid,
            "sessions": sessions,
            "seconds": self.seconds,
            "warm": min(1.5, self.seconds),
        }
        load = msgspec.json.decode(_process("bench.load", _flags(options)), type=Load)
        self.doubts += [f"{load.kind} at {sessions} sessions: {each}" for each in load.failures]
        return load

    def _check(self, store: Path, loads: Sequence[Load]) -> None:
        seen, kept = sum(load.rounds for load in loads), finished_rounds(store)
        if seen != kept:
            self.doubts.append(f"the clients saw {seen:,} rounds finished, the store has {kept:,}")

    def need(self, kinds: Sequence[str], sessions: int) -> None:
        """Measure what was not measured yet."""
        missing = [kind for kind in kinds if (kind, sessions) not in self.loads]
        if missing:
            self.alternate(missing, [sessions])

    def trusted(self, kind: str, sessions: int) -> list[Load]:
        """The loads that nobody disturbed; all, if there are no such."""
        loads = self.loads[kind, sessions]
        return [load for load in loads if load.foreign <= _FOREIGN] or loads

    def median(self, kind: str, sessions: int, field: str) -> float:
        return statistics.median(getattr(load, field) for load in self.trusted(kind, sessions))

    def ratio(self, kind: str, reference: str, sessions: int, field: str) -> float:
        return self.median(kind, sessions, field) / self.median(reference, sessions, field)


# -- echo -----------------------------------------------------------------------------------


def echo(bench: Bench) -> list[Figure]:
    """Durable echo rounds against the bare echo of the same server stack."""
    sizes = (50, 200)
    bench.alternate(["bare", "parlour"], sizes)
    bench.load("plain", [200])
    figures = [_generator(bench)]
    for count in sizes:
        figures.append(
            Figure(
                group="echo",
                name=f"durable echo, {count} sessions",
                measured=_rate(bench, "parlour", count, "rounds/s"),
                compared=_rate(bench, "bare", count, "messages/s bare"),
                value=bench.ratio("parlour", "bare", count, "rate"),
                sense="at least",
                target=0.30,
                note=f"{bench.ratio('bare', 'parlour', count, _CPU):.2f} by CPU time: what it "
                "would be if nothing else ran",
            )
        )
    return [*figures, _tail(bench)]


def _generator(bench: Bench) -> Figure:
    busy = max(load.client_cpu for key in bench.loads for load in bench.loads[key])
    served = bench.median("bare", 200, "client_cpu")
    return Figure(
        group="echo",
        name="the load generator could do",
        measured=_rate(bench, "plain", 200, "messages/s by hand"),
        compared=_rate(bench, "bare", 200, "messages/s bare"),
        value=bench.ratio("plain", "bare", 200, "rate"),
        sense="at least",
        target=1.2,
        note=f"it used {100 * served:.0f} % of its core against the bare echo, which used "
        f"{100 * bench.median('bare', 200, 'server_cpu'):.0f} % of its own; at most "
        f"{100 * busy:.0f} % against anything",
    )


def _tail(bench: Bench) -> Figure:
    bare, ours = bench.median("bare", 200, "p99_ms"), bench.median("parlour", 200, "p99_ms")
    quiet = bare < 10.0
    return Figure(
        group="echo",
        name="p99 of a durable round, 200 sessions",
        measured=f"{ours:.1f} ms",
        compared=f"{bare:.1f} ms bare",
        value=ours if quiet else bench.ratio("parlour", "bare", 200, "p99_ms"),
        unit="ms" if quiet else "×",
        sense="at most",
        target=25.0 if quiet else 2.5,
    )


# -- peers ----------------------------------------------------------------------------------


def chainlit(bench: Bench) -> list[Figure]:
    """Chainlit as it comes from PyPI, over its own wire."""
    problem = _prepare(bench, CHAINLIT, 50)
    figures = []
    for count in (50, 200):
        if not problem:
            problem = _try(bench, "chainlit", count)
        figures += _against(bench, "chainlit", count, 60.0, problem)
    cpu = Figure(group="chainlit", name="CPU per round, of Chainlit's", sense="at most", target=0.1)
    if ("chainlit", 50) not in bench.loads:
        return [*figures, msgspec.structs.replace(cpu, note=problem)]
    ours, theirs = (bench.median(kind, 50, _CPU) for kind in ("parlour", "chainlit"))
    measured, compared = f"{ours:.3f} ms", f"{theirs:.2f} ms Chainlit"
    return [
        *figures,
        msgspec.structs.replace(cpu, measured=measured, compared=compared, value=ours / theirs),
    ]


def besser(bench: Bench) -> list[Figure]:
    """BESSER's agent framework over its WebSocket platform."""
    problem = _prepare(bench, BESSER, 200) or _try(bench, "besser", 200)
    return _against(bench, "besser", 200, 4.0, problem)


def flow(bench: Bench) -> list[Figure]:
    """The echo as a flow, durable, against BESSER's, which is a flow in memory."""
    problem = _prepare(bench, BESSER, 200) or _try(bench, "besser", 200) or _try(bench, "flow", 200)
    figure = Figure(
        group="flow",
        name="durable echo flow against Besser, 200 sessions",
        sense="at least",
        target=2.0,
        note=problem,
    )
    if problem:
        return [figure]
    ours, theirs = bench.median("flow", 200, "rate"), bench.median("besser", 200, "rate")
    return [
        msgspec.structs.replace(
            figure,
            measured=_rate(bench, "flow", 200, "rounds/s"),
            compared=_rate(bench, "besser", 200, "rounds/s Besser"),
            value=ours / theirs,
        )
    ]


def _prepare(bench: Bench, peer: Peer, sessions: int) -> str:
    try:
        bench.versions.append(install(peer))
    except NotInstalled as error:
        return str(error)
    bench.need(["parlour"], sessions)
    return ""


def _try(bench: Bench, kind: str, sessions: int) -> str:
    bench.need(["parlour"], sessions)
    try:
        bench.load(kind, [sessions])
    except (DidNotStart, Failed) as error:
        return str(error)
    return ""


def _against(bench: Bench, kind: str, count: int, target: float, problem: str) -> list[Figure]:
    name = f"durable echo against {kind.capitalize()}, {count} sessions"
    figure = Figure(group=kind, name=name, sense="at least", target=target, note=problem)
    if (kind, count) not in bench.loads:
        return [figure]
    ours, theirs = bench.median("parlour", count, "rate"), bench.median(kind, count, "rate")
    return [
        msgspec.structs.replace(
            figure,
            measured=_rate(bench, "parlour", count, "rounds/s"),
            compared=_rate(bench, kind, count, f"rounds/s {kind.capitalize()}"),
            value=ours / theirs,
            note="",
        )
    ]


# -- memory ---------------------------------------------------------------------------------


def memory(bench: Bench) -> list[Figure]:
    """What an idle session costs beside its connection, and without one."""
    count = 400 if bench.quick else 2000
    bare = _per_connection("bare", count)
    ours = _per_connection("parlour", count)
    return [
        Figure(
            group="memory",
            name="connected idle session beyond its connection",
            measured=f"{ours / _KIB:.1f} KiB",
            compared=f"{bare / _KIB:.1f} KiB bare",
            value=(ours - bare) / _KIB,
            unit="KiB",
            sense="at most",
            target=8.0,
            note=f"growth of the resident memory over {count:,} connections that have each had a "
            "round and gone idle",
        )
    ]


def _per_connection(kind: str, count: int) -> float:
    print(f"  {kind} with {count:,} idle connections …", file=sys.stderr, flush=True)
    with running(kind, _ASLEEP) as server:
        return run(_grow(server, count))


async def _grow(server: Server, count: int) -> float:
    """Bytes for each of the second half of `2 * count` connections."""
    meter = Meter()
    talkers: list[Talker] = []
    sizes: list[int] = []
    for _ in range(2):
        more = await open_talkers(server.kind, server.port, count, meter)
        for start in range(0, count, 25):
            await asyncio.gather(*(talker.one_round() for talker in more[start : start + 25]))
        talkers += more
        await asyncio.sleep(4.0)
        sizes.append(resident_bytes(server.pid))
    for talker in talkers:
        talker.close()
    return (sizes[1] - sizes[0]) / count


def asleep(bench: Bench) -> list[Figure]:
    """Sessions that nobody is connected to, out of memory again."""
    count = 20_000 if bench.quick else 100_000
    sizes = _inside("sleep", count)["sizes"]
    (first, low), (last, high) = sizes[len(sizes) // 2 - 1], sizes[-1]
    return [
        Figure(
            group="asleep",
            name="sleeping session",
            measured=f"{high / _KIB**2:.1f} MiB at {last:,} sessions",
            compared=f"{low / _KIB**2:.1f} MiB at {first:,}",
            value=(high - low) / (last - first),
            unit="bytes",
            sense="at most",
            target=16.0,
            note="the target is 0; a slope of 16 bytes is within the noise of an allocator",
        )
    ]


# -- length of a conversation ---------------------------------------------------------------


def wake(bench: Bench) -> list[Figure]:
    """A command for a sleeping session until it is durable, by the length of its log."""
    count = 2_000 if bench.quick else 10_000
    found = _inside("wake", count)
    return [
        Figure(
            group="wake",
            name=f"waking a session of {count:,} records",
            measured=f"{found['large']:.2f} ms",
            compared=f"{found['small']:.2f} ms with 100",
            value=found["large"] / found["small"],
            sense="at most",
            target=3.0,
        )
    ]


def long(bench: Bench) -> list[Figure]:
    """Late rounds of one conversation against the first ones of others."""
    late = 1_000 if bench.quick else 5_000
    print(f"  a conversation of {late:,} rounds …", file=sys.stderr, flush=True)
    with running("parlour") as server:
        times, cpu = run(_converse(server, late))
    old, new = (1000 * statistics.median(each) for each in times)
    return [
        Figure(
            group="long",
            name=f"round {late:,} against round 5, {what}",
            measured=f"{a:.3f} ms",
            compared=f"{b:.3f} ms",
            value=a / b,
            sense="at most",
            target=1.2,
        )
        for what, a, b in (("time", old, new), ("CPU", *cpu))
    ]


async def _converse(server: Server, late: int) -> tuple[tuple[list[float], ...], list[float]]:
    """Times of single rounds, late and early, in turns; and CPU milliseconds of a round."""
    blocks, size = 60, 5
    meter = Meter()
    (old,) = await open_talkers(server.kind, server.port, 1, meter)
    for _ in range(late - blocks * size // 2):
        await old.one_round()
    times: tuple[list[float], ...] = ([], [])
    cpu = [0.0, 0.0]
    for _ in range(blocks):
        (new,) = await open_talkers(server.kind, server.port, 1, meter)
        await new.one_round()
        await new.one_round()
        for which, talker in enumerate((old, new)):
            before = cpu_seconds(server.pid)
            times[which].extend([await talker.one_round() for _ in range(size)])
            cpu[which] += 1000 * (cpu_seconds(server.pid) - before) / (blocks * size)
        new.close()
    old.close()
    if meter.failures:
        raise Failed(meter.failures[0])
    return times, cpu


# -- how ------------------------------------------------------------------------------------


class Failed(Exception):
    """A measurement did not come about."""


def _inside(what: str, count: int) -> Any:
    print(f"  {what}: {count:,} in one process …", file=sys.stderr, flush=True)
    with scratch() as folder:
        return json.loads(_process("bench.inside", [what, str(folder / "bench.db"), str(count)]))


def _process(module: str, arguments: Sequence[str]) -> bytes:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, cwd=_HERE.parent, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise Failed(f"{module} failed: {last[0][:300]}")
    return done.stdout


def _flags(options: Mapping[str, object]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def _rate(bench: Bench, kind: str, sessions: int, what: str) -> str:
    return f"{bench.median(kind, sessions, 'rate'):,.0f} {what}"


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "echo": echo,
    "chainlit": chainlit,
    "besser": besser,
    "flow": flow,
    "memory": memory,
    "asleep": asleep,
    "wake": wake,
    "long": long,
    "kernels": lambda bench: kernels(quick=bench.quick),
}
