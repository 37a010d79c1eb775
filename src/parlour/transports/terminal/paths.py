"""Files of the person at the terminal: which ones a line names, and whether they can be sent."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

_PIECE = 256 * 1024
_FIRST_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"])*"|'[^']*'|[^\s"'\\])+""")

_KILO = 1000


def split_paths(line: str) -> tuple[Path, ...]:
    """The files that a line names: one path as it is, or several with quotes as in a shell."""
    whole = Path(line.strip()).expanduser()
    if line.strip() and whole.is_file():
        return (whole,)
    try:
        parts = shlex.split(line)
    except ValueError:
        parts = [line.strip()]
    return tuple(Path(part).expanduser() for part in parts)


def split_file_line(rest: str) -> tuple[Path, str]:
    """The path and the text of `/file PATH [text]`; quotes hold a path with spaces together."""
    if Path(rest).expanduser().is_file():
        return Path(rest).expanduser(), ""
    found = _FIRST_WORD.match(rest)
    word, text = (found.group(), rest[found.end() :]) if found else (rest, "")
    try:
        return Path("".join(shlex.split(word))).expanduser(), text.strip()
    except ValueError:
        return Path(rest).expanduser(), ""


def complaint_about_file(path: Path) -> str:
    """Why a path cannot be sent, or ""."""
    if path.is_dir():
        return f"{path} is a folder."
    if not path.is_file():
        return f"There is no file {path}."
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})."


def media_type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """A file's bytes, read in a thread."""
    handle = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(handle.read, _PIECE):
            yield piece
    finally:
        handle.close()


def copy_beside(source: Path, folder: Path, name: str) -> Path:
    """Copy a file into a folder under `name`, or a name like it if that is taken."""
    folder = folder.expanduser()
    place, number = folder / name, 1
    while True:
        try:
            with place.open("xb") as copy, source.open("rb") as original:
                while piece := original.read(_PIECE):
                    copy.write(piece)
        except FileExistsError:
            number += 1
            place = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        else:
            return place


def size_of(size: int) -> str:
    """A size in bytes as people write it."""
    if size < _KILO:
        return f"{size} B"
    return f"{size / _KILO:.0f} kB" if size < _KILO**2 else f"{size / _KILO**2:.1f} MB"
