"""The other process: it calls plain functions for steps, one after another, until nobody asks.

Only bytes go back: a result as the log keeps it, an error as well as it can be sent. It knows
nothing of sessions.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from multiprocessing.connection import Connection, wait
from multiprocessing.process import parent_process
from types import ModuleType
from typing import Any

from msgspec import Struct

from parlour.errors import NotStorable, describe
from parlour.session.values import encode_value

READY = b"ready"
BEGUN = b"begun"
"""Said before the function is called: a process that dies without it has done nothing."""


class Request(Struct):
    """A call to make.

    `call` is the pickled function and its arguments; `files` are app files that can only be
    imported by their path; `limit` is the most bytes a result may have.
    """

    call: bytes
    files: dict[str, str]
    limit: int


class Returned(Struct):
    """What the function gave, as JSON and kind."""

    value: bytes
    kind: str


class Raised(Struct):
    """The function raised. `error` is the pickled exception, empty where that cannot be sent."""

    error: bytes
    type: str
    reason: str
    trace: str


class Unstorable(Struct):
    """The function ran, but the log cannot keep its result."""

    reason: str


class Unreadable(Struct):
    """The call could not be read here."""

    reason: str


Answer = Returned | Raised | Unstorable | Unreadable


def serve(connection: Connection) -> None:
    """Answer requests until the connection or the parent process ends."""
    # Ctrl-C goes to the whole group; it is the parent who decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    files = _AppFiles()
    sys.meta_path.append(files)
    connection.send_bytes(READY)
    while True:
        try:
            request: Request = pickle.loads(connection.recv_bytes())  # noqa: S301 - from the parent
            connection.send_bytes(BEGUN)
        except (EOFError, OSError):
            return
        files.paths.update(request.files)
        connection.send_bytes(pickle.dumps(_answer(request)))


class _AppFiles:
    """Finds app files that have no name by which Python could find them."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        del path, target
        file = self.paths.get(name)
        return None if file is None else spec_from_file_location(name, file)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _answer(request: Request) -> Answer:
    try:
        fn, args = pickle.loads(request.call)  # noqa: S301 - from the parent
    except Exception as error:  # noqa: BLE001 - importing runs the author's modules
        return Unreadable(f"{type(error).__name__}: {describe(error)}")
    try:
        result = fn(*args)
    except BaseException as error:  # noqa: BLE001 - an exit too ends the step, not this process
        return _raised(error)
    try:
        value, kind = encode_value(result)
    except NotStorable as error:
        return Unstorable(describe(error))
    data = bytes(value)
    if len(data) > request.limit:
        return Unstorable(
            f"the result has {len(data):,} bytes, at most {request.limit:,} are kept; write large "
            "data to a file in session.workspace and return its name"
        )
    return Returned(data, kind)


def _raised(error: BaseException) -> Raised:
    trace = "".join(traceback.format_exception(error))
    return Raised(_pickled(error), type(error).__qualname__, describe(error), trace[-20_000:])


def _pickled(error: BaseException) -> bytes:
    """The exception as it can be sent; without what it holds, or b"", where that cannot be."""
    whole: Callable[[], object] = lambda: error  # noqa: E731 - it stands beside the others
    for attempt in (
        whole,
        lambda: _Rebuilt(type(error), error.args, vars(error)),
        lambda: _Rebuilt(type(error), tuple(str(arg) for arg in error.args), {}),
    ):
        try:
            data = pickle.dumps(attempt())
            if type(pickle.loads(data)) is type(error):  # noqa: S301 - just made here
                return data
        except Exception:  # noqa: BLE001, S112 - a class may do anything when it is pickled
            continue
    return b""


class _Rebuilt:
    """Pickles to an exception that is made without its `__init__`, which may want other things."""

    def __init__(
        self, kind: type[BaseException], args: tuple[Any, ...], held: Mapping[str, Any]
    ) -> None:
        self._parts = (kind, args, dict(held))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._parts


def _rebuild(
    kind: type[BaseException], args: tuple[Any, ...], held: Mapping[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(held)
    return error
