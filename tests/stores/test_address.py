from __future__ import annotations

import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from parlour.errors import BadSettings, StoreCorrupt, StoreUnavailable
from parlour.stores import address
from parlour.stores.address import files_for, open_store, secret_for
from parlour.stores.memory import MemoryStore
from parlour.stores.sqlite import SqliteStore


def test_memory_is_a_store_that_keeps_nothing():
    assert isinstance(open_store("memory:"), MemoryStore)
    assert isinstance(open_store("memory://"), MemoryStore)


def test_a_sqlite_address_is_relative_with_three_slashes_and_absolute_with_four(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    relative, absolute = open_store("sqlite:///a%20b.db"), open_store("sqlite:////srv/x/p.db")
    assert isinstance(relative, SqliteStore)
    assert isinstance(absolute, SqliteStore)
    assert relative._path == tmp_path / "a b.db"
    assert absolute._path == Path("/srv/x/p.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ("parlour.db", "write sqlite:///parlour.db"),
        ("", "write sqlite:///parlour.db"),
        ("memory", "or memory:"),
        ("memory:x", "or memory:"),
        ("redis://localhost", "or memory:"),
        ("sqlite://parlour.db", "write sqlite:///name.db"),
        ("sqlite:parlour.db", "write sqlite:///name.db"),
        ("sqlite:///", "write sqlite:///name.db"),
        ("sqlite:///:memory:", "or memory:"),
        ("mysql://ann:sesame@localhost/x", "'mysql://…' is no store's address"),
    ],
)
def test_another_address_is_refused_with_the_cure(wrong, cure):
    for function in (open_store, files_for, secret_for):
        with pytest.raises(BadSettings, match=cure):
            function(wrong)


def test_files_lie_beside_the_database(tmp_path):
    files = files_for(f"sqlite:///{tmp_path}/p.db")
    assert files.root == tmp_path / "p.db.files"
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_store_in_memory_are_temporary():
    files = files_for("memory:")
    root = files.root
    assert root.is_dir()
    files.close()
    assert not root.exists()


def test_the_key_is_made_once_and_nobody_else_may_read_it(tmp_path):
    where = f"sqlite:///{tmp_path}/p.db"
    secret = secret_for(where)
    assert len(secret) == 32
    assert secret_for(where) == secret
    (file,) = tmp_path.iterdir()
    assert file.name == "p.db.secret"
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret_for(f"sqlite:///{tmp_path}/q.db") != secret


def test_the_key_of_a_store_in_memory_is_new_each_time():
    assert secret_for("memory:") != secret_for("memory:")


def _put(where, barrier, queue):
    barrier.wait(30)
    queue.put(secret_for(where))


def test_processes_that_start_together_agree_on_the_key(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(3), context.Queue()
    where = f"sqlite:///{tmp_path}/p.db"
    processes = [context.Process(target=_put, args=(where, barrier, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    secrets = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(30)
    queue.close()
    queue.join_thread()
    assert len(secrets) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["p.db.secret"]


def test_whoever_comes_second_takes_the_key_that_is_there(tmp_path, monkeypatch):
    place = tmp_path / "p.db.secret"
    move = address._move
    others = b"o" * 32

    def late(draft, target):
        target.write_bytes(others)
        move(draft, target)

    monkeypatch.setattr(address, "_move", late)
    assert secret_for(f"sqlite:///{tmp_path}/p.db") == others
    assert list(tmp_path.iterdir()) == [place]


def test_threads_that_start_together_agree_on_the_key(tmp_path):
    found: list[bytes] = []
    barrier = threading.Barrier(16)

    def start():
        barrier.wait(30)
        found.append(secret_for(f"sqlite:///{tmp_path}/p.db"))

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 16
    assert len(set(found)) == 1


def test_a_damaged_key_is_not_used(tmp_path):
    (tmp_path / "p.db.secret").write_bytes(b"short")
    with pytest.raises(StoreCorrupt, match="sign in again"):
        secret_for(f"sqlite:///{tmp_path}/p.db")


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(StoreUnavailable, match="make its folder"):
        secret_for(f"sqlite:///{tmp_path}/missing/p.db")
