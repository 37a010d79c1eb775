from __future__ import annotations

import asyncio
import errno
import os
import secrets
from pathlib import Path

import pytest

from parlour.errors import Refused, StoreUnavailable
from parlour.stores import files as files_module
from parlour.stores.files import Files, one_chunk, safe_name, safe_type

SESSION = "a" * 32


async def pieces(*data):
    for piece in data:
        yield piece


def add(files, *data, name="notes.txt", limit=1000, session=SESSION):
    return asyncio.run(
        files.add(session, pieces(*data), name=name, type_="text/plain", limit=limit)
    )


def contents(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_comes_back_as_it_was_sent(tmp_path):
    files = Files(tmp_path / "files")
    ref = add(files, b"one ", b"", b"two")
    assert (ref.name, ref.type, ref.size) == ("notes.txt", "text/plain", 7)
    assert files.path(SESSION, ref.id).read_bytes() == b"one two"
    other = asyncio.run(files.add(SESSION, one_chunk(b"x"), name="x", type_="", limit=1))
    assert other.id != ref.id
    assert files.find(SESSION, ref.id) == ref
    assert files.find(SESSION, other.id) == other
    assert files.count(SESSION) == 2
    assert files.count("b" * 32) == 0


@pytest.mark.promise("P12")
def test_a_file_past_its_limit_is_refused_and_leaves_nothing(tmp_path):
    files = Files(tmp_path)
    with pytest.raises(Refused, match="at most 10 bytes") as caught:
        add(files, b"12345", b"67890", b"1", limit=10)
    assert caught.value.code == "too_large"
    assert contents(tmp_path) == []
    assert add(files, b"12345", b"67890", limit=10).size == 10


def test_a_sender_who_goes_away_leaves_nothing(tmp_path):
    async def broken():
        yield b"half"
        raise ConnectionResetError

    async def scenario():
        with pytest.raises((ConnectionResetError, StoreUnavailable)):
            await Files(tmp_path).add(SESSION, broken(), name="x", type_="", limit=100)

    asyncio.run(scenario())
    assert contents(tmp_path) == []


def test_an_upload_that_is_cancelled_leaves_nothing(tmp_path):
    async def scenario():
        begun = asyncio.Event()

        async def endless():
            yield b"half"
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(
            Files(tmp_path).add(SESSION, endless(), name="x", type_="", limit=100)
        )
        await asyncio.wait_for(begun.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert contents(tmp_path) == []


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files_module, "_sync", full)
    with pytest.raises(StoreUnavailable, match="free space"):
        add(Files(tmp_path), b"data")
    assert contents(tmp_path) == []


@pytest.mark.promise("P1")
@pytest.mark.promise("P17")
def test_a_file_is_found_only_in_its_own_session(tmp_path):
    files = Files(tmp_path)
    ref = add(files, b"mine")
    for session, file in [
        ("b" * 32, ref.id),
        (SESSION, "c" * 32),
        (SESSION, ref.id.upper() if ref.id.upper() != ref.id else "x"),
        (SESSION, f"{ref.id}.part"),
        (SESSION, f"../{SESSION}/{ref.id}"),
        ("..", ref.id),
        ("", ref.id),
        (f"{SESSION}\n", ref.id),
    ]:
        for question in (files.path, files.find):
            with pytest.raises(Refused, match="no such file") as caught:
                question(session, file)
            assert caught.value.code == "unknown_file"


@pytest.mark.promise("P11")
def test_erasing_removes_a_sessions_files_and_no_others(tmp_path):
    files = Files(tmp_path)
    mine, other = add(files, b"a"), add(files, b"b", session="b" * 32)
    files.erase(SESSION)
    files.erase(SESSION)
    with pytest.raises(Refused):
        files.path(SESSION, mine.id)
    assert files.path("b" * 32, other.id).read_bytes() == b"b"
    with pytest.raises(Refused):
        files.erase("..")


def test_a_workspace_is_a_folder_below_the_root(tmp_path):
    files = Files(tmp_path / "deep" / "files")
    folder = files.workspace(SESSION)
    assert folder.is_dir()
    assert folder.parent == tmp_path / "deep" / "files"
    assert files.workspace(SESSION) == folder


def test_without_a_root_files_are_temporary():
    files = Files()
    ref = add(files, b"x", session=secrets.token_hex(16), name="x")
    root = files.root
    assert ref.size == 1
    assert root.is_dir()
    files.close()
    files.close()
    assert not root.exists()


def test_a_root_that_was_given_stays_when_it_is_closed(tmp_path):
    files = Files(tmp_path)
    ref = add(files, b"x")
    files.close()
    assert files.path(SESSION, ref.id).is_file()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\cv.doc", "cv.doc"),
        ("two\nlines\x00.txt", "twolines.txt"),
        (".hidden", "hidden"),
        ("...", "file"),
        ("", "file"),
        ("folder/", "file"),
        ("Résumé 🦜.pdf", "Résumé 🦜.pdf"),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_users_file_name_is_a_name_and_nothing_more(given, kept):
    assert safe_name(given) == kept
    assert Path(safe_name(given)).name == safe_name(given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("text/plain", "text/plain"),
        (" Text/HTML; charset=utf-8", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
        ("text/plain\r\nSet-Cookie: x", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("x" * 500 + "/y", "application/octet-stream"),
    ],
)
def test_a_media_type_may_stand_in_a_header(given, kept):
    assert safe_type(given) == kept
