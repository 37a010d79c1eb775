"""Where a thread stands: for log lines that name the code that is to blame."""

from __future__ import annotations

import sys
import sysconfig
from functools import partial
from inspect import currentframe
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

_NOT_THE_APPS = tuple(
    {
        str(Path(__file__).parent.parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        "<frozen",
    }
)


class Place(NamedTuple):
    """A line of code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


def stack_of(thread: int | None) -> list[FrameType]:
    """The frames of a thread, innermost first; none if it has ended."""
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return _outwards(None if thread is None else frames.get(thread))


def depth_below() -> int:
    """How many frames there are below the caller of this."""
    here = currentframe()
    return 0 if here is None else len(_outwards(here.f_back)) - 1


def app_place(stack: list[FrameType]) -> Place | None:
    """The innermost place in the app's own code; the innermost of all if it has none there."""
    for frame in stack:
        if not frame.f_code.co_filename.startswith(_NOT_THE_APPS):
            return _place(frame)
    return _place(stack[0]) if stack else None


def name_of(call: Any) -> str:
    """The name of a function, also of one that has been given some of its arguments."""
    while isinstance(call, partial):
        call = call.func
    return getattr(call, "__qualname__", None) or type(call).__qualname__


def _outwards(frame: FrameType | None) -> list[FrameType]:
    found: list[FrameType] = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _place(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
