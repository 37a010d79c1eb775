"""The screen for a person at a terminal: what is done scrolls away, only the last lines change.

At the bottom stand the end of a message that is being written, the question's menu or form, the
line that is typed, and one line of status; prompt_toolkit redraws these. Everything else is
rendered once and printed above them, so that it stays in the terminal's own scrollback.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer, DummyCompleter, DynamicCompleter, PathCompleter
from prompt_toolkit.filters import Always, Condition, Filter
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.completion import display_completions_like_readline
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from parlour.transports.terminal.page import Page, Tail
from parlour.transports.terminal.screen import (
    Line,
    Prompt,
    PromptGone,
    ShownFile,
    ShownPart,
    Status,
)
from parlour.transports.terminal.visible import one_line

Handler = Callable[[KeyPressEvent], None]

_AHEAD = 100
_TICK = 0.2
_MENU = 10
_ABOVE = 12
_KEPT_FREE = 8
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MINUTE = 60
_STYLE = Style.from_dict(
    {
        "mark": "ansicyan bold",
        "label": "bold",
        "dim": "fg:ansibrightblack",
        "picked": "ansicyan",
        "problem": "ansired",
    }
)


class LiveScreen:
    """Use it as `async with LiveScreen(...) as screen:`.

    `interrupt(typed=…)` is asked what Ctrl-C means; where it says no, a half-written line is
    cleared, or else the user leaves.
    """

    live = True

    def __init__(self, *, title: str, interrupt: Callable[..., bool]) -> None:
        self._interrupt = interrupt
        self._output = create_output()
        if isinstance(self._output, Vt100_Output):
            # Asking the terminal where the cursor is costs a round trip, and some never answer.
            self._output.enable_cpr = False
        self._page = Page()
        self._tail = Tail(self._page)
        self._status = Status()
        self._prompt: Prompt | None = None
        self._wanted: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._wanted.cancel()
        self._ahead: deque[str] = deque()
        self._cursor = 0
        self._picked: set[int] = set()
        self._complaint = ""
        self._draft = ""
        self._left = False
        self._paths = PathCompleter(expanduser=True)
        self._history = InMemoryHistory()
        self._buffer = Buffer(
            multiline=True,
            history=self._history,
            completer=DynamicCompleter(self._completer),
            on_text_changed=lambda _: self._forget_complaint(),
        )
        self._app: Application[None] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            style=_STYLE,
            output=self._output,
            erase_when_done=True,
            min_redraw_interval=0.03,
        )
        self._heading = self._page.title(title, "Ctrl-C stops the bot · Ctrl-D leaves · /help")

    # -- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._cleanup = contextlib.AsyncExitStack()
        # What handlers print, and what is logged, goes above the prompt like everything else.
        self._cleanup.enter_context(patch_stdout())
        self._task = asyncio.create_task(self._app.run_async(), name="parlour-screen")
        self._task.add_done_callback(lambda _: self.leave())
        self._ticker = asyncio.create_task(self._tick(), name="parlour-ticker")
        await self._drawn(self._task)
        self._write(self._heading)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ticker.cancel()
        if self._app.is_running and not self._task.done():
            self._app.exit()
        await asyncio.gather(self._ticker, self._task, return_exceptions=True)
        await self._cleanup.aclose()

    async def _drawn(self, task: asyncio.Task[None]) -> None:
        """Wait for the first drawing: from then on the keys are ours."""
        drawn = asyncio.Event()

        def note(_: Application[None]) -> None:
            drawn.set()

        self._app.after_render += note
        waiting = asyncio.ensure_future(drawn.wait())
        await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _tick(self) -> None:
        """What changes by itself: the mark of work, and the time that is left."""
        while True:
            await asyncio.sleep(_TICK)
            if self._status.working or (self._prompt and self._prompt.deadline is not None):
                self._app.invalidate()

    # -- what is shown ----------------------------------------------------------------------

    def bot(self, text: str, files: tuple[ShownFile, ...] = ()) -> None:
        self._write(self._tail.finish(text))
        if files:
            self._write(self._page.files(files))

    def stream(self, text: str) -> None:
        self._write(self._tail.grow(text) if text else self._tail.cut())
        self._app.invalidate()

    def user(self, text: str, files: tuple[str, ...] = (), note: str = "") -> None:
        self._write(self._page.user(text, files, note))

    def notice(self, text: str) -> None:
        self._write(self._page.notice(text))

    def problem(self, text: str) -> None:
        self._write(self._page.problem(text))

    def part(self, part: ShownPart) -> None:
        self._write(self._page.part(part))

    def status(self, status: Status) -> None:
        self._status = status
        self._app.invalidate()

    def _write(self, ansi: str) -> None:
        """Print above what is redrawn."""
        if not ansi:
            return
        running = self._app.is_running
        if running:
            self._app.renderer.erase()
        self._output.write_raw(ansi.replace("\n", "\r\n"))
        self._output.flush()
        if running:
            self._app.invalidate()

    # -- what is read -----------------------------------------------------------------------

    async def read(self, prompt: Prompt) -> Line:
        if self._left:
            raise EOFError
        self._open(prompt)
        try:
            return await self._wanted
        except PromptGone:
            # Half a message, when a question came, waits; half an answer is worth nothing now.
            if prompt.free:
                self._draft = self._buffer.text
            self._buffer.reset()
            raise
        finally:
            self._prompt = None
            self._complaint = ""
            self._app.invalidate()

    def _open(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._wanted = asyncio.get_running_loop().create_future()
        self._complaint = ""
        self._cursor = prompt.chosen[0] if prompt.chosen else 0
        self._picked = set(prompt.chosen)
        if prompt.free and self._draft and not self._ahead:
            self._buffer.insert_text(self._draft)
            self._draft = ""
        if self._ahead:
            self._submit(self._ahead.popleft())
        self._app.invalidate()

    def withdraw(self) -> None:
        if not self._wanted.done():
            self._wanted.set_exception(PromptGone())

    def leave(self) -> None:
        self._left = True
        if not self._wanted.done():
            self._wanted.set_exception(EOFError())

    def _accept(self) -> None:
        """Enter: the line is for this prompt, or for the next one where this has its line."""
        text = self._buffer.text
        if self._prompt is not None and not self._wanted.done():
            self._submit(text)
        elif text.strip() and len(self._ahead) < _AHEAD:
            self._ahead.append(text)
            self._buffer.reset()

    def _submit(self, text: str) -> None:
        prompt = self._prompt
        if prompt is None or (prompt.free and not text.strip()):
            return
        line = self._line(prompt, text)
        complaint = prompt.check(line) if prompt.check is not None else ""
        if complaint:
            if self._buffer.text != text:
                self._buffer.text = text
            self._complaint = complaint
        else:
            if prompt.free:
                self._history.append_string(text)
            if self._buffer.text == text:
                self._buffer.reset()
            self._wanted.set_result(line)
        self._app.invalidate()

    def _line(self, prompt: Prompt, text: str) -> Line:
        if text.strip() or not prompt.choices:
            return text
        return tuple(sorted(self._picked)) if prompt.many else (self._cursor,)

    def _forget_complaint(self) -> None:
        self._complaint = ""

    def _completer(self) -> Completer:
        wanted = self._prompt is not None and self._prompt.paths
        return self._paths if wanted else DummyCompleter()

    # -- the keys ---------------------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        bindings = KeyBindings()
        menu = Condition(lambda: bool(self._prompt and self._prompt.choices) and not self._typed)
        several = Condition(lambda: bool(self._prompt and self._prompt.many)) & menu

        def bind(call: Handler, *keys: str, when: Filter = Always()) -> None:  # noqa: B008
            bindings.add(*keys, filter=when)(call)

        bind(lambda _: self._accept(), "enter")
        bind(lambda event: event.current_buffer.insert_text("\n"), "escape", "enter")
        bind(lambda _: self._control_c(), "c-c")
        bind(lambda _: self._control_c(), "<sigint>")
        bind(self._control_d, "c-d")
        bind(lambda event: event.app.renderer.clear(), "c-l")
        bind(lambda event: event.app.suspend_to_background(), "c-z")
        bind(self._complete, "tab")
        bind(lambda _: self._move(-1), "up", when=menu)
        bind(lambda _: self._move(1), "down", when=menu)
        bind(lambda _: self._toggle(), "space", when=several)
        return bindings

    @property
    def _typed(self) -> bool:
        return bool(self._buffer.text)

    def _control_c(self) -> None:
        if self._interrupt(typed=self._typed):
            return
        if self._typed:
            self._buffer.reset()
            self._forget_complaint()
        else:
            self.leave()

    def _control_d(self, event: KeyPressEvent) -> None:
        if self._typed:
            event.current_buffer.delete()
        else:
            self.leave()

    def _complete(self, event: KeyPressEvent) -> None:
        if self._prompt is not None and self._prompt.paths:
            display_completions_like_readline(event)

    def _move(self, by: int) -> None:
        if self._prompt is not None:
            self._cursor = (self._cursor + by) % len(self._prompt.choices)

    def _toggle(self) -> None:
        self._picked ^= {self._cursor}

    # -- the last lines ---------------------------------------------------------------------

    def _layout(self) -> Layout:
        entry = Window(
            BufferControl(self._buffer, input_processors=[BeforeInput(self._before)]),
            height=Dimension(min=1, max=10),
            wrap_lines=True,
            dont_extend_height=True,
        )
        parts = [
            _part(self._tail_lines, lambda: bool(self._tail.text), wrap=False),
            _part(self._panel, lambda: bool(self._panel())),
            entry,
            _part(self._status_line, lambda: True),
        ]
        return Layout(HSplit(parts), focused_element=entry)

    def _tail_lines(self) -> StyleAndTextTuples:
        rows = max(3, self._output.get_size().rows - _KEPT_FREE)
        return to_formatted_text(ANSI("\n".join(self._tail.lines()[-rows:])))

    def _before(self) -> StyleAndTextTuples:
        return [("class:mark", "› ")]

    def _panel(self) -> StyleAndTextTuples:
        """The form so far, what is asked now, and its menu."""
        prompt = self._prompt
        if prompt is None:
            return []
        shown: StyleAndTextTuples = []
        for line in prompt.above[-_ABOVE:]:
            shown.append(("class:dim", f"  {one_line(line)}\n"))
        shown.extend(self._menu(prompt))
        if prompt.label:
            shown.append(("class:label", f"{one_line(prompt.label)} "))
        if prompt.hint:
            shown.append(("class:dim", f"({one_line(prompt.hint)})"))
        if shown and shown[-1][1].endswith("\n"):
            shown[-1] = (shown[-1][0], shown[-1][1].removesuffix("\n"))
        return shown

    def _menu(self, prompt: Prompt) -> StyleAndTextTuples:
        """The choices around the one that the arrow is at."""
        first = max(0, min(self._cursor - _MENU // 2, len(prompt.choices) - _MENU))
        shown: StyleAndTextTuples = []
        for place in range(first, min(first + _MENU, len(prompt.choices))):
            choice = prompt.choices[place]
            here = place == self._cursor and not self._typed
            box = ("[x] " if place in self._picked else "[ ] ") if prompt.many else ""
            style = "class:picked" if here else ""
            arrow = "❯" if here else " "
            shown.append((style, f"{arrow} {box}{place + 1}. {one_line(choice.label, 80)}"))
            if choice.description:
                shown.append(("class:dim", f"  {one_line(choice.description, 100)}"))
            shown.append(("", "\n"))
        if len(prompt.choices) > _MENU:
            shown.append(("class:dim", f"  {len(prompt.choices)} choices, ↑ ↓ shows them\n"))
        return shown

    def _status_line(self) -> StyleAndTextTuples:
        if self._complaint:
            return [("class:problem", one_line(self._complaint))]
        parts: list[str] = []
        if self._status.working:
            frame = _FRAMES[int(time.monotonic() / 0.1) % len(_FRAMES)]
            doing = one_line(self._status.doing, 60) or "working"
            parts.append(f"{frame} {doing}, Ctrl-C stops it")
        if self._status.queued:
            parts.append(f"{self._status.queued} waiting")
        if self._prompt is not None and self._prompt.deadline is not None:
            parts.append(f"answer within {_left(self._prompt.deadline)}")
        if self._prompt is not None and self._prompt.many and not self._typed:
            parts.append("Space picks, Enter is done")
        return [("class:dim", " · ".join(parts))]


def _part(
    text: Callable[[], StyleAndTextTuples], shown: Callable[[], bool], *, wrap: bool = True
) -> ConditionalContainer:
    window = Window(FormattedTextControl(text), wrap_lines=wrap, dont_extend_height=True)
    return ConditionalContainer(window, filter=Condition(shown))


def _left(deadline: float) -> str:
    seconds = max(0, int(deadline - time.time()))
    if seconds >= _MINUTE * _MINUTE:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // _MINUTE}:{seconds % _MINUTE:02}"
