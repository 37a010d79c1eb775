"""Namespaces: a small private world for the fork server, and one in it for each kernel.

The fork server's world is made once: a root that holds the interpreter and the system's libraries,
all read-only, and the folder of the workspaces. A kernel's world is made from it in a few calls:
its own processes, its own workspace, everything else gone.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
from pathlib import Path

from . import linux

_STAND = "/sys"
"""Any folder that is there everywhere: the new root grows on it, out of everybody's sight."""
WORK = "/.workspaces"
_HELD = "/.held"
_TMP = "/tmp"  # noqa: S108 - everybody has one of his own
WORKSPACE, STATE = "/workspace", "/state"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "alternatives",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "timezone",
)
_ETC_WITH_NETWORK = ("ca-certificates", "gai.conf", "pki", "services", "ssl")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def python_places() -> list[str]:
    """Where the running interpreter and its libraries are."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    places |= {str(Path(sys.executable).parent), str(Path(sys.executable).resolve().parent)}
    if site.ENABLE_USER_SITE:
        places.add(site.getusersitepackages())
    return sorted(place for place in places if Path(place).is_dir() and place not in ("/", ""))


def etc_files(*, network: bool) -> list[str]:
    """What programs need of /etc."""
    names = _ETC + (_ETC_WITH_NETWORK if network else ())
    return [f"/etc/{name}" for name in names]


def enter(maps: tuple[str, str], *, network: bool) -> int:
    """Put this process into namespaces of its own; its first child becomes their process 1.

    `maps` are the user and group ids inside. Returns nothing before they are set; the child's
    process id is returned in the parent, 0 in the child.
    """
    ready, tell = os.pipe()
    done, written = os.pipe()
    me = os.getpid()
    helper = os.fork()
    if helper == 0:
        # Ids of a namespace are set from outside of it.
        os.close(tell)
        status = 1
        if os.read(ready, 1):
            with contextlib.suppress(OSError):
                _map_ids(me, maps)
                status = 0
        os.write(written, b"1" if status == 0 else b"0")
        os._exit(status)
    kinds = linux.NEWUSER | linux.NEWNS | linux.NEWPID | linux.NEWIPC | linux.NEWUTS
    kinds |= linux.NEWCGROUP | (0 if network else linux.NEWNET)
    try:
        linux.unshare(kinds)
        os.write(tell, b"1")
        answer = os.read(done, 1)
    finally:
        for descriptor in (ready, tell, done, written):
            os.close(descriptor)
        os.waitpid(helper, 0)
    if answer != b"1":
        raise OSError(1, "the namespace's user ids could not be set")
    return os.fork()


def _map_ids(process: int, maps: tuple[str, str]) -> None:
    folder = Path("/proc") / str(process)
    if os.geteuid() != 0:
        (folder / "setgroups").write_text("deny")
    (folder / "uid_map").write_text(maps[0])
    (folder / "gid_map").write_text(maps[1])


def make_base(workspaces: str, extra: list[str], *, network: bool) -> list[str]:
    """The fork server's root; called as process 1 of its namespaces.

    What lies where every kernel has a /tmp of its own is returned, for `make_private`.
    """
    linux.mount("none", "/", flags=linux.REC | linux.PRIVATE)
    kept = {name: _text(f"/etc/{name}") for name in ("resolv.conf", "hosts")} if network else {}
    linux.mount("parlour", _STAND, "tmpfs", linux.NOSUID | linux.NODEV, "mode=755,size=8m")
    for folder in ("proc", "tmp", "dev/pts", "dev/shm", "etc", WORKSPACE[1:], STATE[1:]):
        (Path(_STAND) / folder).mkdir(parents=True, exist_ok=True)
    inner: list[str] = []
    for place in (*_SYSTEM, *etc_files(network=network), *python_places(), *extra):
        if Path(place).is_relative_to(_TMP):
            inner.append(place)
            _show(place, f"{_STAND}{_HELD}/{len(inner)}")
        else:
            _show(place)
    _write_etc(Path(_STAND) / "etc", kept)
    for name in _DEVICES:
        _show(f"/dev/{name}")
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ):
        (Path(_STAND) / "dev" / name).symlink_to(target)
    held = Path(f"{_STAND}{WORK}")
    held.mkdir()
    linux.bind(workspaces, str(held))
    linux.mount("proc", f"{_STAND}/proc", "proc", linux.NOSUID | linux.NODEV | linux.NOEXEC)
    linux.restrict_mount(str(held), linux.NOSUID | linux.NODEV)
    linux.pivot(_STAND)
    linux.restrict_mount("/", linux.RDONLY | linux.NOSUID | linux.NODEV, below=False)
    _make_tmp("mode=1777,size=64m", inner)
    return inner


def _make_tmp(options: str, inner: list[str]) -> None:
    linux.mount("tmp", _TMP, "tmpfs", linux.NOSUID | linux.NODEV, options)
    for number, place in enumerate(inner, 1):
        source, target = Path(f"{_HELD}/{number}"), Path(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        linux.bind(str(source), place)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _show(place: str, at: str = "") -> None:
    """Have a file, folder or link of the host in the new root, under the same name or `at`."""
    source, target = Path(place), Path(at or _STAND + place)
    if not source.exists() or target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink() and place in _SYSTEM:
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    linux.bind(str(source.resolve()), str(target))
    safe = linux.RDONLY | linux.NOSUID
    linux.restrict_mount(str(target), safe if place.startswith("/dev/") else safe | linux.NODEV)


def _write_etc(etc: Path, kept: dict[str, str]) -> None:
    files = {
        "passwd": "root:x:0:0:root:/:/bin/false\nkernel:x:1000:1000:kernel:/workspace:/bin/sh\n",
        "group": "root:x:0:\nkernel:x:1000:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        **kept,
    }
    for name, text in files.items():
        (etc / name).write_text(text, encoding="utf-8")


def make_private(work: str, state: str, inner: list[str], *, shared_bytes: int) -> None:
    """A kernel's world; called in its own first process, which is process 1 in it.

    `work` and `state` are below the folder of the workspaces, `inner` is what `make_base` gave.
    """
    linux.unshare(linux.NEWNS | linux.NEWIPC | linux.NEWUTS)
    plain = linux.NOSUID | linux.NODEV
    linux.mount("proc", "/proc", "proc", plain | linux.NOEXEC)
    size = f"mode=1777,size={shared_bytes},nr_inodes=8192"
    _make_tmp(size, inner)
    linux.mount("shm", "/dev/shm", "tmpfs", plain, size)  # noqa: S108 - nobody else has this one
    with contextlib.suppress(OSError):
        # Without it `!command` has no terminal.
        linux.mount(
            "pts", "/dev/pts", "devpts", linux.NOSUID | linux.NOEXEC, "newinstance,ptmxmode=0666"
        )
    linux.bind(f"{WORK}/{work}", WORKSPACE)
    linux.bind(f"{WORK}/{state}", STATE)
    linux.unmount(WORK)


def enter_user(user: int) -> None:
    """Become `user` of the fork server's world, in a user namespace with nobody else."""
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    linux.be_dumpable()
    linux.unshare(linux.NEWUSER)
    proc = Path("/proc/self")
    (proc / "setgroups").write_text("deny")
    (proc / "uid_map").write_text(f"1000 {user} 1")
    (proc / "gid_map").write_text(f"1000 {user} 1")
