"""The last look at an event before it is recorded: the log must be able to give it back.

Structs take anything when they are made, and a record that cannot be decoded loses its session.
What handlers pass is checked where they pass it; this is for whatever came by another way.
"""

from __future__ import annotations

from parlour.errors import NotStorable, describe
from parlour.events import (
    AnyEvent,
    StepFinished,
    VariableSet,
    decode_event,
    encode_event,
)
from parlour.storable import text_size


def read_back(event: AnyEvent) -> int:
    """About how many bytes the event has in the log. Raises `NotStorable` if it is not readable.

    The most frequent events cost less than decoding them: their JSON was made from values by the
    encoder, which leaves only texts to look at.
    """
    match event:
        case StepFinished() | VariableSet():
            path = text_size(event.path)
            name = text_size(event.name) if type(event) is VariableSet else 0
            if path > 0 and name >= 0 and text_size(event.kind) >= 0:
                return len(bytes(event.value))
        case _:
            pass
    return _round_trip(event)


def _round_trip(event: AnyEvent) -> int:
    try:
        data = encode_event(event)
        found = decode_event(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotStorable(f"{_named(event)} ({describe(error)}); {_CURE}") from None
    if found != event:
        raise NotStorable(f"{_named(event)}; {_CURE}")
    return len(data)


_CURE = "give arguments of the types that the call declares, and text that is valid Unicode"


def _named(event: AnyEvent) -> str:
    place = ascii(getattr(event, "path", ""))[:200]
    return f"the effect {place} has a value that the log could not give back"
