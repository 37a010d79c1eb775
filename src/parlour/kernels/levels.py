"""How well code can be confined on this machine: found out by doing it, said in words."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from parlour.errors import KernelUnavailable

Level = Literal["full", "landlock", "none"]

INSIDE = Path(__file__).parent / "inside"
NAME = "parlour_kernel"
"""What the package inside is called there: the interpreter need not have Parlour."""

BOOT = f"""
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location({NAME!r}, sys.argv[1] + "/__init__.py",
    submodule_search_locations=[sys.argv[1]])
sys.modules[{NAME!r}] = module = module_from_spec(spec)
spec.loader.exec_module(module)
"""
_PROBE = f"""
from {NAME} import landlock, spaces, syscalls, walls
import os, sys
def landlocked():
    if not syscalls.known():
        return "this processor's system calls are not known here"
    return "" if landlock.version() else "this kernel has no Landlock (Linux 5.13 has it)"
def full():
    try:
        if spaces.enter(walls.id_maps(), network=False):
            _, status = os.wait()
            return "" if status == 0 else os.read(read, 500).decode(errors="replace")
        status = 1
        try:
            spaces.make_base(sys.argv[2], [], network=False)
            status = 0
        except OSError as error:
            os.write(write, str(error).encode())
        os._exit(status)
    except OSError as error:
        return str(error)
read, write = os.pipe()
why = landlocked()
print(repr((why, why or full())))
"""
_SECONDS = 30.0


class Found(NamedTuple):
    """What this machine allows: empty texts where it does, else why not."""

    landlock: str
    full: str

    @property
    def best(self) -> Level:
        return "full" if not self.full else "landlock" if not self.landlock else "none"


@lru_cache(maxsize=1)
def probe() -> Found:
    """Try every level in a process of its own; the result is kept."""
    if sys.platform != "linux":
        why = f"only Linux has what it takes, and this is {sys.platform}"
        return Found(why, why)
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-E", "-P", "-c", BOOT + _PROBE, str(INSIDE), "/"],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    try:
        landlock, full = _pair(done.stdout)
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["the probe said nothing"])[-1][:200]
        return Found(why, why)
    return Found(landlock, full)


def _pair(text: str) -> tuple[str, str]:
    from ast import literal_eval

    try:
        found = literal_eval(text)
    except SyntaxError as error:
        raise ValueError(text) from error
    landlock, full = found
    return str(landlock), str(full)


_CURES = {
    "full": (
        "allow user namespaces (Debian, Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns"
        "=0; Docker: a seccomp profile that allows unshare and mount)"
    ),
    "landlock": "run it on Linux 5.13 or newer, on x86-64 or ARM64, with Landlock among its LSMs",
}


def choose(wanted: str) -> Level:
    """The level for a setting of `sandbox`. Raises `KernelUnavailable` that says the cure."""
    if wanted == "none":
        return "none"
    found = probe()
    if wanted == "required":
        if found.best == "none":
            raise KernelUnavailable(
                f"code cannot be confined here ({found.landlock}); {_CURES['landlock']}, or write "
                'sandbox = "none" under [kernels] if only you give it code'
            )
        return found.best
    why = found.full if wanted == "full" else found.landlock
    if why:
        raise KernelUnavailable(
            f'sandbox = "{wanted}" cannot be had here ({why}); {_CURES[wanted]}'
        )
    return "full" if wanted == "full" else "landlock"
