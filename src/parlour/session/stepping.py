"""How a step is tried again, and what type its result has. The journal is the engine's business."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

from msgspec import Raw

from parlour.errors import NotPicklable, NotStorable
from parlour.session.values import decode_value

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How a step is tried again: up to `attempts` times, waiting `delay` seconds, then longer."""

    attempts: int = 3
    delay: float = 1.0
    backoff: float = 2.0
    on: tuple[type[Exception], ...] = (Exception,)


async def attempt(call: Callable[[], Awaitable[T]], policy: Retry, timeout: float | None) -> T:
    """What `call` gives, tried again as `policy` says; `timeout` in seconds is for each attempt."""
    delay = policy.delay
    for number in range(1, policy.attempts + 1):
        try:
            async with asyncio.timeout(timeout):
                return await call()
        except (NotStorable, NotPicklable):
            # It would be so again.
            raise
        except policy.on:
            if number == policy.attempts:
                raise
            await asyncio.sleep(delay)
            delay *= policy.backoff
    raise ValueError("a step needs at least one attempt")


def as_annotated(data: Raw, kind: str, fn: Callable[..., Any] | None, type_: Any) -> Any:
    """A step's result as `type_`, else as the annotation of `fn` says if it fits."""
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
