"""The shell of one kernel: IPython, whose displays go out as Jupyter messages.

What it prints goes through its own two pipes, as the bytes they are, so that nothing between the
program and its reader has to be told; before a message leaves, they are flushed. One thread: a
kernel that does nothing costs nothing.
"""

# IPython has no types worth the name.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from . import checkpoint

Message = dict[str, Any]

_MOST_MESSAGE = 64 * 1024 * 1024
_CHANNEL, _PIPES = 3, (4, 5)
"""The descriptors that a kernel has besides those that every process has."""


class Channel:
    """Messages to and from the engine: four bytes of length, then JSON."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(self, message: Message) -> None:
        data = json.dumps(message, default=_plain, ensure_ascii=False).encode(errors="replace")
        if len(data) > _MOST_MESSAGE:
            content = {"ename": "OutputTooLarge", "evalue": "", "traceback": []}
            content["evalue"] = f"one output has {len(data):,} bytes; write it to a file instead"
            data = json.dumps({"type": "error", **content}).encode()
        self._socket.sendall(len(data).to_bytes(4, "little") + data)

    def receive(self) -> Message | None:
        head = self._exactly(4)
        if head is None:
            return None
        body = self._exactly(int.from_bytes(head, "little"))
        return None if body is None else json.loads(body)

    def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)


def _plain(value: object) -> object:
    """What JSON has no words for, in an output's data."""
    for name in ("item", "tolist"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    return str(value)


class _Out:
    """Where displays go; the channel comes after the fork."""

    channel: Channel | None = None
    token = b""
    process = 0

    def send(self, message: Message) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if self.channel is None or os.getpid() != self.process:
            # What a cell has forked is no kernel.
            return
        # What is printed from now on comes after this message, however the two are read.
        for descriptor in _PIPES:
            with contextlib.suppress(OSError):
                os.write(descriptor, self.token)
        self.channel.send(message)


out = _Out()


class Publisher(DisplayPublisher):
    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,  # noqa: ARG002 - IPython has it, and no meaning for it
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        out.send(
            {
                "type": "update_display_data" if update else "display_data",
                "data": _as_text(data),
                "metadata": metadata or {},
                "transient": transient or {},
            }
        )

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own
        out.send({"type": "clear_output", "wait": wait})


def _as_text(data: dict[str, Any]) -> dict[str, Any]:
    """A bundle as JSON has it: bytes in base64, as Jupyter does."""
    if not any(isinstance(value, bytes) for value in data.values()):
        return data
    from base64 import b64encode

    return {
        kind: b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }


class ResultHook(DisplayHook):
    _message: Message | None = None

    def start_displayhook(self) -> None:
        self._message = {"type": "execute_result"}

    def write_output_prompt(self) -> None:
        if self._message is not None:
            self._message["execution_count"] = self.prompt_count

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        if self._message is not None:
            self._message["data"] = _as_text(format_dict)
            self._message["metadata"] = md_dict or {}

    def finish_displayhook(self) -> None:
        message, self._message = self._message, None
        if message is not None and message.get("data"):
            out.send(message)


class Shell(InteractiveShell):
    def init_hooks(self) -> None:
        super().init_hooks()
        self.set_hook("show_in_pager", _page)

    def system(self, cmd: str) -> None:
        self.system_raw(cmd)

    def ask_exit(self) -> None:
        raise SystemExit

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        name = getattr(etype, "__name__", str(etype))
        out.send({"type": "error", "ename": name, "evalue": _words(evalue), "traceback": list(stb)})


def _words(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an exception's words are its author's code
        return type(value).__name__


def _page(_shell: object, data: Any, *_: object) -> None:
    bundle = data if isinstance(data, dict) else {"text/plain": str(data)}
    out.send({"type": "display_data", "data": bundle.get("data", bundle), "metadata": {}})


def make(preload: list[str]) -> tuple[Shell, list[str]]:
    """The shell that every fork begins with, and which of `preload` could not be imported.

    What IPython, pandas and matplotlib import when they are first used is used here once.
    """
    import importlib

    missing: list[str] = []
    for name in preload:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.autoindent = False
    config.InteractiveShell.display_page = True
    Shell.displayhook_class = ResultHook  # type: ignore[assignment]
    Shell.display_pub_class = Publisher  # type: ignore[assignment]
    shell: Shell = Shell.instance(config=config)
    warm_up(shell)
    return shell, missing


_WARM = """
import io as _io
try:
    import pandas as _pd
    _f = _pd.DataFrame({"a": [1, 2, 2], "b": ["x", "y", "z"]})
    _f["c"] = _pd.to_datetime(["2020-01-01"] * 3)
    _f._repr_html_(); repr(_f); _f.groupby("a")["b"].count(); _f.describe(); _f.to_csv()
    _pd.read_csv(_io.StringIO("a,b\\n1,2"), parse_dates=[0])
except ImportError:
    pass
try:
    import matplotlib.pyplot as _plt
    _plt.figure(); _plt.plot([1, 2], label="a"); _plt.title("t"); _plt.legend()
    _plt.show(); _plt.close("all")
except ImportError:
    pass
1/0
"""


def warm_up(shell: Shell) -> None:
    """Do once what is slow the first time, and leave no name behind."""
    if "matplotlib" in sys.modules:
        import matplotlib as mpl
        from matplotlib_inline.backend_inline import configure_inline_support

        mpl.use("module://matplotlib_inline.backend_inline")
        mpl.interactive(b=True)
        configure_inline_support(shell, "module://matplotlib_inline.backend_inline")
    before = set(shell.user_ns)
    shell.run_cell(_WARM, store_history=False)
    shell.run_cell("%timeit -n1 -r1 pass", store_history=False)
    shell.inspector.info(len)
    for name in set(shell.user_ns) - before:
        del shell.user_ns[name]
    shell.user_ns_hidden.update(dict.fromkeys(shell.user_ns))
    shell.execution_count = 1


class Kernel:
    """Answers the engine until it hangs up."""

    def __init__(self, shell: Shell, channel: Channel, state: Path) -> None:
        self._shell = shell
        self._channel = channel
        self._state = state
        self._hidden = set(shell.user_ns)
        self._first = dict(shell.user_ns)

    def serve(self) -> None:
        out.channel, out.process = self._channel, os.getpid()
        out.token = os.urandom(16)
        self._channel.send({"type": "ready", "token": out.token.hex()})
        while True:
            signal.signal(signal.SIGINT, _no_interrupt)
            request = self._channel.receive()
            if request is None:
                return
            self._channel.send(self._answer(request))

    def _answer(self, request: Message) -> Message:
        try:
            match request.get("do"):
                case "execute":
                    return self._execute(request["code"], silent=bool(request.get("silent")))
                case "snapshot":
                    return self._snapshot()
                case "restore":
                    return self._restore()
                case "names":
                    return {"type": "names", "names": self._names()}
                case other:
                    return {"type": "failed", "reason": f"no kernel can do {other!r}"}
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine is to know it
            return {"type": "failed", "reason": f"{type(error).__name__}: {_words(error)}"[:500]}

    def _execute(self, code: str, *, silent: bool) -> Message:
        shell = self._shell
        status, reason = "ok", ""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            result = shell.run_cell(code, store_history=not silent, silent=silent)
            error = result.error_before_exec or result.error_in_exec
            if error is not None:
                status, reason = _status_of(error)
                if isinstance(error, UsageError):
                    out.send(_error(error))
        except KeyboardInterrupt as error:
            # It came between the cell and its end.
            status, reason = "interrupted", ""
            out.send(_error(error))
        except SystemExit:
            status, reason = "ok", ""
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            if os.getpid() != out.process:
                os._exit(0)
            signal.signal(signal.SIGINT, _no_interrupt)
        return {
            "type": "execute_reply",
            "status": status,
            "reason": reason,
            "execution_count": shell.execution_count - (0 if silent else 1),
        }

    def _kept(self) -> checkpoint.Names:
        hidden = {name for name in self._hidden if self._is_as_it_was(name)}
        return checkpoint.worth_keeping(self._shell.user_ns, hidden)

    def _is_as_it_was(self, name: str) -> bool:
        return self._shell.user_ns.get(name) is self._first.get(name)

    def _names(self) -> list[str]:
        return sorted(
            name for name, value in self._kept().items() if not checkpoint.imported(value)
        )

    def _snapshot(self) -> Message:
        about = {"execution_count": self._shell.execution_count, "python": sys.version}
        done = checkpoint.save(self._shell.user_ns, self._kept(), self._state, about)
        return {"type": "snapshot_reply", **done}

    def _restore(self) -> Message:
        about = checkpoint.load(self._shell.user_ns, self._state)
        if about is None:
            return {"type": "restore_reply", "found": False, "names": [], "lost": {}}
        self._shell.execution_count = about["execution_count"]
        return {
            "type": "restore_reply",
            "found": True,
            "names": about["names"],
            "lost": about["lost"],
        }


def _status_of(error: BaseException) -> tuple[str, str]:
    match error:
        case KeyboardInterrupt():
            return "interrupted", ""
        case MemoryError():
            return "out_of_memory", _words(error)
        case SystemExit():
            return "ok", ""
        case _:
            return "error", f"{type(error).__name__}: {_words(error)}"[:2000]


def _error(error: BaseException) -> Message:
    trace = traceback.format_exception_only(error)
    return {
        "type": "error",
        "ename": type(error).__name__,
        "evalue": _words(error),
        "traceback": trace,
    }


def _no_interrupt(*_: object) -> None:
    """Nothing runs that could be interrupted."""


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, "utf-8", "replace", line_buffering=True)


def begin(shell: Shell, state: Path) -> None:
    """What is a kernel's own after the fork, then serve."""
    import random

    sys.stdin = io.StringIO()
    sys.stdout, sys.stderr = _writer(1), _writer(2)
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))
    shell.user_ns["__name__"] = "__main__"
    sys.modules["__main__"] = shell.user_module
    Kernel(shell, Channel(_CHANNEL), state).serve()
