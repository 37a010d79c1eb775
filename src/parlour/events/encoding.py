"""The JSON of events: the log's format and, for the native wire, the frame's content.

The same bytes go to the disk and to the browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct

from parlour.events.facts import EVENT_TYPES, AnyEvent, Event, UnknownEvent

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_chunk_decoder = msgspec.json.Decoder(list[AnyEvent])
_raw_chunk_decoder = msgspec.json.Decoder(list[Raw])


class _Head(Struct):
    type: str


_head_decoder = msgspec.json.Decoder(_Head)
_KNOWN = frozenset(kind.__name__ for kind in EVENT_TYPES)


def encode_event(event: Event | UnknownEvent) -> bytes:
    """The log's bytes for an event: one JSON object."""
    return bytes(event.raw) if type(event) is UnknownEvent else _encoder.encode(event)


def decode_event(data: bytes | Raw) -> AnyEvent | UnknownEvent:
    """The event that `data` holds; an unknown one comes back as `UnknownEvent`.

    Raises `msgspec.DecodeError` for bytes that are no event at all.
    """
    try:
        return _decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"that is no event: {error}") from None


def _decode(data: bytes | Raw) -> AnyEvent | UnknownEvent:
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        kind = _head_decoder.decode(data).type
        if kind in _KNOWN:
            raise
        return UnknownEvent(type=kind, raw=Raw(bytes(data)))


def encode_events(events: Sequence[Event | UnknownEvent]) -> bytes:
    """Events as one stored chunk: a JSON array."""
    if UnknownEvent in map(type, events):
        return encode_chunk(map(encode_event, events))
    return _encoder.encode(events)


def encode_chunk(events: Iterable[bytes]) -> bytes:
    """Encoded events as one stored chunk: a JSON array."""
    return b"[" + b",".join(events) + b"]"


def decode_chunk(data: bytes) -> list[AnyEvent | UnknownEvent]:
    """The events of a stored chunk, in their order. Raises `msgspec.DecodeError`."""
    try:
        return list(_chunk_decoder.decode(data))
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return [decode_event(raw) for raw in split_chunk(data)]


def split_chunk(data: bytes) -> list[Raw]:
    """The encoded events of a stored chunk, not decoded. Raises `msgspec.DecodeError`."""
    try:
        return _raw_chunk_decoder.decode(data)
    except RecursionError as error:
        raise msgspec.DecodeError(f"that is no chunk of events: {error}") from None
