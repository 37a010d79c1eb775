"""What a session needs of whatever runs it: the seam between `Session` and the engine.

The engine implements `Effects`, one for each round; the session's handle turns it into the words
that handlers use. Every effect is journaled under a path made of `kind`, `name` and occurrence.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import Raw

from parlour.events import (
    Button,
    Event,
    FileRef,
    MessageAdded,
    PartBegun,
    PartEnded,
    QuestionAnswered,
)
from parlour.kernels.cell import Cell
from parlour.questions import Question
from parlour.state import Said, Stored, View

if TYPE_CHECKING:
    from parlour.session.agent import File
    from parlour.session.attachments import Attachment, Packed

T = TypeVar("T")


class Receipt(Protocol):
    """An effect that has happened; awaiting it waits until it is durable and gives its seq."""

    @property
    def seq(self) -> int: ...

    def __await__(self) -> Any: ...


class StreamSink(Protocol):
    """A message that is being written."""

    @property
    def text(self) -> str: ...

    def write(self, text: str) -> None: ...


class PartSink(StreamSink, Protocol):
    """A part of the work that is shown."""

    @property
    def recorded(self) -> bool:
        """Whether its end is in the journal already."""
        ...


class Effects(Protocol):
    """The effects of one round of one session.

    All raise `SessionOver` when the round has ended, and the `Unwinding` that unwinds the handler
    while it is being unwound; all raise `Diverged` where the journal has something else at the
    same path. Calls that only read (`view`) need no path and never wait.
    """

    @property
    def session_id(self) -> str: ...

    @property
    def user(self) -> str: ...

    @property
    def profile(self) -> str: ...

    @property
    def user_env(self) -> Mapping[str, str]: ...

    @property
    def view(self) -> View: ...

    @property
    def began(self) -> float:
        """When the round began, in Unix seconds, as the log has it."""
        ...

    @property
    def place(self) -> Raw:
        """What the agent remembered of its own place when the round began; JSON."""
        ...

    @property
    def local(self) -> dict[str, Any]: ...

    def record(self, kind: str, name: str, build: Callable[[str], Event]) -> Receipt:
        """An effect that is done by being recorded; `build` makes its event for a path."""
        ...

    def enclose(
        self,
        files: Sequence[Attachment | File],
        build: Callable[[str, tuple[FileRef, ...]], MessageAdded],
    ) -> Receipt:
        """A message with files, which are durable before it is. Raises `LimitExceeded`.

        In a replay nothing is packed and nothing is written.
        """
        ...

    @property
    def repeats(self) -> bool:
        """Whether what comes next may be in the journal already."""
        ...

    def begin_part(self, begun: PartBegun) -> PartSink:
        """What is recorded from now on belongs to the part, until `end_part`.

        `begun` needs no path.
        """
        ...

    def end_part(self, part: PartSink, ended: PartEnded | None, *, cost: bool) -> None:
        """The part is over; None: it is left as it is. `cost`: say what was used within."""
        ...

    def progress(self, done: float, total: float | None, text: str) -> None:
        """How far the part is that goes on here, or the round."""
        ...

    def draw(self, kind: str, make: Callable[[], Raw]) -> Raw:
        """A value from outside (time, chance) that a replay gets again."""
        ...

    async def ask(
        self, name: str, text: str, question: Question, timeout: float | None, note: str
    ) -> QuestionAnswered | None:
        """Ask and wait; None where time ran out (`timeout` in seconds)."""
        ...

    async def perform(
        self,
        kind: str,
        name: str,
        digest: str,
        run: Callable[[], Awaitable[tuple[Raw, str]]],
        *,
        at_most_once: bool = False,
    ) -> tuple[Raw, str]:
        """Run once and keep the result, a value's JSON and kind. Raises `StepFailed`."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def remind(self, name: str, due: float, data: Raw, *, wait: bool = True) -> Receipt:
        """Have a round begin after `due` seconds, or without `wait` at that Unix time."""
        ...

    def start_work(self, name: str, data: Raw) -> Receipt:
        """Have the agent's `work` called beside the rounds; the receipt's seq names it."""
        ...

    def cancel_work(self, number: int) -> Receipt:
        """Nobody needs that any more; what has ended already is no error."""
        ...

    def stream(self, name: str) -> StreamSink:
        """Begin a message whose text comes bit by bit."""
        ...

    def enclose_in(
        self,
        sink: StreamSink,
        files: Sequence[Attachment | File],
        actions: Sequence[Button],
    ) -> None:
        """Files and buttons of a message that is being written."""
        ...

    def end_stream(self, sink: StreamSink) -> Receipt | None:
        """The message is complete (None if nothing was written)."""
        ...

    async def begin_stream(self, name: str) -> StreamSink:
        """`stream`, for a handler that can wait for its turn."""
        ...

    async def finish_stream(self, sink: StreamSink, *, cut: bool) -> None:
        """`end_stream`, in turn. `cut`: the handler is cancelled before the message is complete.

        One that was cut when it was recorded waits here to be cancelled again.
        """
        ...

    def streamed(self, sink: StreamSink) -> bool:
        """Whether the message is in the journal already."""
        ...

    async def gather(self, branches: Sequence[Awaitable[Any]]) -> list[Any]: ...

    async def race(self, branches: Sequence[Awaitable[Any]]) -> Any: ...

    def take_messages(self) -> tuple[Said, ...]:
        """What the user said since the round began; it starts no round of its own any more."""
        ...

    async def in_thread(self, call: Callable[[], T], *, handler: bool = False) -> T:
        """Run a plain function in a worker thread; a `handler` may leave it while it waits."""
        ...

    async def in_process(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Raw, str]:
        """Run a plain function in another process; its result as JSON and kind."""
        ...

    def from_thread(self, call: Callable[[], T]) -> T:
        """Run `call` on the event loop, from a worker thread, and wait for it."""
        ...

    def await_from_thread(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await what `call` gives on the event loop, from a worker thread."""
        ...

    async def run_cell(
        self,
        code: str,
        files: Sequence[tuple[str, Path]],
        seconds: float | None,
        live: Callable[[str], None],
    ) -> Cell:
        """Run code in the session's kernel, inside of `perform`; `files` are put beside it first.

        `live` is told what it prints, while the round goes on. Raises `KernelUnavailable`.
        """
        ...

    async def restart_kernel(self) -> None:
        """Forget the kernel's variables, inside of `perform`."""
        ...

    async def user_value(self, name: str) -> Stored | None: ...

    async def history(self, before: int | None, limit: int) -> list[Said]: ...

    def workspace(self) -> Path: ...

    def file_path(self, file: FileRef) -> Path: ...

    async def add_file(self, content: AsyncIterable[bytes], name: str, type_: str) -> FileRef:
        """Store a file of the bot."""
        ...

    async def keep_file(self, name: str, packed: Packed) -> FileRef:
        """Store an attachment as a file of the bot. Raises `LimitExceeded`."""
        ...

    def close_after_round(self) -> None: ...
