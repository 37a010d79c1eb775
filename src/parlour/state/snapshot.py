"""A state as bytes, so that a long log need not be folded from its beginning."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from parlour.state.model import (
    State,
    Window,
)

SNAPSHOT_VERSION = 1
"""Grows when `State` changes its shape; snapshots of other versions are not read but refolded."""


class _Snapshot(Struct, frozen=True):
    version: int
    state: State


class _SnapshotHead(Struct):
    version: int


_snapshot_encoder = msgspec.json.Encoder()
_snapshot_decoder = msgspec.json.Decoder(_Snapshot)
_head_decoder = msgspec.json.Decoder(_SnapshotHead)


def encode_snapshot(state: State) -> bytes:
    """The state as bytes that `decode_snapshot` of this version reads."""
    return _snapshot_encoder.encode(_Snapshot(SNAPSHOT_VERSION, state))


def decode_snapshot(data: bytes, window: Window) -> State | None:
    """The state of a snapshot; None if it is another version's or damaged: the log is folded."""
    try:
        if _head_decoder.decode(data).version != SNAPSHOT_VERSION:
            return None
        return replace(_snapshot_decoder.decode(data).state, window=window)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
