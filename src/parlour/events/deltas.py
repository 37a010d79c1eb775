"""Deltas: what is shown while it happens and never stored."""

from __future__ import annotations

from msgspec import Struct


class TextStreamed(Struct, frozen=True, kw_only=True, gc=False):
    """A delta: more of a message that is being written.

    The message is named by its round and `path`; `offset` counts characters, and 0 means that the
    text starts (again) here. The `MessageAdded` with that path supersedes it.
    """

    round: int
    path: str
    offset: int
    text: str


class PartStreamed(Struct, frozen=True, kw_only=True, gc=False):
    """A delta: more of what comes out of the part at `path`; `offset` is that of `TextStreamed`."""

    round: int
    path: str
    offset: int
    text: str


class ProgressShown(Struct, frozen=True, kw_only=True, gc=False):
    """A delta: how far the round is, or the part at `path` (""): the newest is all that counts.

    `total` None: nobody knows how much there is.
    """

    round: int
    path: str = ""
    done: float = 0.0
    total: float | None = None
    text: str = ""


Delta = TextStreamed | PartStreamed | ProgressShown
