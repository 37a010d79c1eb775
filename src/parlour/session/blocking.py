"""The handle for plain `def` handlers: the same words, which block in a worker thread."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

from parlour.questions import Question
from parlour.session.agent import File, Message
from parlour.session.asking import Options
from parlour.session.attachments import Attachment, Enclosed
from parlour.session.base import SessionBase, User
from parlour.session.effects import Effects
from parlour.session.handle import Session
from parlour.session.kernel import BlockingKernel
from parlour.session.part import BlockingPart, begun_part

T = TypeVar("T")


class BlockingSession(SessionBase):
    """The same conversation for a plain `def` handler, in its worker thread: it blocks.

    Stopping a round ends such a handler at its next call of the session, not before; one that is
    under way in such a call ends there. On the event loop's own thread, where waiting would stop
    every session, its calls raise `WrongThread`.
    """

    def __init__(self, session: Session, effects: Effects) -> None:
        super().__init__(effects)
        self._session = session

    def _now(self, call: Callable[[], T]) -> T:
        return self._effects.from_thread(call)

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        return self._effects.await_from_thread(call)

    @property
    def kernel(self) -> BlockingKernel:
        return BlockingKernel(self._session.kernel, self._effects)

    @property
    def user(self) -> BlockingUser:
        return BlockingUser(self._effects)

    def reply(self, text: str, attachments: Iterable[Enclosed] = ()) -> None:
        attachments = list(attachments)
        self._make(attachments)
        self._now(lambda: self._record_reply(text, attachments))

    def _make(self, attachments: Iterable[Enclosed]) -> None:
        """Make them here, in this thread, where it holds up nobody."""
        if not self._effects.repeats:
            for each in attachments:
                if isinstance(each, Attachment):
                    _ = each.packed

    def attach(self, attachment: Attachment | Path) -> File:
        return self._wait(lambda: self._session.attach(attachment))

    def part(
        self,
        name: str,
        *,
        kind: str = "",
        input: object = None,  # noqa: A002
        cost: bool = False,
    ) -> BlockingPart:
        """See `Session.part`; here it is `with session.part(…) as part:`."""
        return BlockingPart(self._effects, begun_part(name, kind, input), cost=cost)

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        self._now(lambda: self._show_progress(done, total, text))

    def show(self, component: str, data: object = None, *, text: str = "") -> None:
        self._now(lambda: self._record_show(component, data, text))

    def send_file(
        self,
        content: bytes | Path | str,
        *,
        name: str = "",
        type: str = "",  # noqa: A002
        text: str = "",
    ) -> File:
        return self._wait(lambda: self._session.send_file(content, name=name, type=type, text=text))

    def set(self, name: str, value: object) -> None:
        self._now(lambda: self._record_set(name, value))

    def delete(self, name: str) -> None:
        self._now(lambda: self._record_delete(name))

    def ask(self, text: str, kind: type[T] | Question = str, **options: Any) -> Any:  # type: ignore[assignment]
        """See `Session.ask`."""
        return self._wait(lambda: self._session.ask(text, cast("Any", kind), **options))

    def choose(self, text: str, options: Options, **more: Any) -> str:
        return self._wait(lambda: self._session.choose(text, options, **more))

    def choose_many(self, text: str, options: Options, **more: Any) -> list[str]:
        return self._wait(lambda: self._session.choose_many(text, options, **more))

    def confirm(self, text: str, **more: Any) -> bool:
        return self._wait(lambda: self._session.confirm(text, **more))

    def ask_file(self, text: str, **more: Any) -> File:
        return self._wait(lambda: self._session.ask_file(text, **more))

    def ask_files(self, text: str, **more: Any) -> list[File]:
        return self._wait(lambda: self._session.ask_files(text, **more))

    def ask_form(self, text: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return self._wait(lambda: self._session.ask_form(text, schema, **more))

    def step(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """See `Session.step`."""
        return self._wait(lambda: self._session.step(fn, *args, **options))

    def sleep(self, seconds: float | dt.timedelta) -> None:
        self._wait(lambda: self._session.sleep(seconds))

    def stream_from(self, source: Iterable[str]) -> str:
        """Send everything `source` gives as one message, live, and return its text."""
        sink = self._now(lambda: self._effects.stream(""))
        if not self._effects.streamed(sink):
            for token in source:
                self._now(partial(sink.write, token))
        self._now(lambda: self._effects.end_stream(sink))
        return sink.text

    def remind(
        self, name: str, when: float | dt.timedelta | dt.datetime, data: object = None
    ) -> None:
        """See `Session.remind`."""
        self._now(lambda: self._record_reminder(name, when, data))

    def cancel_reminder(self, name: str) -> None:
        self._now(lambda: self._record_cancellation(name))

    def now(self) -> dt.datetime:
        return self._now(self._draw_time)

    def random(self) -> float:
        return self._now(self._draw_random)

    def uuid(self) -> UUID:
        return self._now(self._draw_uuid)

    def take_messages(self) -> tuple[Message, ...]:
        return self._now(self._session.take_messages)

    def fetch_history(self, *, before: int | None = None, limit: int = 100) -> list[Message]:
        return self._wait(lambda: self._session.fetch_history(before=before, limit=limit))

    def add_cost(self, amount: float | Decimal | None = None, **details: Any) -> None:
        self._now(lambda: self._session.add_cost(amount, **details))

    def close(self) -> None:
        self._now(self._session.close)


class BlockingUser:
    """The session's user, for a plain handler."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._user = User(effects)

    @property
    def id(self) -> str:
        return self._user.id

    def set(self, name: str, value: object) -> None:
        self._effects.from_thread(lambda: self._user.set(name, value))

    def delete(self, name: str) -> None:
        self._effects.from_thread(lambda: self._user.delete(name))

    def get(self, name: str, default: Any = None) -> Any:
        return self._effects.await_from_thread(lambda: self._user.get(name, default))


async def run_blocking(session: Session, fn: Callable[..., T], *args: Any) -> T:
    """Call a plain handler in a worker thread, with a `BlockingSession` before `args`."""
    effects = session.effects
    call = partial(fn, BlockingSession(session, effects), *args)
    return await effects.in_thread(call, handler=True)
