"""What a session offers without waiting, in both kinds of handlers; and its user."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, overload
from uuid import UUID, uuid4

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from parlour.events import (
    SETTINGS,
    ComponentShown,
    CostAdded,
    FileRef,
    MessageAdded,
    ReminderCancelled,
    TitleSet,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
)
from parlour.session.agent import File, Message
from parlour.session.arguments import (
    amount,
    money,
    said,
    seconds,
    short_text,
    title_line,
    variable_name,
    whole_number,
)
from parlour.session.attachments import Enclosed, sorted_out
from parlour.session.effects import Effects, Receipt
from parlour.session.preferences import Preferences
from parlour.session.values import decode_value, encode_value
from parlour.state import Said

T = TypeVar("T")
D = TypeVar("D")


class User:
    """The person the session belongs to, and what is kept of them across their sessions."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    @property
    def id(self) -> str:
        return self._effects.user

    def set(self, name: str, value: object) -> Receipt:
        """Keep a value for this user, for all their sessions; the last writer wins.

        Each value may be as large as a session's variable; their number is not bounded.
        """
        name = variable_name(name)
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
        name = variable_name(name)

        async def look() -> tuple[Raw, str]:
            found = await self._effects.user_value(name)
            return (Raw(b"null"), "") if found is None else (found.value, found.kind)

        data, kind = await self._effects.perform("user.get", name, "", look)
        value = decode_value(data, kind)
        return default if value is None else value


def file_of(effects: Effects, ref: FileRef) -> File:
    """A file of the session as handlers see it."""
    path = effects.file_path(ref)
    return File(id=ref.id, name=ref.name, type=ref.type, size=ref.size, path=path, ref=ref)


def message_of(effects: Effects, said: Said) -> Message:
    """A message of the session as handlers see it."""
    files = tuple([file_of(effects, ref) for ref in said.files]) if said.files else ()
    return Message(text=said.text, role=said.role, files=files, seq=said.seq, at=said.at)


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
    def profile(self) -> str:
        """The name of the profile that was chosen when the session was opened, "" without any."""
        return self._effects.profile

    @property
    def user_env(self) -> Mapping[str, str]:
        """The keys that this user brings, by the names in `App(user_env=…)`.

        They are never stored, so they are known only while the user is connected: reading one
        that is not raises `UserKeyMissing`. Read them inside of a `step`.
        """
        return self._effects.user_env

    def settings(self, kind: type[T]) -> T:
        """What the user has set in the app's panel, as the class that `@app.settings` decorates.

        It may change while a round runs; the next effect after that sees it.
        """
        found = self._effects.view.variables.get(SETTINGS)
        return Preferences(kind).read(None if found is None else found.value)

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
    def title(self) -> str:
        """What the session is called: by whoever set it last, else by the user's first words.

        Set it to name the session; "" gives the first words back. The user may set it too.
        """
        return self._effects.view.name.text

    @title.setter
    def title(self, title: str) -> None:
        line = title_line(title)
        self._now(lambda: self._record_title(line))

    @property
    def variables(self) -> dict[str, Any]:
        """All variables of this session, as a copy."""
        stored = self._effects.view.variables
        return {
            name: decode_value(item.value, item.kind)
            for name, item in stored.items()
            if name != SETTINGS
        }

    @property
    def history(self) -> tuple[Message, ...]:
        """The newest messages, oldest first, up to `limits.history_messages`."""
        return tuple(message_of(self._effects, said) for said in self._effects.view.history)

    @property
    def files(self) -> tuple[File, ...]:
        """All files of the session, oldest first."""
        return tuple(file_of(self._effects, ref) for ref in self._effects.view.files)

    @property
    def file(self) -> File | None:
        """The newest file of the session."""
        files = self._effects.view.files
        return file_of(self._effects, files[-1]) if files else None

    @property
    def workspace(self) -> Path:
        """A folder that belongs to this session alone and goes when it is erased."""
        return self._effects.workspace()

    def _now(self, call: Callable[[], T]) -> T:
        """Do it where the session lives."""
        return call()

    def _record_reply(self, text: object, attachments: Iterable[Enclosed] = ()) -> Receipt:
        words = said(text)
        if attachments:
            files, actions = sorted_out(attachments)
            return self._effects.enclose(
                files,
                lambda path, refs: MessageAdded(
                    role="bot", text=words, files=refs, path=path, actions=actions
                ),
            )
        return self._effects.record(
            "reply", "", lambda path: MessageAdded(role="bot", text=words, path=path)
        )

    def _show_progress(self, done: object, total: object, text: object) -> None:
        self._effects.progress(
            amount("how much is done", done),
            None if total is None else amount("how much there is", total),
            short_text("the words of a progress", text),
        )

    def _record_title(self, title: str) -> Receipt:
        return self._effects.record("title", "", lambda path: TitleSet(title=title, path=path))

    def _record_show(self, component: str, data: object, text: str) -> Receipt:
        name = short_text("a component's name", component)
        words = said(text) if text else ""
        value, _ = encode_value(data)
        return self._effects.record(
            "show",
            name,
            lambda path: ComponentShown(path=path, name=name, data=value, text=words),
        )

    def _record_set(self, name: str, value: object) -> Receipt:
        name = variable_name(name)
        data, kind = encode_value(value)
        return self._effects.record(
            "set", name, lambda path: VariableSet(name=name, value=data, kind=kind, path=path)
        )

    def _record_delete(self, name: str) -> Receipt:
        name = variable_name(name)
        return self._effects.record(
            "delete", name, lambda path: VariableDeleted(name=name, path=path)
        )

    def _record_cost(
        self,
        spent: float | Decimal | None,
        input_tokens: int,
        output_tokens: int,
        model: str,
        currency: str,
    ) -> Receipt:
        cost = CostAdded(
            path="",
            input_tokens=whole_number("input_tokens", input_tokens),
            output_tokens=whole_number("output_tokens", output_tokens),
            amount=money(spent),
            currency=short_text("a currency", currency),
            model=short_text("a model's name", model),
        )
        return self._effects.record("cost", "", lambda path: replace(cost, path=path))

    def _record_reminder(
        self, name: str, when: float | dt.timedelta | dt.datetime, data: object
    ) -> Receipt:
        name = variable_name(name)
        raw = encode_value(data)[0]
        if isinstance(when, dt.datetime):
            if when.tzinfo is None:
                raise ValueError(
                    "a reminder's time needs a time zone: when.replace(tzinfo=datetime.UTC)"
                )
            return self._effects.remind(name, when.timestamp(), raw, wait=False)
        wait = seconds(when)
        if wait is None:
            raise TypeError("a reminder has a time; give seconds, a timedelta or a datetime")
        return self._effects.remind(name, wait, raw)

    def _record_cancellation(self, name: str) -> Receipt:
        name = variable_name(name)
        return self._effects.record(
            "unremind", name, lambda path: ReminderCancelled(name=name, path=path)
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
