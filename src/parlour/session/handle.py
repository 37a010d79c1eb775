"""The handle: what an `async def` handler does with its session.

It says what is wanted; the engine behind `Effects` does it, once, and journals it. Nothing here
knows stores, wires or the engine. `blocking` has the same words for plain functions.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime as dt
import inspect
import mimetypes
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from decimal import Decimal
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, overload
from uuid import UUID

import msgspec
from msgspec import Raw

from parlour.errors import AskTimeout, NotStorable, describe
from parlour.events import (
    FileRef,
    MessageAdded,
)
from parlour.questions import Question
from parlour.session.agent import File, Message
from parlour.session.arguments import (
    Validator,
    all_awaitable,
    complaint_of,
    effect_name,
    media_type,
    plain_function,
    plain_text,
    whole_number,
)
from parlour.session.arguments import seconds as as_seconds
from parlour.session.asking import Options, Prompt, choice_for, files_for, form_for, prompt_for
from parlour.session.attachments import Attachment, Enclosed, sorted_out
from parlour.session.base import SessionBase, User, file_of, message_of
from parlour.session.effects import Receipt
from parlour.session.kernel import SessionKernel
from parlour.session.part import Part, begun_part
from parlour.session.stepping import Retry, as_annotated, attempt
from parlour.session.stream import Stream
from parlour.session.values import digest, encode_value
from parlour.stores.files import one_chunk, safe_name

T = TypeVar("T")
D = TypeVar("D")
Show = Literal["input", "output", "all"]


class Session(SessionBase):
    """One person's conversation, as an `async def` handler sees it.

    `reply`, `set` and `delete` take effect at once and need no await; what they return may be
    awaited, which waits until it is durable. Everything here is journaled: after a crash the
    handler runs again from its start, and what is recorded is not done again. Code between these
    calls may run again; put effects on the world outside into `step`.
    """

    def reply(self, text: str, attachments: Iterable[Enclosed] = ()) -> Receipt:
        """Say something to the user, in Markdown.

        `attachments` are shown below: `Image`, `Table`, `Figure`, `Audio`, `Video`, `Pdf`, `Html`,
        `File`s and paths, and the buttons of `Actions`. They become files of the session, which
        are durable before the message is; in a replay they are neither made nor written again.
        Making them takes its time here: where that is long, `attach` does it in a thread. Raises
        `LimitExceeded` for files that are too many or too large.
        """
        return self._record_reply(text, attachments)

    async def attach(self, attachment: Attachment | Path) -> File:
        """Make an attachment in a worker thread and keep it as a file of the session, once.

        What is returned is for `attachments`, now or later.
        """
        (made,), _ = sorted_out([attachment])
        if isinstance(made, File):
            return made

        async def add() -> tuple[Raw, str]:
            packed = await asyncio.to_thread(lambda: made.packed)
            return encode_value(await self._effects.keep_file(made.name, packed))

        data, _ = await self._effects.perform("file", made.name, digest(made.name), add)
        return file_of(self._effects, msgspec.json.decode(data, type=FileRef))

    def part(self, name: str, *, kind: str = "", input: object = None, cost: bool = False) -> Part:  # noqa: A002
        """A part of the work that the user sees, with its time: `async with session.part(…):`.

        Nothing of what goes in or comes out is shown unless it is given: `input` and the part's
        `output` are Markdown, or values that are shown as JSON. `kind` is a word for what it is:
        "tool", "model", "post". `cost` shows what `add_cost` adds within.
        """
        return Part(self._effects, begun_part(name, kind, input), cost=cost)

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Show how far the work is; it is never stored, and goes with the round or its part."""
        self._show_progress(done, total, text)

    def show(self, component: str, data: object = None, *, text: str = "") -> Receipt:
        """Show a component of the app's own with `data`; see docs/looks.md.

        `text` says the same in Markdown, for where no component can be shown.
        """
        return self._record_show(component, data, text)

    async def send_file(
        self,
        content: bytes | Path | str,
        *,
        name: str = "",
        type: str = "",  # noqa: A002
        text: str = "",
    ) -> File:
        """Give the user a file: bytes with a `name`, or the path of an existing file."""
        source = _content(content)
        text = plain_text("a message", text)
        if not name:
            name = "file" if isinstance(source, bytes) else source.name
        # Names of files are often others': what does not belong into one is left out.
        name = plain_text("a file's name", safe_name(name) if isinstance(name, str) else name)  # pyright: ignore[reportUnnecessaryIsInstance]
        kind = media_type(type or mimetypes.guess_type(name)[0] or "application/octet-stream")

        async def add() -> tuple[Raw, str]:
            data = (
                source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
            )
            return encode_value(await self._effects.add_file(one_chunk(data), name, kind))

        data, _ = await self._effects.perform("file", name, digest(name, kind), add)
        ref = msgspec.json.decode(data, type=FileRef)
        self._effects.record(
            "reply",
            "",
            lambda path: MessageAdded(role="bot", text=text, files=(ref,), path=path),
        )
        return file_of(self._effects, ref)

    def set(self, name: str, value: object) -> Receipt:
        """Remember a value in this session. Raises `NotStorable` for what the log cannot keep."""
        return self._record_set(name, value)

    def delete(self, name: str) -> Receipt:
        """Forget a variable; one that is not set is no error."""
        return self._record_delete(name)

    def stream(self, *, name: str = "") -> Stream:
        """A message that is written bit by bit."""
        return Stream(self._effects, name)

    async def stream_from(self, source: AsyncIterable[str] | Iterable[str]) -> str:
        """Send everything `source` gives as one message, live, and return its text.

        In a replay the recorded text is returned and `source` is not touched.
        """
        if not isinstance(source, AsyncIterable | Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(  # pyright: ignore[reportUnreachable]
                f"a message is streamed from texts that come one by one, not from a "
                f"{builtins.type(source).__qualname__}; use reply for a whole text"
            )
        async with Stream(self._effects, "") as out:
            if not out.recorded:
                if isinstance(source, AsyncIterable):
                    async for token in source:
                        out.write(token)
                else:
                    for token in source:
                        out.write(token)
        return out.text

    @overload
    async def ask(
        self,
        text: str,
        kind: type[str] = str,
        *,
        default: str | None = None,
        timeout: float | dt.timedelta | None = None,
        validate: Validator | None = None,
        minimum: int | None = None,
        maximum: int | None = None,
        multiline: bool = False,
        name: str = "",
    ) -> str: ...
    @overload
    async def ask(
        self,
        text: str,
        kind: type[T],
        *,
        default: T | None = None,
        timeout: float | dt.timedelta | None = None,
        validate: Validator | None = None,
        minimum: Any = None,
        maximum: Any = None,
        name: str = "",
    ) -> T: ...
    @overload
    async def ask(
        self,
        text: str,
        kind: Question,
        *,
        default: Any = None,
        timeout: float | dt.timedelta | None = None,
        validate: Validator | None = None,
        name: str = "",
    ) -> Any: ...
    async def ask(
        self,
        text: str,
        kind: Any = str,
        *,
        default: Any = None,
        timeout: float | dt.timedelta | None = None,
        validate: Validator | None = None,
        minimum: Any = None,
        maximum: Any = None,
        multiline: bool = False,
        name: str = "",
    ) -> Any:
        """Ask the user and wait for the answer, for as long as it takes.

        `kind` says what is wanted: str, int, float, bool (yes or no), datetime.date, or a
        dataclass, struct or pydantic model (a form). `minimum` and `maximum` bound numbers, dates
        and the length of text. `default` is what an empty answer means, and what is returned when
        nobody answered within `timeout` (seconds or a timedelta); without a default that raises
        `AskTimeout`. `validate` gets the answer and may return a complaint, with which the
        question is asked again. `name` keeps the question's place in the journal when others are
        added around it.
        """
        prompt = prompt_for(
            kind, default=default, minimum=minimum, maximum=maximum, multiline=multiline
        )
        return await self._ask(
            text, prompt, default=default, timeout=timeout, validate=validate, name=name
        )

    async def choose(
        self,
        text: str,
        options: Options,
        *,
        default: str | None = None,
        timeout: float | dt.timedelta | None = None,
        name: str = "",
    ) -> str:
        """Ask for one of `options`: texts, a mapping from value to label, or `Option`s."""
        prompt = choice_for(options, many=False, default=default, minimum=0, maximum=None)
        return cast(
            "str", await self._ask(text, prompt, default=default, timeout=timeout, name=name)
        )

    async def choose_many(
        self,
        text: str,
        options: Options,
        *,
        minimum: int = 0,
        maximum: int | None = None,
        default: Sequence[str] | None = None,
        timeout: float | dt.timedelta | None = None,
        name: str = "",
    ) -> list[str]:
        """Ask for several of `options`, in the order they are offered."""
        if isinstance(default, str):
            raise TypeError("the default of several choices is a list; write [default]")
        fallback = None if default is None else list(default)
        prompt = choice_for(options, many=True, default=fallback, minimum=minimum, maximum=maximum)
        return cast(
            "list[str]", await self._ask(text, prompt, default=fallback, timeout=timeout, name=name)
        )

    async def confirm(
        self,
        text: str,
        *,
        default: bool | None = None,
        timeout: float | dt.timedelta | None = None,
        name: str = "",
    ) -> bool:
        """Ask for yes or no."""
        prompt = prompt_for(bool, default=default)
        return cast(
            "bool", await self._ask(text, prompt, default=default, timeout=timeout, name=name)
        )

    async def ask_file(
        self,
        text: str,
        *,
        accept: Sequence[str] = (),
        max_bytes: int | None = None,
        timeout: float | dt.timedelta | None = None,
        name: str = "",
    ) -> File:
        """Ask for one file; `accept` holds media types (`image/*`) or endings (`.pdf`)."""
        files = await self.ask_files(
            text, accept=accept, max_bytes=max_bytes, timeout=timeout, name=name
        )
        return files[0]

    async def ask_files(
        self,
        text: str,
        *,
        accept: Sequence[str] = (),
        minimum: int = 1,
        maximum: int = 1,
        max_bytes: int | None = None,
        timeout: float | dt.timedelta | None = None,
        name: str = "",
    ) -> list[File]:
        """Ask for `minimum` to `maximum` files, each of at most `max_bytes`."""
        question = files_for(accept, minimum, maximum, max_bytes)
        answer = await self._effects.ask(
            effect_name(name), plain_text("a question", text), question, as_seconds(timeout), ""
        )
        if answer is None:
            raise AskTimeout(f"nobody sent a file in time: {text}")
        return [file_of(self._effects, ref) for ref in answer.files]

    async def ask_form(
        self,
        text: str,
        schema: Mapping[str, Any],
        *,
        timeout: float | dt.timedelta | None = None,
        name: str = "",
    ) -> dict[str, Any]:
        """Ask for an object that fits a JSON schema. For a typed form, `ask` for a model."""
        answer = await self._ask(text, form_for(schema), timeout=timeout, name=name)
        return cast("dict[str, Any]", answer)

    async def _ask(
        self,
        text: str,
        prompt: Prompt,
        *,
        default: Any = None,
        timeout: float | dt.timedelta | None,
        validate: Validator | None = None,
        name: str,
    ) -> Any:
        if validate is not None and not callable(validate):
            raise TypeError(  # pyright: ignore[reportUnreachable]
                "validate is a function that gets the answer and returns a complaint or None"
            )
        name, text = effect_name(name), plain_text("a question", text)
        wait = as_seconds(timeout)
        note = ""
        while True:
            answer = await self._effects.ask(name, text, prompt.question, wait, note)
            if answer is None:
                if default is None:
                    raise AskTimeout(f"nobody answered in time: {text}")
                return default
            try:
                value = prompt.read(answer.value)
            except NotStorable as unfit:
                # A model may be stricter than the schema that the answer was checked against.
                note = describe(unfit.__cause__ or unfit)
                continue
            complaint = complaint_of(validate, value)
            if complaint is None:
                return value
            note = complaint

    @overload
    async def step(
        self,
        fn: Callable[..., Awaitable[T]],
        *args: Any,
        name: str = "",
        retry: Retry | int | None = None,
        timeout: float | None = None,
        at_most_once: bool = False,
        show: bool | Show = False,
        type: Any = None,
    ) -> T: ...
    @overload
    async def step(
        self,
        fn: Callable[..., T],
        *args: Any,
        name: str = "",
        retry: Retry | int | None = None,
        timeout: float | None = None,
        at_most_once: bool = False,
        process: bool = False,
        show: bool | Show = False,
        type: Any = None,
    ) -> T: ...
    async def step(
        self,
        fn: Callable[..., Any],
        *args: Any,
        name: str = "",
        retry: Retry | int | None = None,
        timeout: float | None = None,
        at_most_once: bool = False,
        process: bool = False,
        show: bool | Show = False,
        type: Any = None,  # noqa: A002
    ) -> Any:
        """Do something to the world outside, once, and keep its result.

        `fn(*args)` runs after everything before it is durable; a plain function runs in a worker
        thread, or with `process` in another process, for what computes for long: there it holds
        up nobody, and is killed when it is stopped or its time is up. The result must be storable;
        it comes back as `type`, else as the function's annotation says. If it raises, `StepFailed`
        is raised, now and in every replay. If the worker dies while it runs it runs again, unless
        `at_most_once`: then `StepInterrupted` is raised. `timeout` is in seconds, for each attempt;
        `retry` a number of attempts or a `Retry`. `show` makes it a `part` that the user sees: with
        True its name and its time, with "input", "output" or "all" its arguments and its result.
        """
        plain_function("a step", fn)
        if show:
            return await self._shown_step(
                fn,
                args,
                show,
                name=name,
                retry=retry,
                timeout=timeout,
                at_most_once=at_most_once,
                process=process,
                type=type,
            )
        if process and inspect.iscoroutinefunction(fn):
            raise TypeError(
                f"process=True wants a plain function, and {fn.__qualname__} is `async def`; a "
                "step awaits it here without it"
            )
        label = effect_name(name) or effect_name(getattr(fn, "__name__", "step"))
        policy = Retry(attempts=retry) if isinstance(retry, int) else retry or Retry(attempts=1)

        async def run() -> tuple[Raw, str]:
            if process:
                return await attempt(lambda: self._effects.in_process(fn, args), policy, timeout)
            return encode_value(await attempt(lambda: self._call(fn, args), policy, timeout))

        data, kind = await self._effects.perform(
            "step", label, digest(label, *args), run, at_most_once=at_most_once
        )
        return as_annotated(data, kind, fn if type is None else None, type)

    async def _shown_step(
        self, fn: Callable[..., Any], args: tuple[Any, ...], show: object, **options: Any
    ) -> Any:
        label = options["name"] or getattr(fn, "__name__", "step")
        given = (args[0] if len(args) == 1 else args) if show in ("input", "all") else None
        async with self.part(label, kind="tool", input=given) as part:
            result = await self.step(fn, *args, **options)
            if show in ("output", "all"):
                part.output = result
        return result

    async def _call(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if inspect.iscoroutinefunction(fn):
            return await fn(*args)
        result = await self._effects.in_thread(partial(fn, *args))
        return await result if inspect.isawaitable(result) else result

    async def sleep(self, seconds: float | dt.timedelta) -> None:
        """Wait; the session may leave memory meanwhile, and a restart does not begin anew."""
        wait = as_seconds(seconds)
        if wait is None:
            raise TypeError("a sleep has an end; give seconds or a timedelta")
        await self._effects.sleep(wait)

    def remind(
        self, name: str, when: float | dt.timedelta | dt.datetime, data: object = None
    ) -> Receipt:
        """Have `on_reminder` called later, in a round of its own: also after a restart.

        `when` is in seconds from now, a timedelta, or a datetime with a time zone. One of the same
        `name` that has not come yet is replaced.
        """
        return self._record_reminder(name, when, data)

    def cancel_reminder(self, name: str) -> Receipt:
        """Do not remind of this any more; what is not set is no error."""
        return self._record_cancellation(name)

    async def gather(self, *branches: Awaitable[Any]) -> list[Any]:
        """Run branches side by side; each has its own place in the journal.

        The first failure cancels the others and is raised.
        """
        return await self._effects.gather(all_awaitable("gather", branches))

    async def race(self, *branches: Awaitable[T]) -> T:
        """The result of whichever branch is done first; the others are cancelled."""
        return cast("T", await self._effects.race(all_awaitable("race", branches)))

    def now(self) -> dt.datetime:
        """The time in UTC, the same in a replay."""
        return self._draw_time()

    def random(self) -> float:
        """A number from 0.0 up to 1.0, the same in a replay."""
        return self._draw_random()

    def uuid(self) -> UUID:
        """A random UUID, the same in a replay."""
        return self._draw_uuid()

    def take_messages(self) -> tuple[Message, ...]:
        """What the user said since the round began, if `incoming = "steer"`; else nothing.

        What is taken starts no round of its own.
        """
        return tuple(message_of(self._effects, said) for said in self._effects.take_messages())

    async def fetch_history(self, *, before: int | None = None, limit: int = 100) -> list[Message]:
        """Up to `limit` messages before record `before` (None: the newest), oldest first."""
        before = None if before is None else whole_number("the place in the log", before)
        limit = whole_number("how many messages", limit, 1)
        return [
            message_of(self._effects, said) for said in await self._effects.history(before, limit)
        ]

    def add_cost(
        self,
        amount: float | Decimal | None = None,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        model: str = "",
        currency: str = "USD",
    ) -> Receipt:
        """Account for something this round used; `amount` None means that the price is unknown."""
        return self._record_cost(amount, input_tokens, output_tokens, model, currency)

    def close(self) -> None:
        """End the session when this round is over."""
        self._effects.close_after_round()

    @property
    def kernel(self) -> SessionKernel:
        """Where code of this session runs, with variables and files of its own."""
        return SessionKernel(self._effects)

    @property
    def user(self) -> User:
        return User(self._effects)


def _content(content: object) -> bytes | Path:
    """What a file is made of: bytes, or where they are."""
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(cast("bytes", content))
    if isinstance(content, str | PathLike):
        return Path(cast("str | PathLike[str]", content))
    raise TypeError(
        f"a file is made of bytes or of the path of a file, not of a {type(content).__qualname__}"
    )
