"""Real kernels for tests: one loop and one fork server for many of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from parlour.kernels.forked import ForkHost, ForkKernel
from parlour.kernels.kernel import Ended, Output, Place, Printed, Raised, Returned
from parlour.kernels.levels import probe
from parlour.settings import KernelSettings

SECONDS = 60.0
QUICK = KernelSettings(preload=(), file_bytes=16 * 2**20)


class Rig:
    """A host whose kernels are started, used and ended from plain test functions."""

    def __init__(self, folder: Path, settings: KernelSettings = QUICK) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings = settings
        self._runner = asyncio.Runner()
        self.host = self.run(_made(settings, folder))
        self._count = itertools.count(1)
        self._open: list[ForkKernel] = []

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(SECONDS):
                return await coroutine

        return self._runner.run(bounded())

    def place(self, name: str = "") -> Place:
        folder = self.folder / (name or f"place-{next(self._count)}")
        place = Place(work=folder / "work", state=folder / "state")
        for each in (place.work, place.state):
            each.mkdir(parents=True, exist_ok=True)
        return place

    def start(self, place: Place | None = None) -> ForkKernel:
        kernel = self.run(self.host.start(place or self.place()))
        self._open.append(kernel)
        return kernel

    def cell(self, kernel: ForkKernel, code: str) -> list[Output]:
        async def collect() -> list[Output]:
            return [output async for output in kernel.execute(code)]

        return self.run(collect())

    def value(self, kernel: ForkKernel, code: str) -> str:
        """The plain text of a cell's value, or of what it raised."""
        for output in self.cell(kernel, code):
            if isinstance(output, Returned):
                return output.data["text/plain"]
            if isinstance(output, Raised):
                return f"{output.ename}: {output.evalue}"
        return ""

    def printed(self, kernel: ForkKernel, code: str, name: str = "stdout") -> str:
        outputs = self.cell(kernel, code)
        return "".join(o.text for o in outputs if isinstance(o, Printed) and o.name == name)

    def status(self, kernel: ForkKernel, code: str) -> str:
        ended = self.cell(kernel, code)[-1]
        assert isinstance(ended, Ended)
        return ended.status

    def close_kernels(self) -> None:
        for kernel in self._open:
            self.run(kernel.close())
        self._open.clear()

    def close(self) -> None:
        self.close_kernels()
        self.run(self.host.close())
        self._runner.close()


async def _made(settings: KernelSettings, folder: Path) -> ForkHost:
    return ForkHost(settings, folder)


LEVELS = ("full", "landlock")
WHO = ("root", "unprivileged")


def need(level: str) -> None:
    """Skip where the machine has no such level, and say why; where CI names it, it must be there.

    CI sets PARLOUR_TEST_LEVELS to the levels that its machines have: `full,landlock`.
    """
    found = probe()
    why = {"full": found.full, "landlock": found.landlock}[level]
    if not why:
        return
    reason = f"this machine cannot confine code at the level {level}: {why}"
    if level in os.environ.get("PARLOUR_TEST_LEVELS", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def with_level(level: str) -> KernelSettings:
    return replace(QUICK, sandbox=level)


def inside_processes(root: int | None = None) -> list[psutil.Process]:
    """All processes of fork servers below a process."""
    found: list[psutil.Process] = []
    for process in psutil.Process(root).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("parlour_kernel" in part for part in process.cmdline()):
                found.append(process)
    return found
