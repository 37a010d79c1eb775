"""The fork server: it has everything imported, waits, and becomes a kernel whenever one is wanted.

It runs no code of any user, holds no secret and has one thread. When the engine hangs up, however
it ended, the server ends, and all its kernels with it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import linux, shell, spaces, walls, watch

Message = dict[str, Any]

_LOOK_SECONDS = 0.25
_IDLE_LOOK_SECONDS = 5.0
_TIMES_AS_LONG = 5
"""So many times as long as a look takes there is none."""
_DESCRIPTORS = 3
_MOST_MESSAGE = 65536
_OVERHEAD = 1.25
"""The limit of one process raises MemoryError, which is kinder: it comes first."""
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "TERM": "xterm-256color",
    "SHELL": "/bin/sh",
    "USER": "kernel",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PLOTLY_RENDERER": "plotly_mimetype",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class Child:
    """A kernel that runs. `over` is what it was told to use too much of."""

    def __init__(self, number: int, process: int, work: str) -> None:
        self.number = number
        self.process = process
        self.work = work
        self.descriptor = os.pidfd_open(process)
        self.watched = False
        self.began = 0.0
        self.size = 0
        self.ticks = -1
        self.told: set[str] = set()
        self.place = str(process)
        """What its processes have in common: their group, or their namespace."""


class Server:
    """Starts, watches and ends kernels, as the engine says on `control`."""

    def __init__(
        self, control: socket.socket, config: Message, warm: tuple[shell.Shell, list[str]]
    ) -> None:
        self._control = control
        self._shell, self._missing = warm
        self._config = config
        self._full = config["level"] == "full"
        self._limits: Message = config["limits"]
        self._children: dict[int, Child] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._looked = time.monotonic()
        self._took = 0.0
        first, count = config["users"]
        # In the server's own user namespace theirs begin at 1.
        self._users = (1 if self._full else first, count)
        self._key = 0
        if config["level"] == "landlock" and os.geteuid() == 0:
            needed = [*spaces.python_places(), config["workspaces"], *config["readable"]]
            self._key = walls.pass_key() if walls.closed_to_others(needed) else 0
        if self._full:
            self._space = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def run(self) -> None:
        self._names = self._places()
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        if threads != 1:
            self._send(
                {
                    "is": "broken",
                    "why": f"the fork server has {threads} threads; a library in "
                    "`preload` starts one when it is imported: leave that library out",
                }
            )
            return
        gc.collect()
        gc.freeze()
        self._send({"is": "ready", "missing": self._missing})
        while True:
            wait = _LOOK_SECONDS if self._any_watched() else _IDLE_LOOK_SECONDS
            wait = max(wait, self._took * _TIMES_AS_LONG)
            left = max(0.0, self._looked + wait - time.monotonic())
            found = self._poll.poll(left * 1000 if self._children else None)
            for descriptor, _ in found:
                if descriptor == self._control.fileno():
                    if not self._obey():
                        self._end_all()
                        return
                else:
                    self._reap(descriptor)
            # What is asked for goes before looking, though not for ever.
            late = time.monotonic() - self._looked > wait * _TIMES_AS_LONG
            if self._children and (late or not found):
                self._look()

    def _any_watched(self) -> bool:
        return any(child.watched for child in self._children.values())

    def _send(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(json.dumps(message).encode())

    # -- what the engine wants --------------------------------------------------------------

    def _obey(self) -> bool:
        """Do what the next message says; False if there will be none."""
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._control, _MOST_MESSAGE, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return False
        if not data:
            return False
        message: Message = json.loads(data)
        try:
            if message["do"] == "start":
                self._start(message, descriptors)
                return True
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        child = self._children.get(message["id"])
        if child is None:
            return True
        match message["do"]:
            case "interrupt":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process, signal.SIGINT)
                self._send({"is": "interrupted", "id": child.number})
            case "kill":
                self._kill(child)
            case "watch":
                self._watch(child, on=message["on"])
            case _:
                pass
        return True

    def _start(self, message: Message, descriptors: list[int]) -> None:
        number = message["id"]
        try:
            work, state = message["work"], message["state"]
            user = self._give(work, state)
            if self._full:
                linux.unshare(linux.NEWPID)
            process = os.fork()
            if process == 0:
                self._be_kernel(descriptors, work, state, user)
            if self._full:
                linux.setns(self._space, linux.NEWPID)
        except OSError as error:
            if self._full:
                with contextlib.suppress(OSError):
                    linux.setns(self._space, linux.NEWPID)
            self._send({"is": "failed", "id": number, "why": str(error)})
            return
        child = Child(number, process, self._at(work))
        self._children[number] = child
        self._poll.register(child.descriptor, select.POLLIN)
        if self._full:
            child.place = watch.space_of(process)
        self._send({"is": "started", "id": number})

    def _at(self, folder: str) -> str:
        root = spaces.WORK if self._full else self._config["workspaces"]
        return f"{root}/{folder}"

    def _give(self, work: str, state: str) -> int:
        first, count = self._users
        if os.geteuid() != 0 or count == 1 or self._config["level"] == "none":
            return os.geteuid()
        return walls.give_away([self._at(work), self._at(state)], first, count)

    # -- the child --------------------------------------------------------------------------

    def _be_kernel(self, descriptors: list[int], work: str, state: str, user: int) -> None:
        status = 1
        try:
            self._confine(descriptors, work, state, user)
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing of it may go on in the server's loop
            with contextlib.suppress(Exception):
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)

    def _confine(self, descriptors: list[int], work: str, state: str, user: int) -> None:
        linux.die_with_parent()
        others = self._others_of(user)
        _only_descriptors(descriptors)
        os.setsid()
        if self._full:
            spaces.make_private(
                work, state, self._config["inner"], shared_bytes=self._limits["shared_bytes"]
            )
            spaces.enter_user(user)
            work, state, scratch = spaces.WORKSPACE, spaces.STATE, "/tmp"  # noqa: S108
        else:
            work, state = self._at(work), self._at(state)
            scratch = f"{state}/scratch"
        os.chdir(work)
        if not self._full and self._config["level"] == "landlock":
            walls.become(user)
        os.umask(0o022)
        walls.limit(self._limits, user_processes=others)
        os.environ.clear()
        os.environ.update(_ENVIRONMENT, **self._names)
        os.environ.update(HOME=scratch, TMPDIR=scratch, IPYTHONDIR=f"{scratch}/.ipython")
        tempfile.tempdir = None
        os.environ["MPLCONFIGDIR"] = f"{scratch}/.matplotlib"
        if self._config["level"] != "none":
            writable = [work, state, "/tmp", "/dev/shm"] if self._full else [work, state]  # noqa: S108
            walls.close_in(
                full=self._full,
                network=self._config["network"],
                writable=writable,
                readable=self._config["readable"],
                key=self._key,
            )
        if not self._full:
            with contextlib.suppress(FileExistsError):
                Path(scratch).mkdir(mode=0o700)
        sys.path[0:0] = [""] if "" not in sys.path else []
        shell.begin(self._shell, Path(state))

    def _others_of(self, user: int) -> int:
        """How many processes there are already that count as this kernel's."""
        if self._full:
            return 0
        count = 0
        for process in watch.processes():
            with contextlib.suppress(OSError):
                count += os.stat(f"/proc/{process}").st_uid == user  # noqa: PTH116
        return count

    def _places(self) -> dict[str, str]:
        threads = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
        names = {f"{name}_NUM_THREADS": "1" for name in threads}
        path = f"{Path(sys.executable).parent}:{_ENVIRONMENT['PATH']}"
        return {**names, "PATH": path}

    # -- ends -------------------------------------------------------------------------------

    def _kill(self, child: Child) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.process, signal.SIGKILL)
        self._kill_rest(child)

    def _kill_rest(self, child: Child) -> None:
        """Where no namespace ends with its first process, its group is ended by hand."""
        if self._full:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process, signal.SIGKILL)
        first, count = self._users
        if count > 1 and os.geteuid() == 0:
            user = os.stat(child.work).st_uid  # noqa: PTH116
            if first <= user < first + count:
                _kill_all_of(user)

    def _reap(self, descriptor: int) -> None:
        child = next((c for c in self._children.values() if c.descriptor == descriptor), None)
        if child is None:
            return
        # While it is not waited for, its number is nobody else's.
        self._kill_rest(child)
        _, status = os.waitpid(child.process, 0)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        del self._children[child.number]
        self._send({"is": "ended", "id": child.number, "code": os.waitstatus_to_exitcode(status)})

    def _end_all(self) -> None:
        for child in self._children.values():
            self._kill(child)

    # -- looking ----------------------------------------------------------------------------

    def _watch(self, child: Child, *, on: bool) -> None:
        if on and not child.watched:
            child.began = watch.usage(self._members([child])[child]).seconds
            child.size = watch.folder_size(child.work, self._limits["workspace_bytes"])
        child.watched = on
        child.told.clear()

    def _members(self, children: list[Child]) -> dict[Child, list[int]]:
        members: dict[Child, list[int]] = {child: [] for child in children}
        by_place = {child.place: child for child in children}
        place_of = watch.space_of if self._full else watch.group_of
        for process in watch.processes():
            child = by_place.get(place_of(process))
            if child is not None:
                members[child].append(process)
        return members

    def _look(self) -> None:
        began = time.monotonic()
        if not self._full:
            _reap_orphans(self._children)
        for child, members in self._members(list(self._children.values())).items():
            ticks = watch.busy_ticks(members)
            if child.watched or ticks != child.ticks:
                self._look_at(child, members)
            child.ticks = ticks
        self._looked = time.monotonic()
        self._took = self._looked - began

    def _look_at(self, child: Child, members: list[int]) -> None:
        found = watch.usage(members)
        if found.memory > self._limits["memory_bytes"] * _OVERHEAD:
            self._tell(child, "memory")
            self._kill(child)
        elif found.processes > self._limits["processes"] * 2:
            self._tell(child, "processes")
            self._kill(child)
        elif child.watched:
            if found.seconds - child.began > self._limits["cpu_seconds"]:
                self._tell(child, "cpu")
            most = max(self._limits["workspace_bytes"], child.size)
            if watch.folder_size(child.work, most) > most:
                self._tell(child, "workspace")

    def _tell(self, child: Child, what: str) -> None:
        if what not in child.told:
            child.told.add(what)
            self._send({"is": "over", "id": child.number, "what": what})


def _reap_orphans(children: dict[int, Child]) -> None:
    """Those that a kernel's processes left behind, and that ended since."""
    ours = {child.process for child in children.values()}
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in ours:
            return
        os.waitpid(found.si_pid, 0)


def _kill_all_of(user: int) -> None:
    process = os.fork()
    if process == 0:
        with contextlib.suppress(BaseException):
            os.setresuid(user, user, user)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(process, 0)


def _only_descriptors(descriptors: list[int]) -> None:
    """Nothing is open but the null device, the two pipes, the channel, and the pipes again."""
    high = [os.dup2(descriptor, 100 + place) for place, descriptor in enumerate(descriptors)]
    null = os.open("/dev/null", os.O_RDWR)
    sources = (null, high[1], high[2], high[0], high[1], high[2])
    for target, source in enumerate(sources):
        os.dup2(source, target, inheritable=target < _DESCRIPTORS)
    os.closerange(len(sources), 65536)


def _warm_shell(preload: list[str]) -> tuple[shell.Shell, list[str]]:
    with tempfile.TemporaryDirectory() as scratch:
        # What libraries write when they are imported is for nobody.
        os.environ.update(HOME=scratch, MPLCONFIGDIR=scratch, IPYTHONDIR=scratch)
        return shell.make(preload)


def main(descriptor: int) -> None:
    """Serve the engine that holds the other end of `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    linux.die_with_parent()
    control = socket.socket(fileno=descriptor)
    config: Message = json.loads(control.recv(_MOST_MESSAGE))
    config["users"] = walls.own_users()
    try:
        if config["level"] == "full":
            process = spaces.enter(walls.id_maps(), network=config["network"])
            if process:
                control.close()
                os.waitpid(process, 0)
                return
            linux.die_with_parent()
        warm = _warm_shell(config["preload"])
        if config["level"] == "full":
            config["inner"] = spaces.make_base(
                config["workspaces"], config["readable"], network=config["network"]
            )
        elif config["level"] == "landlock":
            linux.adopt_orphans()
        Server(control, config, warm).run()
    except OSError as error:
        with contextlib.suppress(OSError):
            control.send(json.dumps({"is": "broken", "why": str(error)}).encode())
