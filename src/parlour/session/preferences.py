"""What users may set: a typed class of the app, drawn by the page as a form.

Values are kept in the session, as one variable. They are checked when they arrive and read again
by whatever the class is by then: what does not fit any more has its default again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Raw

from parlour.errors import InvalidAnswer, NotStorable, Refused
from parlour.questions import FormQuestion, check_question, read_answer
from parlour.session.asking import schema_of
from parlour.session.values import decode_value, encode_value

T = TypeVar("T")


class Preferences(Generic[T]):
    """The panel's class: a dataclass, msgspec struct or pydantic model with defaults."""

    def __init__(self, kind: type[T]) -> None:
        """Raises `TypeError` or `ValueError` for a class that no form can be made of."""
        self.kind = kind
        self.schema = schema_of(kind)
        check_question(FormQuestion(schema=self.schema))
        try:
            self.defaults = cast("Mapping[str, Any]", _fields(kind()))
        except TypeError as error:
            raise TypeError(
                f"the settings {kind.__qualname__} cannot be made without arguments ({error}); "
                "give each field a default"
            ) from None

    def check(self, value: Raw) -> Raw:
        """The settings that `value` holds, whole. Raises `Refused` where they do not fit."""
        try:
            given = read_answer(FormQuestion(schema=self.schema), value, "")
            found = _fields(decode_value(given, "", self.kind))
            return encode_value({**self.defaults, **found})[0]
        except InvalidAnswer as error:
            raise Refused("invalid", str(error)) from None
        except NotStorable as error:
            raise Refused("invalid", _last_line(error)) from None

    def read(self, kept: Raw | None) -> T:
        """The settings that were kept; the default for each that does not fit any more."""
        if kept is None:
            return self.kind()
        try:
            return decode_value(kept, "", self.kind)
        except NotStorable:
            return self._read_each(kept)

    def _read_each(self, kept: Raw) -> T:
        found = msgspec.json.decode(kept)
        values = dict(self.defaults)
        for name, value in cast("dict[str, Any]", found).items() if type(found) is dict else ():
            if name not in values:
                continue
            tried = {**values, name: value}
            try:
                decode_value(encode_value(tried)[0], "", self.kind)
            except NotStorable:
                continue
            values = tried
        return decode_value(encode_value(values)[0], "", self.kind)


def _fields(value: object) -> Any:
    return msgspec.json.decode(encode_value(value)[0])


def _last_line(error: NotStorable) -> str:
    """What a class says of a value, without the machinery around it."""
    return str(error.__cause__ or error).strip()[:500]
