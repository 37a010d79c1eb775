"""How a failure reaches a person: one line for what Parlour expects, their own code for theirs.

Knows nothing of the commands that fail.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import typer

from parlour.errors import ParlourError

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


@contextmanager
def failures(app: Path | None = None) -> Generator[None]:
    """Ends the process with one clear line, or with the traceback of the user's file `app`."""
    try:
        yield
    except ParlourError as error:
        tell(error)
        raise typer.Exit(1) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - a user's file may raise anything
        tell(error, app)
        raise typer.Exit(1) from None


def tell(error: Exception, app: Path | None = None) -> None:
    """Say on stderr what went wrong; `app` is the user's file, whose frames are shown."""
    if isinstance(error, ParlourError):
        print(f"parlour: {error}", file=sys.stderr)  # noqa: T201 - this is where it is told
        return
    lines = traceback.format_exception_only(error)
    frames = _frames_of(app, error.__traceback__)
    if frames:
        lines = [
            "Traceback (most recent call last):\n",
            *traceback.format_list(frames),
            *lines,
        ]
    elif not (isinstance(error, SyntaxError) and app is not None):
        lines = [*traceback.format_exception(error), "parlour: this is a mistake in Parlour\n"]
        app = None
    if app is not None:
        lines.append(f"parlour: {app} cannot be loaded; mend the line above\n")
    print("".join(lines), end="", file=sys.stderr)  # noqa: T201


def log_shortly(app: Path) -> None:
    """Log to stderr, with the tracebacks of handlers cut down to the user's own code."""
    handler = _Stderr()
    handler.setFormatter(_Short(app))
    logging.getLogger().addHandler(handler)


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: a screen may stand in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


class _Short(logging.Formatter):
    def __init__(self, app: Path) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self._app = app

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - logging's name
        error = ei[1]
        frames = [] if error is None else _frames_of(self._app, error.__traceback__)
        if error is None or not frames:
            return super().formatException(ei)
        told = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
        return "".join(told).rstrip()


def _frames_of(app: Path | None, trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames from the user's file on, without Parlour's own and the import machinery's."""
    frames = traceback.extract_tb(trace)
    if app is None:
        return []
    file = str(app.resolve())
    first = next((place for place, frame in enumerate(frames) if frame.filename == file), None)
    if first is None:
        return []
    return [frame for frame in frames[first:] if not _is_machinery(frame.filename)]


def _is_machinery(filename: str) -> bool:
    spec = find_spec("parlour")
    home = str(Path(spec.origin).parent) if spec is not None and spec.origin else ""
    return filename.startswith("<frozen importlib") or (bool(home) and filename.startswith(home))
