"""Everything that is kept of a conversation, as a zip that needs no Parlour to be read.

JSON and JSON Lines, and the files under the names that their users gave them. It is written page
by page and file by file, so a long conversation takes no more memory than a short one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
from msgspec import Raw, Struct

from parlour.errors import StoreUnavailable
from parlour.events import AnyEvent, UnknownEvent, decode_chunk, split_chunk
from parlour.stores.files import Files
from parlour.stores.store import Reading, SessionInfo

Show = Callable[[AnyEvent | UnknownEvent], bytes]

_PAGE = 500
_README = """\
This is what Parlour kept of one or more conversations.

user.json                     the user's variables, seen by all of the user's sessions
sessions/ID/session.json      what is known of a session
sessions/ID/records.jsonl     its log: one JSON object a line, in order; `event.type` says what
                              happened (MessageAdded, QuestionAsked, QuestionAnswered, ...)
sessions/ID/files/FILE/NAME   files that were said in it; FILE is the id by which records name them
sessions/ID/workspace/...     other files that the app kept for the session

Times are in UTC; `at` is the same in Unix seconds.
"""


class _Session(Struct):
    id: str
    user: str
    title: str
    created: str
    updated: str
    records: int
    closed: bool


class _Record(Struct):
    seq: int
    at: float
    time: str
    event: Raw


class _User(Struct, omit_defaults=True):
    id: str
    variables: dict[str, Raw]
    kinds: dict[str, str] = {}


async def export_sessions(
    store: Reading,
    files: Files,
    infos: AsyncIterable[SessionInfo],
    target: Path,
    *,
    user: str | None = None,
    show: Show | None = None,
) -> int:
    """Write sessions, and the variables of `user`, into the new zip `target`; how many sessions.

    With `show` records stand there as it makes them, null left out, and of files only those that
    were said: as much as the user has seen. There is no `target` unless all of it is there. Raises
    `StoreError`.
    """
    count = 0
    with _new_zip(target) as archive:
        archive.writestr("README.txt", _README)
        if user is not None:
            archive.writestr("user.json", await _user(store, user))
        async for info in infos:
            await _add(archive, store, files, info, show)
            count += 1
    return count


@contextmanager
def _new_zip(target: Path) -> Generator[ZipFile]:
    """A zip that nobody else may read, and that has its name only when it is whole."""
    if target.exists() or target.is_symlink():
        raise StoreUnavailable(f"{target} is there already; give the name of a new file")
    draft = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w+b") as handle:  # noqa: PTH123 - it is open already
            with ZipFile(handle, "w", ZIP_DEFLATED) as archive:
                yield archive
            handle.flush()
            os.fsync(handle.fileno())
        draft.rename(target)
    except OSError as error:
        raise StoreUnavailable(
            f"{target} cannot be written ({error.strerror}); free space or mend the permissions"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


async def _user(store: Reading, user: str) -> bytes:
    values = await store.user_values(user)
    found = _User(
        user,
        {value.name: Raw(value.value) for value in values},
        {value.name: value.kind for value in values if value.kind},
    )
    return msgspec.json.format(msgspec.json.encode(found))


async def _add(
    archive: ZipFile, store: Reading, files: Files, info: SessionInfo, show: Show | None
) -> None:
    place = f"sessions/{info.id}"
    await _add_records(archive, store, info.id, f"{place}/records.jsonl", show)
    about = _Session(
        info.id,
        info.user,
        info.title,
        _time(info.created),
        _time(info.updated),
        info.head,
        info.closed,
    )
    archive.writestr(f"{place}/session.json", msgspec.json.format(msgspec.json.encode(about)))
    for path, name in _files_of(files, info.id, others=show is None):
        await asyncio.to_thread(_add_file, archive, path, f"{place}/{name}")


async def _add_records(
    archive: ZipFile, store: Reading, session: str, name: str, show: Show | None
) -> None:
    seq = 0
    with archive.open(name, "w", force_zip64=True) as out:
        while chunks := await store.read(session, seq, _PAGE):
            lines: list[bytes] = []
            for chunk in chunks:
                for number, event in enumerate(_events(chunk.data, show), chunk.first):
                    if number > seq:
                        seq = number
                        record = _Record(seq, chunk.at, _time(chunk.at), event)
                        if bytes(event) != b"null":
                            lines.append(msgspec.json.encode(record) + b"\n")
            # Packing takes a processor's time, which others want too.
            await asyncio.to_thread(out.write, b"".join(lines))


def _events(data: bytes, show: Show | None) -> list[Raw]:
    if show is None:
        return split_chunk(data)
    return [Raw(show(event)) for event in decode_chunk(data)]


def _files_of(files: Files, session: str, *, others: bool) -> Iterator[tuple[Path, str]]:
    for ref, path in files.stored(session):
        yield path, f"files/{ref.id}/{ref.name}"
    if not others:
        return
    folder = files.root / session
    for path in files.others(session):
        yield path, f"workspace/{path.relative_to(folder).as_posix()}"


def _add_file(archive: ZipFile, path: Path, name: str) -> None:
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return  # the app has removed it meanwhile
    with source, archive.open(name, "w", force_zip64=True) as out:
        shutil.copyfileobj(source, out)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
