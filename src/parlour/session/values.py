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

from parlour.errors import NotStorable

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
_CURE = (
    "keep it in session.local, which @app.on_wake rebuilds, or store the plain data it is made from"
)


def _encode_hook(value: object) -> Any:
    kind = type(value)
    dump = getattr(kind, "model_dump", None)
    if dump is not None:
        return dump(value, mode="json")
    raise NotStorable(f"a value of type {kind.__qualname__} cannot be stored; {_CURE}")


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook)
_sorting_encoder = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic")


def encode_value(value: object) -> tuple[Raw, str]:
    """A value as JSON and its kind. Raises `NotStorable` that names the type and the cure."""
    try:
        data = _encoder.encode(value)
        if b"null" in data and value is not None:
            _check_finite(msgspec.to_builtins(value, enc_hook=_encode_hook))
    except NotStorable:
        raise
    except RecursionError:
        raise NotStorable(
            f"a {type(value).__qualname__} that is nested too deeply, or holds itself, "
            f"cannot be stored; {_CURE}"
        ) from None
    except (TypeError, ValueError, UnicodeEncodeError, OverflowError) as error:
        raise NotStorable(
            f"a {type(value).__qualname__} cannot be stored ({error}); {_CURE}"
        ) from None
    return Raw(data), KINDS.get(type(value), "")


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
