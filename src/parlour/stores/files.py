"""Where users' files lie: a folder for each session, under names nobody can guess or steer.

A file's place is made of two ids that Parlour minted itself; what the user calls the file is data
beside it and in the log, and never part of a path.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from io import BufferedReader, BufferedWriter
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from parlour.errors import Refused, StoreUnavailable
from parlour.events import FileRef

_ID = re.compile(r"[0-9a-f]{32}")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
_MAX_NAME = 200
_CHUNK = 1024 * 1024
_CONDEMNED = ".erased"


class Files:
    """Files of sessions in folders below `root` (made when first needed).

    Without `root` they live in a temporary folder that `close` removes.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._temporary: Path | None = None

    @property
    def root(self) -> Path:
        if self._root is None:
            self._root = self._temporary = Path(mkdtemp(prefix="parlour-"))
        return self._root

    def workspace(self, session: str) -> Path:
        """The folder of a session, which exists when this returns."""
        folder = self.root / _checked(session)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def path(self, session: str, file: str) -> Path:
        """Where a file's bytes are. Raises `Refused` if there is no such file."""
        path = self.root / _checked(session) / _checked(file)
        if not path.is_file():
            raise Refused("unknown_file", "There is no such file.")
        return path

    def find(self, session: str, file: str) -> FileRef:
        """What is known of a stored file. Raises `Refused` if there is no such file."""
        try:
            return msgspec.json.decode(
                self.path(session, file).with_suffix(".json").read_bytes(), type=FileRef
            )
        except (OSError, msgspec.DecodeError):
            raise Refused("unknown_file", "There is no such file; upload it again.") from None

    def sessions(self) -> list[str]:
        """The sessions that have a folder."""
        if self._root is None or not self._root.is_dir():
            return []
        return sorted(folder.name for folder in self._root.iterdir() if _ID.fullmatch(folder.name))

    def stored(self, session: str) -> list[tuple[FileRef, Path]]:
        """A session's files and where their bytes are."""
        folder = self.root / _checked(session)
        found: list[tuple[FileRef, Path]] = []
        for beside in sorted(folder.glob("*.json")):
            if _ID.fullmatch(beside.stem) is None:
                continue
            with contextlib.suppress(Refused):
                found.append((self.find(session, beside.stem), beside.with_suffix("")))
        return found

    def others(self, session: str) -> list[Path]:
        """What handlers have put into the session's folder besides files; no links."""
        folder = self.root / _checked(session)
        return sorted(
            path
            for path in folder.rglob("*")
            if path.is_file()
            and not path.is_symlink()
            and (path.parent != folder or _ID.fullmatch(path.name.partition(".")[0]) is None)
        )

    def copy(self, session: str, refs: Iterable[FileRef], other: str) -> None:
        """Give another session some files of this one, under the same ids; durable on return.

        Those whose bytes are gone are left out. Raises `StoreUnavailable` if the disk refuses.
        """
        try:
            for ref in refs:
                source = self.root / _checked(session) / _checked(ref.id)
                if not source.is_file():
                    continue
                path = self.workspace(other) / ref.id
                partial = path.with_suffix(".part")
                with source.open("rb") as read, partial.open("xb") as write:
                    shutil.copyfileobj(read, write)
                    _sync(write)
                _place(partial, path, ref)
        except OSError as error:
            self.erase(other)
            raise _disk_refuses(error) from error

    def count(self, session: str) -> int:
        """How many files a session has, said or not."""
        folder = self.root / _checked(session)
        return sum(1 for _ in folder.glob("*.json")) if folder.is_dir() else 0

    async def add(
        self, session: str, chunks: AsyncIterable[bytes], *, name: str, type_: str, limit: int
    ) -> FileRef:
        """Stream a new file to disk.

        Raises `Refused` past `limit` bytes and `StoreUnavailable` if the disk refuses; either way
        nothing is left behind.
        """
        file = secrets.token_hex(16)
        folder = await asyncio.to_thread(self.workspace, session)
        path = folder / file
        partial = folder / f"{file}.part"
        size = 0
        try:
            handle = await asyncio.to_thread(partial.open, "xb")
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise Refused("too_large", f"A file may have at most {limit:,} bytes.")
                    await asyncio.to_thread(handle.write, chunk)
                await asyncio.to_thread(_sync, handle)
            finally:
                await asyncio.to_thread(handle.close)
            ref = FileRef(id=file, name=safe_name(name), type=safe_type(type_), size=size)
            await asyncio.to_thread(_place, partial, path, ref)
        except OSError as error:
            raise _disk_refuses(error) from error
        finally:
            if partial.exists():
                partial.unlink(missing_ok=True)
        return ref

    def keep(self, session: str, ref: FileRef, content: bytes | Path) -> None:
        """Give a session the file that `ref` names, from bytes or a copy of another file.

        It is durable on return. Raises `StoreUnavailable` if the disk refuses, or the other is
        shorter than `ref` says.
        """
        path = self.workspace(session) / _checked(ref.id)
        partial = path.with_suffix(".part")
        try:
            with partial.open("xb") as write:
                if isinstance(content, Path):
                    with content.open("rb") as read:
                        _copy(read, write, ref.size)
                else:
                    write.write(content)
                _sync(write)
            _place(partial, path, ref)
        except OSError as error:
            raise _disk_refuses(error) from error
        finally:
            partial.unlink(missing_ok=True)

    def erase(self, session: str) -> None:
        """Remove all files of a session. Raises `StoreUnavailable` if some cannot be removed."""
        folder = self.root / _checked(session)
        folders = (folder, folder.with_name(f"{session}{_CONDEMNED}"))
        # Somebody who still writes there may be in the way of the first time.
        for _ in range(3):
            for each in folders:
                shutil.rmtree(each, ignore_errors=True)
                _open_folders(each)
            if not any(each.exists() for each in folders):
                return
        raise StoreUnavailable(f"{folder} cannot be removed; mend its permissions and try again")

    def condemn(self, session: str) -> None:
        """Say that a session's files are to be erased, even if this process ends before.

        Raises `StoreUnavailable` if the disk refuses.
        """
        folder = self.root / _checked(session)
        condemned = folder.with_name(f"{session}{_CONDEMNED}")
        try:
            if folder.exists() and not condemned.exists():
                folder.rename(condemned)
        except OSError as error:
            raise _disk_refuses(error) from error

    def condemned(self) -> list[str]:
        """The sessions that somebody began to erase."""
        if self._root is None or not self._root.is_dir():
            return []
        found = self._root.glob(f"*{_CONDEMNED}")
        return sorted(folder.stem for folder in found if _ID.fullmatch(folder.stem))

    def close(self) -> None:
        """Remove what was only temporary."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = self._root = None


async def one_chunk(data: bytes) -> AsyncIterator[bytes]:
    """Bytes that are at hand already, as `Files.add` takes them."""
    yield data


def safe_name(name: str) -> str:
    """A user's file name without folders and control characters, never empty."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(letter for letter in last if letter.isprintable()).strip(". ")
    return clean[:_MAX_NAME] or "file"


def safe_type(type_: str) -> str:
    """A media type as it may stand in a header, without parameters."""
    plain = type_.partition(";")[0].strip().lower()
    return plain if _TYPE.fullmatch(plain) else "application/octet-stream"


def _checked(part: str) -> str:
    if _ID.fullmatch(part) is None:
        raise Refused("unknown_file", "There is no such file.")
    return part


def _disk_refuses(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the file could not be written ({error.strerror}); free space or mend the "
        "permissions of the folder beside the store"
    )


def _open_folders(folder: Path) -> None:
    """Undo what a session's code has done to be in the way: folders closed to their owner."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return
        folder.chmod(0o700)
        inner = list(folder.iterdir())
    except OSError:
        return
    for each in inner:
        _open_folders(each)


def _sync(handle: BufferedWriter) -> None:
    handle.flush()
    os.fsync(handle.fileno())


def _copy(read: BufferedReader, write: BufferedWriter, size: int) -> None:
    """Copy `size` bytes: what is said of a file must stay true while others write to it."""
    while size:
        chunk = read.read(min(size, _CHUNK))
        if not chunk:
            raise StoreUnavailable(
                "a file became shorter while it was copied; attach it when it is complete"
            )
        write.write(chunk)
        size -= len(chunk)


def _place(partial: Path, path: Path, ref: FileRef) -> None:
    """Give a file its name, with what is known of it; durable when this returns."""
    beside = path.with_suffix(".json")
    try:
        with beside.open("xb") as handle:
            handle.write(msgspec.json.encode(ref))
            _sync(handle)
        partial.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
