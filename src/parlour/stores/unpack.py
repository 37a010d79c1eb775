"""Reads the zips that `export` writes, from whoever gives them: name, size and line are doubted.

Nothing of it is put anywhere under a name that stands in the zip without having been checked, and
no more is unpacked than a conversation could have been packed from. Knows nothing of stores.
"""

from __future__ import annotations

import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self
from zipfile import BadZipFile, ZipFile, ZipInfo

import msgspec
from msgspec import Raw, Struct

from parlour.errors import Refused

_SESSION = re.compile(r"sessions/([0-9a-f]{32})/(.+)", re.DOTALL)
_ID = re.compile(r"[0-9a-f]{32}")
_MOST_ENTRIES = 100_000
_LINE = 16 * 1024 * 1024
_ABOUT = 1024 * 1024
_PIECE = 256 * 1024
_PACKED = 100
"""More than so many times its size nothing is packed that people have said."""
_LATEST = 1e11
_FREE = 64 * 1024 * 1024
_BROKEN = (BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, OSError, ValueError)


class About(Struct):
    """What `session.json` says of a session."""

    id: str
    user: str
    created: str
    records: int
    title: str = ""
    closed: bool = False


class Line(Struct):
    """A line of `records.jsonl`."""

    seq: int
    at: float
    event: Raw


class UserFile(Struct):
    """`user.json`: the variables of a user, and the Python kinds of those that JSON has not."""

    id: str
    variables: dict[str, Raw]
    kinds: dict[str, str] = {}


class Unpacked:
    """One zip, open for reading: `with Unpacked(path) as zip:`. Everything raises `Refused`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = ZipFile(path)
            self._left = _FREE + _PACKED * path.stat().st_size
        except _BROKEN as error:
            raise _not_ours(f"{path} is no zip that can be read ({error})") from None
        self._entries = self._checked()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._zip.close()

    @property
    def sessions(self) -> list[str]:
        """The ids of the sessions in it, in their order."""
        found = (_SESSION.fullmatch(name) for name in self._entries)
        return list(dict.fromkeys(match[1] for match in found if match is not None))

    def about(self, session: str) -> About:
        """What is known of a session."""
        data = self._whole(f"sessions/{session}/session.json")
        try:
            about = msgspec.json.decode(data, type=About)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_ours(f"sessions/{session}/session.json cannot be read ({error})") from None
        if about.id != session:
            raise _not_ours(f"sessions/{session}/session.json is of another session")
        return about

    def user(self) -> UserFile | None:
        """The user's variables, if they are there."""
        if "user.json" not in self._entries:
            return None
        try:
            return msgspec.json.decode(self._whole("user.json"), type=UserFile)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_ours(f"user.json cannot be read ({error})") from None

    def lines(self, session: str) -> Iterator[Line]:
        """A session's records, which are numbered 1, 2, 3 and so on."""
        name = f"sessions/{session}/records.jsonl"
        decoder = msgspec.json.Decoder(Line)
        seq = 0
        with self._open(name) as source:
            while data := self._bounded(source.readline, _LINE + 1, name):
                if len(data) > _LINE:
                    raise Refused("too_large", f"{name} has a line of more than {_LINE:,} bytes")
                try:
                    line = decoder.decode(data)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise _not_ours(f"{name}, line {seq + 1}: {error}") from None
                seq += 1
                if line.seq != seq:
                    raise _not_ours(
                        f"{name} has record {line.seq} where {seq} should be; what users export "
                        "themselves is not the whole, `parlour sessions export` writes it"
                    )
                if not 0 <= line.at < _LATEST:
                    raise _not_ours(f"{name}, line {seq}: {line.at} is no time")
                yield line

    def file(self, session: str, file: str) -> str | None:
        """The entry that has the bytes of a file that was said; None if they are not there."""
        prefix = f"sessions/{session}/files/{file}/"
        return next((name for name in self._entries if name.startswith(prefix)), None)

    def workspace(self, session: str) -> Iterator[tuple[str, PurePosixPath]]:
        """The other files of a session: entries, and where in its folder they belong."""
        prefix = f"sessions/{session}/workspace/"
        for name in self._entries:
            if name.startswith(prefix):
                place = PurePosixPath(name.removeprefix(prefix))
                if _ID.fullmatch(place.parts[0].partition(".")[0]):
                    raise _not_ours(f"{name} would take the place of a file that was said")
                yield name, place

    def copy(self, name: str, target: BinaryIO, limit: int | None = None) -> int:
        """Write an entry's bytes; how many. With `limit` it may have no more."""
        size = 0
        with self._open(name) as source:
            while data := self._bounded(source.read, _PIECE, name):
                size += len(data)
                if limit is not None and size > limit:
                    raise _not_ours(f"{name} is larger than the records say")
                target.write(data)
        return size

    # -- inside -----------------------------------------------------------------------------

    def _checked(self) -> dict[str, ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > _MOST_ENTRIES:
            raise Refused("too_large", f"{self._path} has more than {_MOST_ENTRIES:,} entries")
        entries: dict[str, ZipInfo] = {}
        for info in infos:
            name = info.filename
            if info.is_dir():
                continue
            if name in entries:
                raise _not_ours(f"it has two entries {name!a}")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _not_ours(f"its entry {name!a} is a link")
            parts = name.split("/")
            if any(part in ("", ".", "..") or not _plain(part) for part in parts):
                raise _not_ours(f"its entry {name!a} is no name of a file in a folder")
            if parts[0] == "sessions" and _SESSION.fullmatch(name) is None:
                raise _not_ours(f"its entry {name!a} belongs to no session")
            entries[name] = info
        return entries

    def _open(self, name: str) -> BinaryIO:
        info = self._entries.get(name)
        if info is None:
            raise _not_ours(f"it has no {name}")
        try:
            return self._zip.open(info)  # type: ignore[return-value]
        except _BROKEN as error:
            raise _not_ours(f"{name} cannot be read ({error})") from None

    def _whole(self, name: str) -> bytes:
        with self._open(name) as source:
            data = self._bounded(source.read, _ABOUT + 1, name)
        if len(data) > _ABOUT:
            raise Refused("too_large", f"{name} has more than {_ABOUT:,} bytes")
        return data

    def _bounded(self, read: Callable[[int], bytes], size: int, name: str) -> bytes:
        try:
            data = read(size)
        except _BROKEN as error:
            raise _not_ours(f"{name} cannot be read ({error})") from None
        self._left -= len(data)
        if self._left < 0:
            raise Refused(
                "too_large", f"{self._path} unpacks to far more than conversations would: a bomb"
            )
        return data


def _plain(part: str) -> bool:
    return part.isprintable() and not set(part) & set('\\:*?"<>|')


def _not_ours(why: str) -> Refused:
    return Refused("invalid", f"This is no export that can be imported: {why}.")
