"""The handle: what an `async def` handler does with its session.

It says what is wanted; the engine behind `Effects` does it, once, and journals it. Nothing here
knows stores, wires or the engine. `blocking` has the same words for plain functions.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import mimetypes
import random
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast, get_type_hints, overload
from uuid import UUID, uuid4

import msgspec
from msgspec import Raw

from parlour.errors import AskTimeout, NotStorable, SessionOver
from parlour.events import (
    CostAdded,
    FileRef,
    MessageAdded,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
)
from parlour.questions import FileQuestion, Question
from parlour.session.agent import File, Message
from parlour.session.asking import Options, Prompt, choice_for, form_for, prompt_for
from parlour.session.effects import Effects, Receipt, StreamSink
from parlour.session.values import decode_value, digest, encode_value
from parlour.state import Said

T = TypeVar("T")
D = TypeVar("D")
_MISSING: Any = object()
Validator = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How a step is tried again: up to `attempts` times, waiting `delay` seconds, then longer."""

    attempts: int = 3
    delay: float = 1.0
    backoff: float = 2.0
    on: tuple[type[Exception], ...] = (Exception,)


class User:
    """The person the session belongs to, and what is kept of them across their sessions."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    @property
    def id(self) -> str:
        return self._effects.user

    def set(self, name: str, value: object) -> Receipt:
        """Keep a value for this user, for all their sessions; the last writer wins."""
        data, kind = encode_value(value)
        return self._effects.record(
            "user.set",
            name,
            lambda path: UserVariableSet(name=name, value=data, kind=kind, path=path),
        )

    def delete(self, name: str) -> Receipt:
        return self.set(name, None)

    async def get(self, name: str, default: Any = None) -> Any:
        """What any session of this user has set last; recorded, so that a replay sees the same."""

        async def look() -> tuple[Raw, str]:
            found = await self._effects.user_value(name)
            return (Raw(b"null"), "") if found is None else (found.value, found.kind)

        data, kind = await self._effects.perform("user.get", name, "", look)
        value = decode_value(data, kind)
        return default if value is None else value


class SessionBase:
    """What needs no waiting and is the same in both kinds of handlers."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    @property
    def effects(self) -> Effects:
        """What runs this session; for adapters, not for handlers."""
        return self._effects

    @property
    def id(self) -> str:
        """The session's id: 128 random bits in hexadecimal."""
        return self._effects.session_id

    @property
    def local(self) -> dict[str, Any]:
        """A scratchpad for what cannot be stored; empty after a crash or a rest.

        Rebuild in `@app.on_wake` what a session needs here.
        """
        return self._effects.local

    @overload
    def get(self, name: str) -> Any: ...
    @overload
    def get(self, name: str, default: D) -> Any | D: ...
    @overload
    def get(self, name: str, default: D, type: type[T]) -> T | D: ...
    @overload
    def get(self, name: str, *, type: type[T]) -> T | None: ...
    def get(self, name: str, default: Any = None, type: Any = None) -> Any:  # noqa: A002
        """A variable of this session, or `default`; a copy, so `set` it again after changing it.

        Declare `type` to get a dataclass, struct or model back as itself.
        """
        found = self._effects.view.variables.get(name)
        if found is None:
            return default
        return decode_value(found.value, found.kind, type)

    @property
    def variables(self) -> dict[str, Any]:
        """All variables of this session, as a copy."""
        stored = self._effects.view.variables
        return {name: decode_value(item.value, item.kind) for name, item in stored.items()}

    @property
    def history(self) -> tuple[Message, ...]:
        """The newest messages, oldest first, up to `limits.history_messages`."""
        return tuple(self._message(said) for said in self._effects.view.history)

    @property
    def files(self) -> tuple[File, ...]:
        """All files of the session, oldest first."""
        return tuple(self._file(ref) for ref in self._effects.view.files)

    @property
    def file(self) -> File | None:
        """The newest file of the session."""
        files = self._effects.view.files
        return self._file(files[-1]) if files else None

    @property
    def workspace(self) -> Path:
        """A folder that belongs to this session alone and goes when it is erased."""
        return self._effects.workspace()

    def _file(self, ref: FileRef) -> File:
        return File(
            id=ref.id,
            name=ref.name,
            type=ref.type,
            size=ref.size,
            path=self._effects.file_path(ref),
        )

    def _message(self, said: Said) -> Message:
        return Message(
            text=said.text,
            role=said.role,
            files=tuple(self._file(ref) for ref in said.files),
            seq=said.seq,
            at=said.at,
        )

    def _record_reply(self, text: str) -> Receipt:
        return self._effects.record(
            "reply", "", lambda path: MessageAdded(role="bot", text=text, path=path)
        )

    def _record_set(self, name: str, value: object) -> Receipt:
        data, kind = encode_value(value)
        return self._effects.record(
            "set", name, lambda path: VariableSet(name=name, value=data, kind=kind, path=path)
        )

    def _record_delete(self, name: str) -> Receipt:
        return self._effects.record(
            "delete", name, lambda path: VariableDeleted(name=name, path=path)
        )

    def _record_cost(
        self,
        amount: float | None,
        input_tokens: int,
        output_tokens: int,
        model: str,
        currency: str,
    ) -> Receipt:
        return self._effects.record(
            "cost",
            "",
            lambda path: CostAdded(
                path=path,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                amount=amount,
                currency=currency,
                model=model,
            ),
        )

    def _draw_time(self) -> dt.datetime:
        drawn = self._effects.draw("now", lambda: encode_value(dt.datetime.now(dt.UTC))[0])
        return msgspec.json.decode(drawn, type=dt.datetime)

    def _draw_random(self) -> float:
        drawn = self._effects.draw("random", lambda: encode_value(random.random())[0])  # noqa: S311
        return msgspec.json.decode(drawn, type=float)

    def _draw_uuid(self) -> UUID:
        drawn = self._effects.draw("uuid", lambda: encode_value(uuid4())[0])
        return msgspec.json.decode(drawn, type=UUID)


class Stream:
    """A message that is written bit by bit: shown live, recorded once, when it is complete.

    Used as `async with session.stream() as out: out.write(token)`. In a replay of a message that
    is recorded already, `recorded` is True and what is written is swallowed.
    """

    def __init__(self, effects: Effects, name: str) -> None:
        self._effects = effects
        self._name = name
        self._sink: StreamSink | None = None

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "" if self._sink is None else self._sink.text

    @property
    def recorded(self) -> bool:
        return self._sink is not None and self._effects.streamed(self._sink)

    def write(self, text: str) -> None:
        """Add to the message; shown at once, stored at the end of the `async with`."""
        if self._sink is None:
            raise SessionOver("write inside `async with session.stream() as out:`")
        self._sink.write(text)

    async def __aenter__(self) -> Self:
        self._sink = self._effects.stream(self._name)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sink is not None and (error is None or isinstance(error, Exception)):
            self._effects.end_stream(self._sink)


class Session(SessionBase):
    """One person's conversation, as an `async def` handler sees it.

    `reply`, `set` and `delete` take effect at once and need no await; what they return may be
    awaited, which waits until it is durable. Everything here is journaled: after a crash the
    handler runs again from its start, and what is recorded is not done again. Code between these
    calls may run again; put effects on the world outside into `step`.
    """

    def reply(self, text: str) -> Receipt:
        """Say something to the user, in Markdown."""
        return self._record_reply(str(text))

    async def send_file(
        self,
        content: bytes | Path | str,
        *,
        name: str = "",
        type: str = "",  # noqa: A002
        text: str = "",
    ) -> File:
        """Give the user a file: bytes with a `name`, or the path of an existing file."""
        path = None if isinstance(content, bytes) else Path(content)
        name = name or ("file" if path is None else path.name)
        kind = type or mimetypes.guess_type(name)[0] or "application/octet-stream"

        async def add() -> tuple[Raw, str]:
            data = (
                content
                if isinstance(content, bytes)
                else await asyncio.to_thread(Path(content).read_bytes)
            )
            return encode_value(await self._effects.add_file(_once(data), name, kind))

        data, _ = await self._effects.perform("file", name, digest(name, kind), add)
        ref = msgspec.json.decode(data, type=FileRef)
        self._effects.record(
            "reply",
            "",
            lambda path: MessageAdded(role="bot", text=text, files=(ref,), path=path),
        )
        return self._file(ref)

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
        question = FileQuestion(
            accept=tuple(accept), minimum=minimum, maximum=maximum, max_bytes=max_bytes
        )
        answer = await self._effects.ask(name, text, question, _seconds(timeout), "")
        if answer is None:
            raise AskTimeout(f"nobody sent a file in time: {text}")
        return [self._file(ref) for ref in answer.files]

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
        note = ""
        while True:
            answer = await self._effects.ask(name, text, prompt.question, _seconds(timeout), note)
            if answer is None:
                if default is None:
                    raise AskTimeout(f"nobody answered in time: {text}")
                return default
            value = prompt.read(answer.value)
            complaint = _complaint(validate, value)
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
        type: Any = None,  # noqa: A002
    ) -> Any:
        """Do something to the world outside, once, and keep its result.

        `fn(*args)` runs after everything before it is durable; a plain function runs in a worker
        thread. The result must be storable; it comes back as `type`, else as the function's
        annotation says. If it raises, `StepFailed` is raised, now and in every replay. If the
        worker dies while it runs it runs again, unless `at_most_once`: then `StepInterrupted` is
        raised. `timeout` is in seconds, for each attempt; `retry` a number of attempts or a
        `Retry`.
        """
        label = name or getattr(fn, "__name__", "step")
        policy = Retry(attempts=retry) if isinstance(retry, int) else retry or Retry(attempts=1)

        async def run() -> tuple[Raw, str]:
            return encode_value(await self._attempt(fn, args, policy, timeout))

        data, kind = await self._effects.perform(
            "step", label, digest(label, *args), run, at_most_once=at_most_once
        )
        return _as_annotated(data, kind, fn if type is None else None, type)

    async def _attempt(
        self, fn: Callable[..., Any], args: tuple[Any, ...], policy: Retry, timeout: float | None
    ) -> Any:
        delay = policy.delay
        for attempt in range(1, policy.attempts + 1):
            try:
                async with asyncio.timeout(timeout):
                    if inspect.iscoroutinefunction(fn):
                        return await fn(*args)
                    result = await self._effects.in_thread(partial(fn, *args))
                    return await result if inspect.isawaitable(result) else result
            except policy.on:
                if attempt == policy.attempts:
                    raise
                await asyncio.sleep(delay)
                delay *= policy.backoff
        raise ValueError("a step needs at least one attempt")

    async def sleep(self, seconds: float | dt.timedelta) -> None:
        """Wait; the session may leave memory meanwhile, and a restart does not begin anew."""
        await self._effects.sleep(_seconds(seconds) or 0.0)

    async def gather(self, *branches: Awaitable[Any]) -> list[Any]:
        """Run branches side by side; each has its own place in the journal.

        The first failure cancels the others and is raised.
        """
        return await self._effects.gather(branches)

    async def race(self, *branches: Awaitable[T]) -> T:
        """The result of whichever branch is done first; the others are cancelled."""
        return cast("T", await self._effects.race(branches))

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
        return tuple(self._message(said) for said in self._effects.take_messages())

    async def fetch_history(self, *, before: int | None = None, limit: int = 100) -> list[Message]:
        """Up to `limit` messages before record `before` (None: the newest), oldest first."""
        return [self._message(said) for said in await self._effects.history(before, limit)]

    def add_cost(
        self,
        amount: float | None = None,
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
    def user(self) -> User:
        return User(self._effects)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _seconds(time: float | dt.timedelta | None) -> float | None:
    return time.total_seconds() if isinstance(time, dt.timedelta) else time


def _complaint(validate: Validator | None, value: object) -> str | None:
    if validate is None:
        return None
    try:
        return validate(value) or None
    except ValueError as error:
        return str(error) or "That does not fit."


def _as_annotated(data: Raw, kind: str, fn: Callable[..., Any] | None, type_: Any) -> Any:
    wanted = _return_type(fn) if fn is not None else type_
    if wanted is None:
        return decode_value(data, kind)
    if fn is None:
        return decode_value(data, kind, wanted)
    try:
        return decode_value(data, kind, wanted)
    except (NotStorable, TypeError):
        return decode_value(data, kind)


@lru_cache(maxsize=1024)
def _return_type(fn: Callable[..., Any]) -> Any:
    try:
        hint = get_type_hints(fn).get("return")
    except Exception:  # noqa: BLE001 - an annotation is the author's own expression
        return None
    return None if hint in (Any, object, type(None)) or isinstance(hint, TypeVar) else hint
