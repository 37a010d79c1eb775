"""Disks that fail and come back: what a store said it keeps is there when the machine has gone.

Only with FAULTS_BREAK_DISKS=1, on a machine that may be restarted: see `schedule.ASKED_FOR`.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.disks import Disk, disk_at
from parlour.stores.sqlite_file import distrust_cache

promise = pytest.mark.promise
PROGRAM = Path(__file__).with_name("failing_store.py")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not os.environ.get("FAULTS_BREAK_DISKS"):
        pytest.skip("breaking a disk may take the machine's kernel along: FAULTS_BREAK_DISKS=1")
    disk = disk_at(tmp_path / "disk")
    try:
        if "flaky-disk" not in disk.faults:
            pytest.skip("file systems cannot be mounted here")
        yield disk
    finally:
        disk.close()


class Life:
    """One process with the store open."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.head = int(self._line().removeprefix("head "))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def do(self, order: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        return self._line()

    def say(self) -> int:
        """Append a record that is kept."""
        answer = self.do("say")
        assert answer.startswith("kept "), answer
        return int(answer.removeprefix("kept "))

    def kill(self) -> None:
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=30)


@contextlib.contextmanager
def living(path: Path) -> Iterator[Life]:
    life = Life(path)
    try:
        yield life
    finally:
        life.kill()


def on_the_disk(path: Path, elsewhere: Path) -> int:
    """How many records there are where the disk is all that is left."""
    elsewhere.mkdir(exist_ok=True)
    for name in (path.name, f"{path.name}-wal"):
        whole = path.with_name(name)
        descriptor = os.open(whole, os.O_RDONLY)
        # What could not be written is not dirty any more; it is only in the cache.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        shutil.copyfile(whole, elsewhere / name)
    with contextlib.closing(sqlite3.connect(elsewhere / path.name)) as db:
        return db.execute("SELECT sum(count) FROM chunk").fetchone()[0]


def fill_log(life: Life) -> None:
    for _ in range(20):
        life.say()
    assert life.do("rewind") == "rewound"
    life.say()


@promise("P5")
def test_nothing_is_built_on_what_a_dead_process_could_not_write(
    disk: Disk, tmp_path: Path
) -> None:
    path = disk.folder / "p.db"
    with living(path) as life:
        fill_log(life)
        disk.break_down()
        refused = life.do("say")
        disk.recover()
        assert refused.startswith("refused ")
        assert "the disk reports an error" in refused
        kept = 21
    with living(path) as life:
        assert life.head == kept
        last = [life.say() for _ in range(5)][-1]
        assert on_the_disk(path, tmp_path / "copy") == last == kept + 5


@promise("P5")
def test_a_store_whose_disk_failed_for_a_moment_goes_on_and_keeps_what_it_says(
    disk: Disk, tmp_path: Path
) -> None:
    path = disk.folder / "p.db"
    with living(path) as life:
        fill_log(life)
        for kept in (22, 23, 24):
            disk.break_down()
            refused = life.do("say")
            disk.recover()
            assert refused.startswith("refused ")
            assert life.say() == kept
            assert on_the_disk(path, tmp_path / "copy") == kept


def test_a_store_that_is_not_there_yet_has_no_cache_to_distrust(tmp_path: Path) -> None:
    distrust_cache(tmp_path / "none.db")
