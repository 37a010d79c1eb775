"""The screen for pipes and simple terminals: lines in, lines out, no escape codes."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TextIO

from parlour.transports.terminal.screen import (
    Line,
    Prompt,
    PromptGone,
    ShownFile,
    ShownPart,
    Status,
)
from parlour.transports.terminal.visible import visible

_AHEAD = 1000


class PlainScreen:
    """Reads `source` in a thread, at most some lines ahead, and writes to `sink`.

    What the user says is not printed: whoever wrote it knows it.
    """

    live = False

    def __init__(self, source: TextIO | None = None, sink: TextIO | None = None) -> None:
        self._source = source or sys.stdin
        self._sink = sink or sys.stdout
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None
        # A daemon: nothing can end a thread that waits for a line of a terminal.
        threading.Thread(target=self._listen, name="parlour-stdin", daemon=True).start()

    def _listen(self) -> None:
        try:
            for line in self._source:
                self._room.acquire()
                self._post(line.rstrip("\r\n"))
        except (OSError, ValueError):
            pass
        self._post(None)

    def _post(self, line: str | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
        except RuntimeError:
            return

    def _print(self, text: str) -> None:
        safe = visible(text)
        encoding = getattr(self._sink, "encoding", None) or "utf-8"
        print(safe.encode(encoding, "replace").decode(encoding), file=self._sink, flush=True)

    def bot(self, text: str, files: tuple[ShownFile, ...] = ()) -> None:
        lines = [f"[file] {file.name} · {file.about}" for file in files]
        self._print("\n".join([*([text] if text else []), *lines]))

    def stream(self, text: str) -> None:
        """A pipe gets whole messages."""

    def user(self, text: str, files: tuple[str, ...] = (), note: str = "") -> None:
        """Nothing: it stands in the script, or on the screen already."""

    def notice(self, text: str) -> None:
        self._print(f"({text})")

    def problem(self, text: str) -> None:
        self._print(f"! {text}")

    def part(self, part: ShownPart) -> None:
        indent = "  " * (part.depth + 1)
        how = "" if part.status == "done" else f" {part.status}"
        lines = [f"[{part.name}]{how} {part.about}".rstrip()]
        for sign, text in (("> ", part.input), ("< ", part.output)):
            lines += [sign + line for line in text.splitlines()]
        self._print("\n".join(indent + line for line in lines))

    def status(self, status: Status) -> None:
        """Nothing is kept in view."""

    async def read(self, prompt: Prompt) -> Line:
        self._show(prompt)
        while True:
            line = await self._next()
            complaint = prompt.check(line) if prompt.check is not None else ""
            if not complaint:
                return line
            self.problem(complaint)

    def _show(self, prompt: Prompt) -> None:
        for number, choice in enumerate(prompt.choices, 1):
            about = f" - {choice.description}" if choice.description else ""
            self._print(f"  {number}. {choice.label}{about}")
        if prompt.deadline is not None:
            until = time.strftime("%H:%M", time.localtime(prompt.deadline))
            self._print(f"  (until {until})")
        shown = " ".join(part for part in (prompt.label, prompt.hint) if part)
        if shown and not prompt.free:
            self._print(f"  {shown}")

    async def _next(self) -> str:
        if self._ended:
            raise EOFError
        getting = asyncio.ensure_future(self._lines.get())
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((getting, self._waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting = None
            if not getting.done():
                getting.cancel()
        if not getting.done():
            raise EOFError if self._ended else PromptGone
        line = getting.result()
        if line is None:
            self._ended = True
            raise EOFError
        self._room.release()
        return line

    def withdraw(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def leave(self) -> None:
        self._ended = True
        self.withdraw()
