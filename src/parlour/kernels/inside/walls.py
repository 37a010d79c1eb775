"""From a fork of the server to a place from which code gets nowhere: identity, limits, rules."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
from pathlib import Path
from typing import Any

from . import landlock, linux, spaces, syscalls

FIRST_USER, USERS = 1_900_000_000, 1 << 24
"""User ids that belong to nobody, one for each workspace, where the server runs as root."""
_FEW_FIRST_USER, _FEW_USERS = 61_184, 4_336
"""The same where a container has only 65,536 of them."""
_WHOLE = 2**32 - 1
_NICE = 5
_FIRST_TO_GO = "600"
_OVERRIDE, _READ_SEARCH = 1 << 1, 1 << 2


def own_users() -> tuple[int, int]:
    """The first user id for workspaces, and how many there are; (own id, 1) if not root."""
    if os.geteuid() != 0:
        return os.geteuid(), 1
    fields = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    if len(fields) == 3 and int(fields[2]) == _WHOLE:  # noqa: PLR2004 - one line: everybody
        return FIRST_USER, USERS
    return _FEW_FIRST_USER, _FEW_USERS


def id_maps() -> tuple[str, str]:
    """The ids of the fork server's user namespace."""
    if os.geteuid() != 0:
        return f"0 {os.geteuid()} 1", f"0 {os.getegid()} 1"
    first, count = own_users()
    text = f"0 0 1\n1 {first} {count}"
    return text, text


def give_away(folders: list[str], first: int, count: int) -> int:
    """Make fresh folders a kernel's own; the user id to run it with."""
    owner = os.stat(folders[0]).st_uid  # noqa: PTH116 - beside chown
    if not first <= owner < first + count:
        owner = first + secrets.randbelow(count)
    for folder in folders:
        if os.stat(folder).st_uid != owner:  # noqa: PTH116
            os.chown(folder, owner, owner)
    return owner


def closed_to_others(paths: list[str]) -> bool:
    """Whether some of these paths cannot be reached or read by other users."""
    for path in paths:
        place = Path(path)
        try:
            if not place.stat().st_mode & 0o004:
                return True
            if any(not parent.stat().st_mode & 0o001 for parent in place.parents):
                return True
        except OSError:
            return True
    return False


def pass_key() -> int:
    """A capability that opens what is closed to others; Landlock still says what that may be."""
    held = linux.held_capabilities()
    return next((key for key in (_READ_SEARCH, _OVERRIDE) if held & key), 0)


def become(user: int) -> None:
    """Become another user, if this one may."""
    if os.geteuid() == 0 and user != 0:
        linux.keep_capabilities()
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        linux.be_dumpable()


def limit(limits: dict[str, Any], *, user_processes: int) -> None:
    """What one process may use. `user_processes` of others count as well."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    os.nice(_NICE)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    space = used * resource.getpagesize() + int(limits["memory_bytes"])
    for kind, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, int(limits["file_bytes"])),
        (resource.RLIMIT_NOFILE, int(limits["open_files"])),
        (resource.RLIMIT_NPROC, user_processes + int(limits["processes"])),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            most = min(most, ceiling)  # noqa: PLW2901 - the same limit, as far as it may go
        resource.setrlimit(kind, (most, most))


def close_in(
    *, full: bool, network: bool, writable: list[str], readable: list[str], key: int = 0
) -> None:
    """Shut the door: nothing is gained, touched or called from now on that is not listed.

    `key` is the capability that stays, see `pass_key`.
    """
    linux.drop_capabilities(key)
    linux.gain_nothing_more()
    rules = landlock.Rules(network=network)
    if full:
        rules.allow("/", landlock.READ)
    else:
        places = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
        places += [*spaces.etc_files(network=network), *spaces.python_places(), *readable]
        places += ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/proc/self"]
        places += ["/etc/resolv.conf"] if network else []
        for place in places:
            rules.allow(place, landlock.READ)
    for place in writable:
        rules.allow(place, landlock.WRITE)
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        rules.allow(f"/dev/{name}", landlock.USE)
    if full:
        for name in ("pts", "ptmx"):
            rules.allow(f"/dev/{name}", landlock.USE | landlock.READ)
    rules.enforce()
    signals = full or landlock.version() >= landlock.WITH_SCOPES
    linux.install_filter(syscalls.program(network=network, confined=full, signals=signals))
