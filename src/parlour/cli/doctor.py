"""What `parlour doctor` finds: whether this machine has what sessions' code needs, and the cure.

Looks by doing: it starts a kernel as the settings want it. Knows no terminal.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from parlour.errors import KernelError
from parlour.kernels.backends import host_for
from parlour.kernels.kernel import Ended, KernelHost, Place
from parlour.kernels.levels import probe
from parlour.settings import KernelSettings

_LEVELS = {
    "full": "namespaces, Landlock and seccomp: a private root, processes and network of its own",
    "landlock": "Landlock and seccomp: it reads what programs need, writes its workspace only",
    "none": "not confined: code may do what this process may",
}


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `good` None: neither good nor bad."""

    what: str
    found: str
    good: bool | None = None


def examine(settings: KernelSettings) -> list[Finding]:
    """Look at the kernels of these settings."""
    found = probe()
    findings = [
        Finding(what="namespaces", found=found.full or "allowed", good=not found.full or None),
        Finding(what="Landlock", found=found.landlock or "there", good=not found.landlock or None),
    ]
    return [*findings, *asyncio.run(_try(settings))]


async def _try(settings: KernelSettings) -> list[Finding]:
    with TemporaryDirectory(prefix="parlour-doctor-") as name:
        folder, place = Path(name), _place_in(Path(name))
        host: KernelHost | None = None
        try:
            host = host_for(settings, folder)
            level = Finding(
                what="sandbox",
                found=f"{host.level} ({_LEVELS[host.level]})",
                good=host.level != "none" or None,
            )
            return [level, await _run_a_cell(host, place)]
        except KernelError as error:
            return [Finding(what="kernels", found=str(error), good=False)]
        finally:
            if host is not None:
                await host.close()


def _place_in(folder: Path) -> Place:
    folder.chmod(0o755)
    place = Place(work=folder / "work", state=folder / "state")
    for each in (place.work, place.state):
        each.mkdir()
    return place


async def _run_a_cell(host: KernelHost, place: Place) -> Finding:
    await (await host.start(place)).close()
    began = time.perf_counter()
    kernel = await host.start(place)
    status = ""
    async for output in kernel.execute("1 + 1"):
        if isinstance(output, Ended):
            status = output.status
    took = (time.perf_counter() - began) * 1000
    await kernel.close()
    return Finding(what="kernels", found=f"a cell ran in {took:.0f} ms", good=status == "ok")
