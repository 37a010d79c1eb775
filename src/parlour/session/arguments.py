"""What a handler passes to its session, looked at where it is passed.

What the log holds must be readable for ever, so a wrong argument is refused at the call, in words
that say what to pass instead; nothing is recorded then.
"""

from __future__ import annotations

import datetime as dt
import inspect
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Real
from operator import index
from typing import Any, cast

from parlour.errors import NotStorable, Refused, describe
from parlour.state import read_title
from parlour.storable import text_size
from parlour.stores.files import safe_type

Validator = Callable[[Any], str | None]

_FOREVER = 100 * 366 * 86_400.0
_MOST = 2**53
_MAX_NAME = 128


def plain_text(what: str, text: object) -> str:
    """`text`, which must be text and valid Unicode."""
    if type(text) is not str:
        if not isinstance(text, str):
            raise TypeError(f"{what} is text, not {_type_of(text)}; give a str")
        # The log knows no subclasses: a StrEnum's member, for one, is kept as its text.
        text = str.__str__(text)
    if text_size(text) < 0:
        raise NotStorable(
            f"{what} has half a character (a surrogate), which no log can hold; decode the bytes "
            'it came from as UTF-8, with errors="replace"'
        )
    return text


def said(text: object) -> str:
    """What a bot says: anything that has words of its own."""
    if text is None or isinstance(text, bytes | bytearray):
        raise TypeError(f"a reply is text, not {type(text).__name__}; say in words what it means")
    try:
        return plain_text("a reply", text if isinstance(text, str) else str(text))
    except RecursionError:
        raise TypeError("a reply is text, and this is nested too deeply to be written") from None


def short_text(what: str, text: object) -> str:
    """The same, of at most 128 characters."""
    text = plain_text(what, text)
    if len(text) > _MAX_NAME:
        raise ValueError(f"{what} has at most {_MAX_NAME} characters, not {len(text):,}")
    return text


def variable_name(name: object) -> str:
    """What a variable may be called."""
    name = short_text("a variable's name", name)
    if not name:
        raise ValueError("a variable needs a name, of 1 to 128 characters")
    return name


def title_line(title: object) -> str:
    """What a session may be called: one line."""
    try:
        return read_title(plain_text("a title", title))
    except Refused as refused:
        raise ValueError(f"{refused.message} Give a shorter one.") from None


def effect_name(name: object) -> str:
    """What may stand in a path of the journal; "" if the call has no name."""
    name = short_text("the name of a call", name)
    if "#" in name or "/" in name:
        raise ValueError(
            f"the name {name!r} has # or /, which paths of the journal are made with; "
            "use another sign"
        )
    return name


def plain_function(what: str, fn: object) -> None:
    """Raise `TypeError` for what cannot be called."""
    if callable(fn):
        return
    cure = "give the function itself and its arguments: `step(fetch, url)`"
    if inspect.iscoroutine(fn):
        fn.close()
        raise TypeError(f"{what} is made of a function, not of a call of one; {cure}")
    raise TypeError(f"{what} is made of a function, not of {_brief(fn)}; {cure}")


def all_awaitable(what: str, branches: Sequence[Any]) -> Sequence[Any]:
    """`branches`, each of which must be something to await; if one is not, none is begun."""
    for branch in branches:
        if inspect.isawaitable(branch):
            continue
        several = isinstance(branch, list | tuple | set)
        for other in (*branches, *(cast("Sequence[Any]", branch) if several else ())):
            if inspect.iscoroutine(other):
                other.close()
        cure = f"write `{what}(*branches)`" if several else "call the function, without `await`"
        raise TypeError(f"{what} takes what can be awaited, not {_brief(branch)}; {cure}")
    return branches


def seconds(time: object) -> float | None:
    """A time to wait in seconds; None: for ever."""
    if time is None:
        return None
    if isinstance(time, dt.timedelta):
        wait = time.total_seconds()
    elif isinstance(time, int | float) and not isinstance(time, bool):
        wait = time
    else:
        raise TypeError(
            f"a time to wait is a number of seconds or a timedelta, not {_type_of(time)}"
        )
    if not 0 <= wait < _FOREVER:
        raise ValueError(
            f"{wait} is no time to wait: give seconds from 0 up to a century, or None for ever"
        )
    return float(wait)


def whole_number(what: str, number: object, least: int = 0) -> int:
    """A whole number of things, from `least` up."""
    try:
        count = index(cast("Any", number))
    except TypeError:
        count = None
    if count is None or isinstance(number, bool):
        raise TypeError(f"{what} is a whole number, not {_brief(number)}; give an int")
    if not least <= count <= _MOST:
        raise ValueError(f"{what} is a number from {least} to {_MOST:,}, not {_brief(number)}")
    return count


def money(amount: object) -> float | None:
    """An amount of money; None: it is unknown."""
    if amount is None:
        return None
    if isinstance(amount, bool) or not isinstance(amount, Real | Decimal):
        raise TypeError(
            f"an amount is a number, not {_type_of(amount)}; give a float or a Decimal, or None "
            "where the price is unknown"
        )
    try:
        value = float(amount)
    except (OverflowError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{_brief(amount)} is no amount that was spent: give a finite number from 0 up, or "
            "None where the price is unknown"
        )
    return value


def amount(what: str, number: object) -> float:
    """How much of something there is, from 0 up."""
    if isinstance(number, bool) or not isinstance(number, Real | Decimal):
        raise TypeError(f"{what} is a number, not {_type_of(number)}")
    value = float(number)
    if not 0 <= value < math.inf:
        raise ValueError(f"{what} is a number from 0 up, not {_brief(number)}")
    return value


def media_type(kind: object) -> str:
    """A media type as it may stand in a header."""
    kind = plain_text("a file's type", kind)
    safe = safe_type(kind)
    if safe != kind and safe == "application/octet-stream":
        raise ValueError(
            f"{_brief(kind)} is no media type; write it like image/png, or leave it out"
        )
    return safe


def complaint_of(validate: Validator | None, value: object) -> str | None:
    """What `validate` has against an answer."""
    if validate is None:
        return None
    try:
        complaint = cast("object", validate(value))
    except ValueError as error:
        return describe(error) or "That does not fit."
    if inspect.iscoroutine(complaint):
        complaint.close()
    if complaint is None or isinstance(complaint, str):
        return plain_text("a complaint", complaint or "")[:2000] or None
    raise TypeError(
        f"validate returned {_brief(complaint)}: it is a plain function that returns a complaint "
        "(text for the user) where the answer does not fit, and None where it does"
    )


def _type_of(value: object) -> str:
    return type(value).__qualname__


def _brief(value: object) -> str:
    """A wrong argument, in so far as it helps to find it."""
    simple = isinstance(value, int | float | str | Decimal | None)
    try:
        return ascii(value)[:40] if simple else _type_of(value)
    except ValueError:
        return _type_of(value)  # an int of more digits than Python writes
