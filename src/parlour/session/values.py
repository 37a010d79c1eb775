"""Python values ⇄ the JSON of the log.

JSON's own types go as they are. A datetime, date, time, timedelta, UUID, Decimal or bytes keeps
its type by a word beside the JSON (its kind), where it stands alone and not inside of something
else; dataclasses, msgspec structs, pydantic models and enums come back as what the reader declares.
Where nothing is declared, plain JSON comes back: tuples and sets as lists, keys as text.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from hashlib import blake2b
from typing import Any, TypeVar, cast, overload
from uuid import UUID

import msgspec
from msgspec import Raw

from parlour.errors import NotStorable, describe
from parlour.storable import read_json, twin_key

T = TypeVar("T")

KINDS: dict[type[Any], str] = {
    dt.datetime: "datetime",
    dt.date: "date",
    dt.time: "time",
    dt.timedelta: "timedelta",
    UUID: "uuid",
    Decimal: "decimal",
    bytes: "bytes",
    bytearray: "bytes",
    memoryview: "bytes",
}
"""Types that JSON lacks and that come back without being declared."""

_BY_KIND = {kind: type_ for type_, kind in reversed(KINDS.items())}
_SOUND = frozenset({str, float, bool, type(None)})
"""What is readable if it could be encoded."""
_LONG = 2**63
_MINUTE = dt.timedelta(minutes=1)
_CURE = (
    "keep it in session.local, which @app.on_wake rebuilds, or store the plain data it is made from"
)


def _encode_hook(value: object) -> Any:
    kind = type(value)
    dump = getattr(kind, "model_dump", None)
    if dump is not None:
        try:
            return dump(value, mode="json")
        except Exception as error:
            raise NotStorable(
                f"a {kind.__qualname__} could not be dumped ({describe(error)}); {_CURE}"
            ) from error
    raise NotStorable(f"a value of type {kind.__qualname__} cannot be stored; {_CURE}")


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook)
_sorting_encoder = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic")


def encode_value(value: object) -> tuple[Raw, str]:
    """A value as JSON and its kind. Raises `NotStorable` that names the type and the cure."""
    try:
        data = _encoder.encode(value)
        if b"null" in data and value is not None:
            _check_finite(msgspec.to_builtins(value, enc_hook=_encode_hook))
        if type(value) not in _SOUND:
            _check_readable(value, data)
    except NotStorable:
        raise
    except RecursionError:
        raise NotStorable(
            f"a {type(value).__qualname__} that is nested too deeply, or holds itself, "
            f"cannot be stored; {_CURE}"
        ) from None
    except (TypeError, ValueError, OverflowError) as error:
        raise NotStorable(
            f"a {type(value).__qualname__} cannot be stored ({describe(error)}); {_CURE}"
        ) from None
    return Raw(data), KINDS.get(type(value), "")


def _check_readable(value: object, data: bytes) -> None:
    """What the encoder writes and no reader takes back: it trusts raw JSON, keys and digits.

    Raises `NotStorable` and `ValueError`.
    """
    kind = type(value)
    if kind is int and -_LONG <= cast("int", value) < _LONG:
        return
    if kind in KINDS:
        _check_kind(value)
        return
    found = read_json(data)
    if kind in (dict, list) and found == value:
        return
    if len(_encoder.encode(found)) != len(data):
        # Only then may a key have been written twice: 1 and "1" are the same in JSON.
        twin = twin_key(data)
        if twin is not None:
            raise NotStorable(
                f"a {kind.__qualname__} has two keys that are both {twin!r} in JSON, so that one "
                "of the values would be lost; make the keys texts that differ"
            )


def _check_kind(value: object) -> None:
    if isinstance(value, dt.datetime | dt.time):
        offset = value.utcoffset()
        if offset is not None and offset % _MINUTE:
            raise NotStorable(
                f"a {type(value).__qualname__} whose offset from UTC has seconds cannot be stored; "
                "convert it to UTC first: when.astimezone(datetime.UTC)"
            )
    elif isinstance(value, Decimal) and value.is_snan():
        raise NotStorable("a signalling NaN cannot be stored; use None")


def _check_finite(value: Any) -> None:
    """Look for the numbers that the encoder writes as null, if there is a null at all."""
    match value:
        case float() if not math.isfinite(value):
            raise NotStorable(f"{value} cannot be stored: JSON has only finite numbers; use None")
        case dict():
            for item in cast("dict[object, object]", value).values():
                _check_finite(item)
        case list() | tuple():
            for item in cast("list[object]", value):
                _check_finite(item)
        case _:
            pass


@overload
def decode_value(value: Raw, kind: str) -> Any: ...
@overload
def decode_value(value: Raw, kind: str, type_: type[T]) -> T: ...
def decode_value(value: Raw, kind: str, type_: type[Any] | None = None) -> Any:
    """The value of some JSON, as `type_` if given. Raises `NotStorable` where it does not fit."""
    wanted: Any = _BY_KIND.get(kind) if type_ is None else type_
    try:
        if wanted is None:
            return msgspec.json.decode(value)
        validate = getattr(wanted, "model_validate_json", None)
        if validate is not None:
            return validate(bytes(value))
        return msgspec.json.decode(value, type=wanted)
    except (ValueError, RecursionError) as error:
        name = "JSON" if wanted is None else getattr(wanted, "__qualname__", str(wanted))
        raise NotStorable(f"what is stored is no {name}: {error}") from error


def digest(*parts: object) -> str:
    """A short fingerprint of arguments, the same in every process.

    What cannot be encoded counts by its type only.
    """
    found = blake2b(digest_size=8)
    for part in parts:
        try:
            data = _sorting_encoder.encode(part)
        except Exception:  # noqa: BLE001 - an argument may raise anything when it is looked at
            data = f"<{cast('type[Any]', type(part)).__qualname__}>".encode()
        found.update(len(data).to_bytes(4, "big"))
        found.update(data)
    return found.hexdigest()
