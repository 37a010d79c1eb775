"""The system calls of Linux that Python has no words for. Raises `OSError` as the kernel says."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path

NEWNS, NEWCGROUP, NEWUTS = 0x00020000, 0x02000000, 0x04000000
NEWIPC, NEWUSER, NEWPID, NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
BIND, MOVE, REC, PRIVATE = 4096, 8192, 16384, 1 << 18
_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000

_SET_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP = 1, 4, 24
_SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS, _CAP_AMBIENT = 36, 38, 47
_SET_KEEPCAPS, _RAISE, _CLEAR_ALL = 8, 2, 4
_CAPABILITY_V3 = 0x20080522
_LAST_CAPABILITY = 63

_NUMBERS = {
    "x86_64": {"pivot_root": 155, "seccomp": 317, "capset": 126, "setns": 308, "unshare": 272},
    "aarch64": {"pivot_root": 41, "seccomp": 277, "capset": 91, "setns": 268, "unshare": 97},
}
_COMMON = {"mount_setattr": 442, "landlock": 444, "landlock_rule": 445, "landlock_self": 446}

libc = ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """The architecture, as the tables of system calls know it."""
    return platform.machine()


def call(name: str, *arguments: object) -> int:
    """A system call by its name."""
    number = _COMMON.get(name) or _NUMBERS.get(machine(), {}).get(name)
    if number is None:
        raise OSError(38, f"{name} is not known on {machine()}")
    result: int = libc.syscall(number, *arguments)
    return _checked(result, name)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    call("unshare", ctypes.c_int(flags))


def setns(descriptor: int, kind: int) -> None:
    call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    done: int = libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _checked(done, f"mount {target}")


def bind(source: str, target: str) -> None:
    mount(source, target, flags=BIND | REC)


def unmount(target: str) -> None:
    _checked(libc.umount2(target.encode(), _DETACH), f"umount {target}")


def restrict_mount(target: str, attributes: int, *, below: bool = True) -> None:
    """Add attributes (`RDONLY`, ...) to a mount, and to those below it."""
    wanted = ctypes.create_string_buffer(struct.pack("QQQQ", attributes, 0, 0, 0))
    flags = _AT_RECURSIVE if below else 0
    call(
        "mount_setattr",
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(target.encode()),
        ctypes.c_uint(flags),
        wanted,
        ctypes.c_size_t(32),
    )


def pivot(root: str) -> None:
    """Make `root` the root of everything; nothing of the old one can be reached."""
    os.chdir(root)
    call("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    unmount(".")
    os.chdir("/")


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(number) for number in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(libc.prctl(ctypes.c_int(option), *padded), f"prctl {option}")


def die_with_parent() -> None:
    _prctl(_SET_PDEATHSIG, 9)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents have ended."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def be_dumpable() -> None:
    """Let this process look at itself in /proc again after a change of its user."""
    _prctl(_SET_DUMPABLE, 1)


def gain_nothing_more() -> None:
    _prctl(_SET_NO_NEW_PRIVS, 1)


def drop_capabilities(keep: int = 0) -> None:
    """Give up every capability but those in the set `keep`, also for programs run later."""
    for number in range(_LAST_CAPABILITY + 1):
        try:
            _prctl(_CAPBSET_DROP, number)
        except OSError:
            # Past the last one that this kernel knows, or none of ours to give up.
            break
    _prctl(_CAP_AMBIENT, _CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_V3, 0))
    sets = struct.pack("IIIIII", keep, keep, keep, 0, 0, 0)
    call("capset", header, ctypes.create_string_buffer(sets))
    for number in range(32):
        if keep >> number & 1:
            _prctl(_CAP_AMBIENT, _RAISE, number)


def keep_capabilities() -> None:
    """Do not lose what may be done with a change of the user."""
    _prctl(_SET_KEEPCAPS, 1)


def held_capabilities() -> int:
    """The set of what this process may do."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def install_filter(program: bytes) -> None:
    """Set a seccomp program for this process and all that it starts."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    call("seccomp", ctypes.c_uint(1), ctypes.c_uint(0), ctypes.create_string_buffer(head))
