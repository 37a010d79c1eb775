"""Moves a SQLite store's write-ahead log into its file while the writer goes on writing.

A checkpoint writes thousands of pages and waits for the disk twice: done by the writer it would
hold up every session that has something to say. Here a thread does it with a connection of its
own; what it leaves, because the log grew meanwhile, is little, and the writer's own checkpoints
find it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from threading import Event, Thread

from parlour.stores.sqlite_file import connect


class Checkpointer:
    """A thread that checkpoints when it is asked to. Its failures are left to the writer's own.

    Raises sqlite3.Error if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, writes=True, shared=True)
        self._asked = Event()
        self._idle = Event()
        self._idle.set()
        self._ends = False
        self._thread = Thread(target=self._run, name="parlour-sqlite-checkpoint", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have what is in the log moved, soon."""
        self._idle.clear()
        self._asked.set()

    def wait(self) -> None:
        """Wait until what was asked for is done."""
        self._idle.wait()

    def close(self) -> None:
        """Finish what is under way, and end."""
        self._ends = True
        self._asked.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ends:
                return
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not self._asked.is_set():
                self._idle.set()
