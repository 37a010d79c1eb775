"""Where a session is in its flow: all that is remembered between two rounds, as the log has it."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from parlour.agents.flow.happening import Happening


class Frame(Struct, frozen=True, omit_defaults=True):
    """One flow of the stack: the main one, or a digression above it.

    `entered` numbers the entries into the active states, by which an old timer is told from a new
    one; `works` are the numbers of what they have invoked. `back` says how what is below goes on
    when this one ends.
    """

    flow: str
    state: str
    entered: dict[str, int] = {}
    works: dict[str, int] = {}
    back: str = ""
    remind: str = ""


class Late(Struct, frozen=True, omit_defaults=True):
    """What a state has put off; after `until` (Unix seconds) nobody wants it any more."""

    happening: Happening
    until: float | None = None


class Place(Struct, frozen=True, omit_defaults=True):
    """A session's place. The last frame is the one that is active; `entries` only grows."""

    frames: tuple[Frame, ...] = ()
    late: tuple[Late, ...] = ()
    entries: int = 0

    @property
    def top(self) -> Frame:
        return self.frames[-1]


_decoder: msgspec.json.Decoder[Place | None] = msgspec.json.Decoder(Place | None)
_encoder = msgspec.json.Encoder()


def read_place(data: Raw) -> Place:
    """The place that the log holds; one of another style of agent counts as none."""
    try:
        return _decoder.decode(data) or Place()
    except msgspec.DecodeError:
        return Place()


def write_place(place: Place) -> Raw:
    return Raw(_encoder.encode(place))
