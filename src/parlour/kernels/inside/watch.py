"""What a kernel's processes use together: memory, time, their number, its workspace.

Limits of the system count for one process each; this counts what they come to.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_MOST_ENTRIES = 20_000
_BLOCK = 512


class Usage(NamedTuple):
    """Of all processes of a kernel: bytes of memory, seconds of the processors, how many."""

    memory: int
    seconds: float
    processes: int


def usage(members: list[int]) -> Usage:
    memory, ticks = 0, 0
    for process in members:
        with contextlib.suppress(OSError, ValueError, IndexError):
            memory += _proportional(process)
            ticks += _ticks(process)
    return Usage(memory, ticks / _TICK, len(members))


def _proportional(process: int) -> int:
    """Its own memory, and its share of what it shares with others."""
    total = 0
    with Path(f"/proc/{process}/smaps_rollup").open("rb") as lines:
        for line in lines:
            if line.startswith((b"Pss:", b"SwapPss:")):
                total += int(line.split()[1]) * 1024
    return total


def _ticks(process: int) -> int:
    fields = _stat(process)
    return sum(int(field) for field in fields[11:15])


def _stat(process: int) -> list[bytes]:
    """The fields of /proc/N/stat after the name, which may hold anything."""
    return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()


def processes() -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - thousands of names, no paths
        if name.isdecimal():
            yield int(name)


def space_of(process: int) -> str:
    """The process namespace that a process is in; "" if it is gone."""
    try:
        return os.readlink(f"/proc/{process}/ns/pid")  # noqa: PTH115
    except OSError:
        return ""


def group_of(process: int) -> str:
    """The process group of a process; "" if it is gone."""
    try:
        return _stat(process)[2].decode()
    except (OSError, IndexError):
        return ""


def busy_ticks(members: list[int]) -> int:
    """How long processes have computed, in ticks; cheap to look at."""
    total = 0
    for process in members:
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += _ticks(process)
    return total


def folder_size(folder: str, enough: int) -> int:
    """Bytes on the disk below a folder; no link is followed.

    It stops counting past `enough`, and a folder of too many entries counts as that.
    """
    total = entries = 0
    todo = [folder]
    while todo:
        try:
            found = list(os.scandir(todo.pop()))
        except OSError:
            continue
        for entry in found:
            entries += 1
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
        if total > enough:
            return total
        if entries > _MOST_ENTRIES:
            return enough + 1
    return total
