"""The faults: each is put into a running server, lasts, and is healed; afterwards it serves again.

Linux only: limits of a running process (`prlimit`), signals, mounts.
"""

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.disks import Disk
from faults.schedule import SECONDS, Strike
from faults.server import ChaosServer, descriptors_of

MIB = 1024 * 1024
CROWD = 64
Note = Callable[..., Any]


def possible(disk: Disk) -> set[str]:
    """The kinds of faults that can be had here."""
    return set(SECONDS) - ({"broken-disk", "flaky-disk", "read-only"} - disk.faults)


class Injector:
    """Strikes one server, and keeps it alive: one that ends by a fault is started again.

    `note` writes down what was done and what came of it.
    """

    def __init__(self, server: ChaosServer, disk: Disk, note: Note) -> None:
        self.server = server
        self.disk = disk
        self.note = note
        self.kills = 0
        self._version = 1

    def strike(self, strike: Strike) -> None:
        """Inject, wait, heal."""
        self.note("strike", kind=strike.kind, seconds=strike.seconds, killed=strike.killed)
        match strike.kind:
            case "kill":
                self._restart(strike, self._kill)
            case "restart":
                self._restart(strike, self._terminate)
            case "deploy":
                self._version += 1
                self.server.deploy(str(self._version))
                self._restart(strike, self._terminate if strike.size < 0.5 else self._kill)
            case "read-only":
                self._meet_read_only_disk(strike)
            case "broken-disk":
                self._lose_disk(strike)
            case "flaky-disk":
                self._lose_disk_for_a_moment(strike)
            case "rival":
                self._meet_rival()
            case _:
                with _FAULTS[strike.kind](self, strike):
                    self._last(strike)
                if self.server.process is None:
                    self.server.start()
        self.note("healed", kind=strike.kind)
        self.revive()

    def revive(self) -> None:
        """Start it again if it has ended by itself."""
        if self.server.dead:
            code = self.server.reap()
            self.note("died", code=code)
            self.server.start()

    # -- ends -------------------------------------------------------------------------------

    def _restart(self, strike: Strike, end: Callable[[], None]) -> None:
        end()
        time.sleep(strike.seconds)
        self.server.start()

    def _kill(self) -> None:
        self.kills += 1
        self.server.kill()

    def _terminate(self) -> None:
        code, seconds = self.server.terminate()
        self.note("terminated", code=code, seconds=seconds)

    def _last(self, strike: Strike) -> None:
        """The time of a fault; some end it by `kill -9`."""
        if not strike.killed:
            time.sleep(strike.seconds)
            return
        time.sleep(strike.seconds / 2)
        self._kill()
        time.sleep(strike.seconds / 2)

    # -- faults -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _frozen(self, strike: Strike) -> Iterator[None]:
        del strike
        self.server.freeze()
        try:
            yield
        finally:
            if self.server.process is not None:
                self.server.thaw()

    @contextlib.contextmanager
    def _full(self, strike: Strike) -> Iterator[None]:
        if "full" in self.disk.faults:
            with self.disk.full():
                yield
        else:
            # Half the time there is room for a little.
            with self._limited(resource.RLIMIT_FSIZE, lambda: int(strike.size * 2) * 65_536):
                yield

    @contextlib.contextmanager
    def _stepped(self, strike: Strike) -> Iterator[None]:
        self.server.step_clock((strike.size - 0.5) * 8)
        try:
            yield
        finally:
            self.server.step_clock(0.0)

    @contextlib.contextmanager
    def _without_descriptors(self, strike: Strike) -> Iterator[None]:
        pid, room = self.server.pid, int(strike.size * 6)
        with (
            self._limited(resource.RLIMIT_NOFILE, lambda: descriptors_of(pid) + room),
            contextlib.ExitStack() as crowd,
        ):
            for _ in range(CROWD):
                # Some get the last descriptors, the others wait at the door.
                caller = crowd.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(("127.0.0.1", self.server.port))
            yield

    @contextlib.contextmanager
    def _without_memory(self, strike: Strike) -> Iterator[None]:
        pid, room = self.server.pid, int(strike.size * 8 * MIB)
        with self._limited(resource.RLIMIT_AS, lambda: _virtual_bytes(pid) + room):
            yield

    @contextlib.contextmanager
    def _limited(self, what: int, limit: Callable[[], int]) -> Iterator[None]:
        pid = self.server.pid
        before = resource.prlimit(pid, what)
        resource.prlimit(pid, what, (limit(), before[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, what, before)

    def _lose_disk(self, strike: Strike) -> None:
        """Writes fail with EIO and the file system goes; an operator ends it, checks, mounts."""
        self._break_disk()
        time.sleep(strike.seconds)
        self._kill()
        self.disk.mend()
        self.server.start()

    def _lose_disk_for_a_moment(self, strike: Strike) -> None:
        """Some writes fail, later ones succeed, perhaps in another life; then the cache is lost.

        If the file system was in the midst of its own, it has given up: then it ends here.
        """
        self._break_disk()
        time.sleep(strike.seconds)
        self.disk.recover()
        time.sleep(0.2)
        if strike.killed:
            self._kill()
            with contextlib.suppress(AssertionError):
                self.server.start()
            time.sleep(0.2)
        self._kill()
        self.disk.mend()
        self.server.start()

    def _break_disk(self) -> None:
        # From one write to the next: while it stands still, the disk breaks.
        self.server.freeze()
        self.disk.break_down()
        self.server.thaw()

    def _meet_read_only_disk(self, strike: Strike) -> None:
        """A start on a disk that takes nothing fails, says why, and harms nothing."""
        self._terminate()
        before = len(self.server.errors)
        with self.disk.read_only():
            try:
                self.server.start()
                self.note("started", where="on a disk that is read only")
                self._kill()
            except AssertionError:
                code = self.server.reap()
                self.note("refused to start", code=code, said=self.server.errors[before:])
            time.sleep(strike.seconds)
        self.server.start()

    def _meet_rival(self) -> None:
        """A second server on the same store must go away."""
        rival = self.server.rival()
        try:
            rival.start()
            self.note("started", where="beside another on the same store")
            time.sleep(0.2)
        except AssertionError:
            self.note("refused to start", code=rival.reap(), said=rival.errors)
        finally:
            rival.close()


_FAULTS: dict[str, Callable[[Injector, Strike], contextlib.AbstractContextManager[None]]] = {
    "freeze": Injector._frozen,
    "full": Injector._full,
    "clock": Injector._stepped,
    "descriptors": Injector._without_descriptors,
    "memory": Injector._without_memory,
}


def _virtual_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def end_quietly(server: ChaosServer) -> None:
    """Whatever became of it, no process is left; one that is frozen is thawed first."""
    with contextlib.suppress(ProcessLookupError, AssertionError):
        server.thaw()
    server.close()
