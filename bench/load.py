"""The load generator: a process of its own, on a core of its own. Prints what it saw as JSON.

`python -m bench.load --kind parlour --port 8000 --pid 4242 --sessions 50 --seconds 4`
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from typing import Any

import msgspec
import uvloop

from bench.machine import (
    LOAD_CORE,
    SERVER_CORE,
    busy_seconds,
    cpu_seconds,
    pin,
    resident_bytes,
)
from bench.talkers import TALKERS, Meter, Talker

_HOST = "127.0.0.1"
_AT_ONCE = 25


class Load(msgspec.Struct, kw_only=True):
    """What one load found. Times are in seconds, except where the name says otherwise.

    `foreign` is the share of the server's core that other programs took.
    """

    kind: str
    sessions: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    server_cpu: float
    client_cpu: float
    foreign: float
    cpu_ms_per_round: float
    memory: int
    rounds: int
    failures: list[str]


async def open_talkers(
    kind: str, port: int, count: int, meter: Meter, *, at_once: int = _AT_ONCE
) -> list[Talker]:
    """`count` sessions, each with a connection of its own."""
    talkers = [TALKERS[kind](meter) for _ in range(count)]
    for start in range(0, count, at_once):
        await asyncio.gather(*(t.open(_HOST, port) for t in talkers[start : start + at_once]))
    return talkers


async def measure(options: argparse.Namespace) -> Load:
    meter = Meter()
    talkers = await open_talkers(options.kind, options.port, options.sessions, meter)
    gc.collect()
    gc.disable()
    meter.start(talkers)
    await asyncio.sleep(options.warm)
    meter.latencies = latencies = type(meter.latencies)("d")
    before = _clocks(options.pid)
    await asyncio.sleep(options.seconds)
    count = len(latencies)
    spent = [b - a for a, b in zip(before, _clocks(options.pid), strict=True)]
    memory = resident_bytes(options.pid)
    await meter.stop()
    for talker in talkers:
        talker.close()
    wall, server, client, core = spent
    ordered = sorted(latencies[:count])
    if not ordered:
        meter.fail("no round was finished in the time measured")
        ordered = [0.0]
    return Load(
        kind=options.kind,
        sessions=options.sessions,
        seconds=wall,
        rate=count / wall,
        p50_ms=1000 * ordered[len(ordered) // 2],
        p99_ms=1000 * ordered[int(len(ordered) * 0.99)],
        max_ms=1000 * ordered[-1],
        server_cpu=server / wall,
        client_cpu=client / wall,
        foreign=max(0.0, core - server) / wall,
        cpu_ms_per_round=1000 * server / max(1, count),
        memory=memory,
        rounds=meter.rounds,
        failures=meter.failures,
    )


def _clocks(pid: int) -> tuple[float, float, float, float]:
    return time.perf_counter(), cpu_seconds(pid), time.process_time(), busy_seconds(SERVER_CORE)


def run(main: Any) -> Any:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=TALKERS, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="the server's process")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--warm", type=float, default=1.0)
    pin(LOAD_CORE)
    print(msgspec.json.encode(run(measure(parser.parse_args()))).decode())
