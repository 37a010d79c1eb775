"""The machine under the benchmark: which core is whose, and how busy processes and cores are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE = _CORES[-1]
LOAD_CORE = _CORES[0]


def pin(core: int) -> None:
    """Keep this process, and what it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children, of all their threads, in seconds."""
    process = psutil.Process(pid)
    return sum(_cpu(each.pid) for each in (process, *process.children(recursive=True)))


def _cpu(pid: int) -> float:
    try:
        # The clock of another process (see clock_getcpuclockid(3)): exact, where /proc/PID/stat
        # counts in hundredths of a second.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system


def resident_bytes(pid: int) -> int:
    """Memory of a process and its children."""
    process = psutil.Process(pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


def busy_seconds(core: int) -> float:
    """How long a core has worked since the machine started, for whomever."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    for line in lines:
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, line.split()[1:])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return 0.0
