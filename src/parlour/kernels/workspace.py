"""A kernel's folder seen from outside, whose every name and link its code may have chosen.

Nothing here follows a link, opens what is no plain file, or looks at more than a bounded number of
entries.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

_MOST_ENTRIES = 20_000
_MOST_DEEP = 16
_PASSED_OVER = frozenset({"__pycache__"})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Mark(NamedTuple):
    """What tells one state of a file from another."""

    size: int
    changed: int
    node: int


def marks(folder: Path) -> dict[str, Mark]:
    """The plain files below a folder by their relative path; hidden ones are passed over."""
    found: dict[str, Mark] = {}
    todo = [(PurePosixPath(), 0)]
    entries = 0
    while todo and entries < _MOST_ENTRIES:
        place, deep = todo.pop()
        try:
            with _opened(folder, place) as descriptor, os.scandir(descriptor) as listing:
                for entry in listing:
                    entries += 1
                    if entries > _MOST_ENTRIES:
                        break
                    if entry.name.startswith(".") or entry.name in _PASSED_OVER:
                        continue
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(about.st_mode) and deep < _MOST_DEEP:
                        todo.append((place / entry.name, deep + 1))
                    elif stat.S_ISREG(about.st_mode):
                        mark = Mark(about.st_size, about.st_mtime_ns, about.st_ino)
                        found[str(place / entry.name)] = mark
        except OSError:
            continue
    return found


def changed(before: dict[str, Mark], after: dict[str, Mark]) -> list[str]:
    """The files that are new or other than they were, the first changed first."""
    new = [name for name, mark in after.items() if before.get(name) != mark]
    return sorted(new, key=lambda name: (after[name].changed, name))


@contextmanager
def _opened(folder: Path, place: PurePosixPath) -> Generator[int]:
    descriptor = os.open(folder, _FOLDER)
    try:
        for part in place.parts:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reading(folder: Path, relative: str) -> Generator[BinaryIO]:
    """A plain file below a folder. Raises `OSError`, also where a link is on the way."""
    path = PurePosixPath(relative)
    with _opened(folder, path.parent) as descriptor:
        handle = os.open(path.name, _FILE, dir_fd=descriptor)
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(22, f"{relative} is no plain file")
        yield opened


def put(folder: Path, name: str, source: Path) -> None:
    """Have a copy of a file in a folder, instead of whatever had its name. Raises `OSError`."""
    draft = f".{secrets.token_hex(8)}"
    with _opened(folder, PurePosixPath()) as descriptor:
        try:
            handle = os.open(
                draft,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
                0o644,
                dir_fd=descriptor,
            )
            with os.fdopen(handle, "wb") as out, source.open("rb") as read:
                shutil.copyfileobj(read, out)
                owner = os.fstat(descriptor).st_uid
                if os.geteuid() == 0 and owner:
                    os.fchown(handle, owner, owner)
            os.rename(draft, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except BaseException:
            with _quietly():
                os.unlink(draft, dir_fd=descriptor)
            raise


@contextmanager
def _quietly() -> Generator[None]:
    try:
        yield
    except OSError:
        return
