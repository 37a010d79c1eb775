"""Kernels: forked from a warm server and sandboxed, against a cold ipykernel in the same run."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from msgspec.structs import replace

from bench.report import Figure
from parlour.kernels.forked import ForkHost
from parlour.kernels.jupyter import JupyterKernel
from parlour.kernels.kernel import Ended, Kernel, Place
from parlour.settings import KernelSettings

_STACK = "import numpy, pandas, matplotlib.pyplot"
_FRAME = """
import numpy as np, pandas as pd
rows = 800_000
df = pd.DataFrame({f"n{i}": np.random.rand(rows) for i in range(14)})
df["when"] = pd.date_range("2020", periods=rows, freq="s")
df["kind"] = pd.Categorical(np.random.choice(["a", "b", "c"], rows))
int(df.memory_usage(deep=True).sum())
"""
_MANY = 200
_MIB = 2**20


def kernels(*, quick: bool) -> list[Figure]:
    return asyncio.run(_measure(quick=quick))


@asynccontextmanager
async def _host() -> AsyncIterator[tuple[ForkHost, Path]]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        host = ForkHost(KernelSettings(memory_bytes=2 * 2**30), folder)
        try:
            await host.warm_up()
            yield host, folder
        finally:
            await host.close()


def _place(folder: Path, name: str) -> Place:
    place = Place(work=folder / name / "work", state=folder / name / "state")
    for each in (place.work, place.state):
        each.mkdir(parents=True)
    return place


async def _cell(kernel: Kernel, code: str) -> None:
    async for output in kernel.execute(code):
        if isinstance(output, Ended):
            assert output.status == "ok", output


async def _cold(place: Place) -> JupyterKernel:
    kernel = JupyterKernel(replace(KernelSettings(), backend="jupyter", sandbox="none"), place)
    await kernel.begin()
    return kernel


async def _measure(*, quick: bool) -> list[Figure]:
    async with _host() as (host, folder):
        figures = await _ready_and_memory(host, folder, 2 if quick else 7)
        figures.append(await _round_trip(host, folder, 100 if quick else 1000))
        figures.append(await _checkpoint(host, folder, 2 if quick else 5))
        figures.append(await _many(host, folder, 20 if quick else _MANY))
    return figures


async def _ready_and_memory(host: ForkHost, folder: Path, times: int) -> list[Figure]:
    forked, cold, own, others = list[float](), list[float](), list[float](), list[float]()
    for number in range(times):
        place = _place(folder, f"ready-{number}")
        began = time.perf_counter()
        kernel = await host.start(place)
        await _cell(kernel, _STACK)
        forked.append(time.perf_counter() - began)
        own.append(_private_of_forked())
        await kernel.close()
        place = _place(folder, f"cold-{number}")
        began = time.perf_counter()
        reference = await _cold(place)
        await _cell(reference, _STACK)
        cold.append(time.perf_counter() - began)
        others.append(_private_of_ipykernel())
        await reference.close()
    ready, reference_ready = statistics.median(forked), statistics.median(cold)
    memory, reference_memory = statistics.median(own), statistics.median(others)
    return [
        Figure(
            group="kernels",
            name=f"ready with NumPy, pandas and matplotlib, sandbox {host.level}",
            measured=f"{ready * 1000:.1f} ms",
            compared=f"cold ipykernel {reference_ready * 1000:.0f} ms",
            value=ready / reference_ready,
            sense="at most",
            target=1 / 30,
        ),
        Figure(
            group="kernels",
            name="private memory of an idle kernel",
            measured=f"{memory:.1f} MiB",
            compared=f"ipykernel {reference_memory:.0f} MiB",
            value=memory / reference_memory,
            sense="at most",
            target=1 / 8,
        ),
    ]


def _children(word: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any(word in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _private_of_forked() -> float:
    """Of the youngest, which is the kernel."""
    youngest = max(_children("parlour_kernel"), key=lambda process: process.create_time())
    return youngest.memory_full_info().uss / _MIB


def _private_of_ipykernel() -> float:
    return max(p.memory_full_info().uss for p in _children("ipykernel")) / _MIB


async def _round_trip(host: ForkHost, folder: Path, times: int) -> Figure:
    kernel = await host.start(_place(folder, "trip"))
    reference = await _cold(_place(folder, "trip-cold"))
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(times):
        for name, one in (("ours", kernel), ("theirs", reference)):
            began = time.perf_counter()
            await _cell(one, "1 + 1")
            if number > 10:
                took[name].append(time.perf_counter() - began)
    await kernel.close()
    await reference.close()
    ours, theirs = statistics.median(took["ours"]), statistics.median(took["theirs"])
    return Figure(
        group="kernels",
        name="1 + 1",
        measured=f"{ours * 1000:.2f} ms",
        compared=f"jupyter_client {theirs * 1000:.2f} ms",
        value=ours / theirs,
        sense="at most",
        target=1.0,
    )


async def _checkpoint(host: ForkHost, folder: Path, times: int) -> Figure:
    place = _place(folder, "frame")
    saves, loads = list[float](), list[float]()
    kernel = await host.start(place)
    await _cell(kernel, _FRAME)
    for _ in range(times):
        began = time.perf_counter()
        saved = await kernel.snapshot()
        saves.append(time.perf_counter() - began)
        await kernel.restart()
        began = time.perf_counter()
        await kernel.restore()
        loads.append(time.perf_counter() - began)
        await _cell(kernel, "assert len(df) == 800_000 and df.n0.mean() > 0")
    await kernel.close()
    save, load = statistics.median(saves) * 1000, statistics.median(loads) * 1000
    return Figure(
        group="kernels",
        name=f"checkpoint and restore of a frame of {saved.bytes / 1e6:.0f} MB",
        measured=f"{save:.0f} + {load:.0f} ms",
        value=save + load,
        unit="ms",
        sense="at most",
        target=400.0,
    )


async def _many(host: ForkHost, folder: Path, count: int) -> Figure:
    threads = threading.active_count()
    kernels = [await host.start(_place(folder, f"many-{number}")) for number in range(count)]
    await asyncio.gather(*(_cell(kernel, _STACK) for kernel in kernels))
    used = sum(p.memory_full_info().pss for p in _children("parlour_kernel")) / _MIB
    more = threading.active_count() - threads
    for kernel in kernels:
        await kernel.close()
    return Figure(
        group="kernels",
        name=f"{count} kernels with the stack, all at once",
        measured=f"{used:,.0f} MiB, {more} more threads in the host",
        value=used / 1024 * _MANY / count,
        unit="GiB",
        sense="at most",
        target=8.0,
    )
