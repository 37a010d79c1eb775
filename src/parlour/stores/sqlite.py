"""The store in a SQLite file: durable, fast, and owned by one process at a time.

All writing is done by one thread (`sqlite_writer`), which commits everything that has gathered
while it was busy as one transaction; reading is done by two more, which never wait for it. This
module stands between them and the event loop. Knows nothing of events or engines.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from parlour.errors import StoreError, StoreUnavailable
from parlour.stores import sqlite_reads as reads
from parlour.stores import sqlite_threads as threads
from parlour.stores.sqlite_checkpoint import Checkpointer
from parlour.stores.sqlite_file import (
    FileLock,
    check_folder,
    connect,
    distrust_cache,
    explain,
    prepare,
)
from parlour.stores.sqlite_scrub import Scan, Scrubber
from parlour.stores.sqlite_writer import MANY, Work, Writer
from parlour.stores.store import (
    PAGE_BYTES,
    Append,
    Branch,
    Chunk,
    Claim,
    Cursor,
    Outcome,
    Passage,
    Posted,
    PostedCommand,
    Reclaimed,
    SessionInfo,
    Share,
    Thread,
    Unindexed,
    UserValue,
)

T = TypeVar("T")

_READERS = 2
_PAUSE_SECONDS = 0.005
_QUIET_SECONDS = 1.0
_ASLEEP_SECONDS = 30.0
_PATIENT_SECONDS = 10.0
_SETTLE_IN_A_PAUSE = 512
_SETTLE_AT_ONCE = 2048
_CHECKPOINT_AFTER = 6 * 1024 * 1024
_LOG_BYTES = 4 * _CHECKPOINT_AFTER
_CLOSED = "the store {} is not open; open it, or start the engine again"


class _Job:
    """Work for the writer. `then` is done when its transaction is over, and may be all of it."""

    __slots__ = ("future", "size", "then", "work")

    def __init__(
        self,
        work: Work,
        future: asyncio.Future[Any],
        then: Callable[[Writer], object] | None = None,
    ) -> None:
        self.work = work
        self.future = future
        self.then = then
        self.size = 1 if callable(work) else len(work)


class SqliteStore:
    """Logs in the file at `path`, which is made if there is none; its folder must exist.

    `remember` bounds the sessions of which the writer keeps the head in memory; an owner that has
    not written while so many others were claimed is fenced and claims again.
    """

    def __init__(self, path: str | Path, *, remember: int = 200_000) -> None:
        self._path = Path(path).resolve()
        self._remember = remember
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._released: deque[tuple[str, int]] = deque()
        self._thread: threading.Thread | None = None
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._scrubber = Scrubber(self._path)
        self._connections: SimpleQueue[sqlite3.Connection] = SimpleQueue()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Writer] = loop.create_future()
        self._queue = SimpleQueue()
        # A daemon, so that a store whose event loop died does not keep the process alive.
        thread = threading.Thread(
            target=self._work, args=(loop, opened), name="parlour-sqlite", daemon=True
        )
        thread.start()
        try:
            self._writer = await opened
        except BaseException:
            self._queue.put(None)
            raise
        self._thread = thread
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="parlour-sqlite-read")

    async def close(self) -> None:
        thread, self._thread, self._writer = self._thread, None, None
        readers, self._readers = self._readers, None
        if readers is not None:
            await asyncio.to_thread(readers.shutdown)
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def create(self, session: str, user: str, at: float) -> Claim | None:
        return await self._write(lambda writer: writer.create(session, user, at))

    async def claim(self, session: str) -> Claim | None:
        return await self._write(lambda writer: writer.claim(session))

    async def release(self, session: str, epoch: int) -> None:
        # Nobody waits for it: the writer does it at its next turn.
        self._released.append((session, epoch))

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        if self._writer is None:
            raise StoreUnavailable(_CLOSED.format(self._path))
        future: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        self._queue.put(_Job(batch, future))
        return await future

    async def post(self, session: str, command: str, data: bytes) -> Posted | None:
        return await self._write(lambda writer: writer.post(session, command, data))

    async def erase(self, session: str) -> bool:
        return await self._write(lambda writer: writer.erase(session))

    async def inbox(self, session: str) -> Sequence[PostedCommand]:
        return await self._read(lambda db: reads.inbox(db, session))

    async def outcome(self, session: str, command: str) -> int | None:
        fresh = self._fresh(session)
        return await self._read(lambda db: reads.outcome(db, session, command, fresh))

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        fresh = self._fresh(session)
        return await self._read(
            lambda db: reads.read(db, session, after, (limit, limit_bytes), fresh)
        )

    async def find(self, session: str) -> SessionInfo | None:
        fresh = self._fresh(session)
        return await self._read(lambda db: reads.find(db, session, fresh))

    async def sessions(
        self, user: str | None = None, *, before: Cursor | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        await self._settle()
        return await self._read(lambda db: reads.sessions(db, user, before, limit))

    async def count(self, user: str) -> int:
        return await self._read(lambda db: reads.count(db, user))

    async def due(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        return await self._read(lambda db: reads.due(db, before, limit))

    async def idle(self, before: float, limit: int = 1000) -> Sequence[str]:
        await self._settle()
        return await self._read(lambda db: reads.idle(db, before, limit))

    async def ended(self, before: float, limit: int = 1000) -> Sequence[str]:
        await self._settle()
        return await self._read(lambda db: reads.ended(db, before, limit))

    async def user_value(self, user: str, name: str) -> UserValue | None:
        return await self._read(lambda db: reads.user_value(db, user, name))

    async def user_values(self, user: str) -> Sequence[UserValue]:
        return await self._read(lambda db: reads.user_values(db, user))

    async def fork(
        self, session: str, upto: int, append: Append, *, branch: bool = False
    ) -> Claim | None:
        return await self._write(lambda writer: writer.fork(session, upto, append, branch=branch))

    async def threads(
        self,
        user: str,
        *,
        words: Sequence[str] = (),
        before: Cursor | None = None,
        limit: int = 50,
    ) -> Sequence[Thread]:
        await self._settle()
        return await self._read(lambda db: threads.threads(db, user, words, before, limit))

    async def branches(self, session: str) -> Sequence[Branch]:
        await self._settle()
        return await self._read(lambda db: threads.branches(db, session))

    async def unindexed(self, user: str, limit: int = 100) -> Sequence[Unindexed]:
        await self._settle()
        return await self._read(lambda db: threads.unindexed(db, user, limit))

    async def index(self, passages: Sequence[Passage]) -> None:
        await self._write(lambda writer: threads.index(writer.connection, passages))

    async def share(self, share: Share) -> bool:
        return await self._write(lambda writer: threads.share(writer.connection, share))

    async def unshare(self, token: str) -> bool:
        return await self._write(lambda writer: threads.unshare(writer.connection, token))

    async def shared(self, token: str) -> Share | None:
        return await self._read(lambda db: threads.shared(db, token))

    async def shares(self, user: str, limit: int = 1000) -> Sequence[Share]:
        return await self._read(lambda db: threads.shares(db, user, limit))

    async def erase_user(self, user: str) -> int:
        return await self._write(lambda writer: writer.erase_user(user))

    async def scrub(self) -> None:
        deadline = time.monotonic() + _PATIENT_SECONDS
        scan = Scan(self._scrubber)
        while not scan.done:
            if await self._between(lambda writer: writer.scrub(scan)):
                deadline = time.monotonic() + _PATIENT_SECONDS
            elif time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"somebody reads an older state of {self._path}, a backup perhaps, so what was "
                    "erased is still in its files; do it again when that has ended"
                )
            else:
                await asyncio.sleep(_QUIET_SECONDS / 10)

    async def reclaim(self, *, compact: bool = False) -> Reclaimed:
        return await self._between(lambda writer: writer.reclaim(compact=compact))

    # From the event loop to the threads and back.

    async def _write(self, work: Callable[[Writer], T]) -> T:
        writer = self._opened()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Job(lambda: work(writer), future))
        return await future

    async def _settle(self) -> None:
        if self._opened().unsettled:
            await self._between(Writer.settle)

    async def _between(self, work: Callable[[Writer], T]) -> T:
        """Have the writer do something between its transactions."""
        self._opened()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Job((), future, work))
        return await future

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        self._opened()
        readers = cast("ThreadPoolExecutor", self._readers)
        return await asyncio.get_running_loop().run_in_executor(readers, self._query, query)

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        # There are as many connections as threads.
        connection = self._connections.get_nowait()
        try:
            return query(connection)
        except sqlite3.Error as error:
            raise explain(error, self._path) or error from error
        finally:
            self._connections.put(connection)

    def _opened(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable(_CLOSED.format(self._path))
        return self._writer

    def _fresh(self, session: str) -> str:
        """The chunks of a session that are not settled, for a query.

        They must be known before the query begins: what is settled in between is then found twice
        and not missed.
        """
        held = self._opened().held.get(session)
        return json.dumps(held.fresh[:]) if held is not None and held.fresh else "[]"

    # The writer's thread.

    def _work(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[Writer]) -> None:
        failure: Exception | None = None
        with ExitStack() as cleanup:
            try:
                writer = self._prepare(cleanup)
                _hand_back(loop, [(opened, writer)])
                with closing(Checkpointer(self._path)) as checkpointer:
                    housekeeping = _Housekeeping(writer, self._scrubber, checkpointer)
                    self._serve(loop, writer, housekeeping)
                housekeeping.at_the_end()
            except (StoreError, sqlite3.Error) as error:
                meaning = explain(error, self._path) if isinstance(error, sqlite3.Error) else None
                failure = meaning or error
            finally:
                self._writer = None
                self._refuse_the_rest(loop)
        if failure is not None:
            # Only now, so that whoever hears of it may try again at once.
            _hand_back(loop, [(opened, failure)])

    def _refuse_the_rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave nobody waiting for a thread that ends."""
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job is not None:
                _hand_back(loop, [(job.future, StoreUnavailable(_CLOSED.format(self._path)))])

    def _prepare(self, cleanup: ExitStack) -> Writer:
        check_folder(self._path)
        cleanup.callback(FileLock(self._path).release)
        distrust_cache(self._path)
        # Before SQLite opens the file, so that it is let go of after SQLite has closed it.
        cleanup.callback(self._scrubber.close)
        connection = cleanup.enter_context(closing(connect(self._path, writes=True)))
        generation = prepare(connection, self._path)
        self._connections = SimpleQueue()
        for _ in range(_READERS):
            reader = cleanup.enter_context(closing(connect(self._path, writes=False, shared=True)))
            self._connections.put(reader)
        return Writer(connection, self._path, generation=generation, remember=self._remember)

    def _serve(
        self, loop: asyncio.AbstractEventLoop, writer: Writer, housekeeping: _Housekeeping
    ) -> None:
        last = False
        while not last:
            while self._released:
                writer.release(*self._released.popleft())
            try:
                job = self._queue.get(timeout=housekeeping.patience)
            except Empty:
                housekeeping.when_quiet()
                # Nobody can close a store whose event loop is gone.
                last = loop.is_closed()
                continue
            jobs: list[_Job] = []
            size = 0
            while job is not None:
                jobs.append(job)
                size += job.size
                if size >= MANY or self._queue.empty():
                    break
                job = self._queue.get_nowait()
            last = job is None
            if jobs:
                results = writer.perform([job.work for job in jobs])
                self._go_on(jobs, results, writer)
                pairs = [(job.future, result) for job, result in zip(jobs, results, strict=True)]
                last = not _hand_back(loop, pairs) or last
                housekeeping.after_work(free=self._queue.empty())

    def _go_on(self, jobs: list[_Job], results: list[object], writer: Writer) -> None:
        for index, job in enumerate(jobs):
            if job.then is not None and not isinstance(results[index], Exception):
                try:
                    results[index] = job.then(writer)
                except sqlite3.Error as error:
                    results[index] = explain(error, self._path) or error
                except OSError as error:
                    results[index] = StoreUnavailable(f"{self._path} cannot be used: {error}")


class _Housekeeping:
    """When the writer settles and checkpoints: in idle moments, and before too much is left to do.

    Without an idle moment somebody else checkpoints. What fails here is tried again later; nothing
    depends on it but speed.
    """

    def __init__(self, writer: Writer, scrubber: Scrubber, checkpointer: Checkpointer) -> None:
        self._writer = writer
        self._checkpointer = checkpointer
        self._moved = self._begun = 0
        self._scrubber = scrubber
        self._scan: Scan | None = None
        self._not_before = 0.0
        self._clean = not writer.unscrubbed

    @property
    def patience(self) -> float:
        """How long to wait for work before `when_quiet`."""
        if self._clean:
            return _ASLEEP_SECONDS
        return _PAUSE_SECONDS if self._is_due(_SETTLE_IN_A_PAUSE) else _QUIET_SECONDS

    def after_work(self, *, free: bool) -> None:
        self._clean = False
        written = self._writer.written
        if written - self._moved >= _CHECKPOINT_AFTER:
            self._moved = written
            if written - self._begun < _LOG_BYTES:
                self._checkpointer.ask()
            else:
                self._begin_anew()
        if self._writer.erased and free:
            self._clean_up(scrub=True)
        elif self._is_due(_SETTLE_AT_ONCE):
            self._settle()

    def _begin_anew(self) -> None:
        """Move all that is left of the log, so that the next transaction stands at its beginning.

        Most was moved meanwhile, so it holds up nobody for long.
        """
        self._begun = self._writer.written
        self._checkpointer.wait()
        with suppress(sqlite3.Error):
            self._writer.checkpoint()

    def when_quiet(self) -> None:
        if self._is_due(_SETTLE_IN_A_PAUSE):
            self._settle()
        elif not self._clean:
            self._clean = self._clean_up(scrub=self._writer.erased) and self._scrub()

    def at_the_end(self) -> None:
        self._clean_up(scrub=True)

    def _scrub(self) -> bool:
        """Go on to overwrite what was erased, if nobody waits for that; True if all is done."""
        if not self._writer.unscrubbed:
            return True
        scan = self._scan = self._scan or Scan(self._scrubber)
        try:
            self._writer.scrub(scan)
        except (sqlite3.Error, OSError):
            return False
        if scan.done:
            self._scan = None
        return not self._writer.unscrubbed

    def _is_due(self, unsettled: int) -> bool:
        return self._writer.unsettled >= unsettled and time.monotonic() >= self._not_before

    def _settle(self) -> None:
        try:
            self._writer.settle()
        except sqlite3.Error:
            self._not_before = time.monotonic() + _QUIET_SECONDS

    def _clean_up(self, *, scrub: bool) -> bool:
        try:
            self._writer.settle()
            if self._writer.checkpoint(scrub=scrub):
                self._moved = self._begun = self._writer.written
        except sqlite3.Error:
            return False
        return not self._writer.erased


def _hand_back(
    loop: asyncio.AbstractEventLoop, results: Sequence[tuple[asyncio.Future[Any], object]]
) -> bool:
    """Answer those who wait, in one turn of the event loop; False if there is none any more."""
    try:
        loop.call_soon_threadsafe(_answer, results)
    except RuntimeError:
        return False
    return True


def _answer(results: Sequence[tuple[asyncio.Future[Any], object]]) -> None:
    for future, result in results:
        if future.done():
            continue
        match result:
            case StoreError():
                # Each caller raises an error of its own: a raised one grows a traceback.
                future.set_exception(type(result)(*result.args))
            case Exception():
                future.set_exception(result)
            case _:
                future.set_result(result)
