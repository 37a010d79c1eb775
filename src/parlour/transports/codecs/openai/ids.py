"""Ids of this dialect. Each says where in which log a thing is, so that nobody keeps a table.

A session's id is unguessable and shown to nobody but its user, and so is what it is in.
"""

from __future__ import annotations

import re

from msgspec import Struct

_RESPONSE = re.compile(r"resp_([0-9a-f]{32})_([1-9][0-9]{0,15})(x?)")
_CONVERSATION = re.compile(r"conv_([0-9a-f]{32})")
_CALL = re.compile(r"call_([0-9a-f]{32})_([1-9][0-9]{0,15})")
_ITEM = re.compile(r"msg_([0-9a-f]{32})_([1-9][0-9]{0,15})")
_FILE = re.compile(r"file-([0-9a-f]{32})")
_SHOWN_FILE = re.compile(r"file-([0-9a-f]{32})-([0-9a-f]{32})")


class Place(Struct, frozen=True):
    """A record in a session's log. `stored` False: the client wanted nothing kept."""

    session: str
    seq: int
    stored: bool = True


def response_id(place: Place) -> str:
    return f"resp_{place.session}_{place.seq}{'' if place.stored else 'x'}"


def read_response_id(text: str) -> Place | None:
    found = _RESPONSE.fullmatch(text)
    return Place(found[1], int(found[2]), not found[3]) if found else None


def conversation_id(session: str) -> str:
    return f"conv_{session}"


def read_conversation_id(text: str) -> str | None:
    found = _CONVERSATION.fullmatch(text)
    return found[1] if found else None


def call_id(session: str, question: int) -> str:
    return f"call_{session}_{question}"


def read_call_id(text: str) -> Place | None:
    """The question that a tool call put."""
    found = _CALL.fullmatch(text)
    return Place(found[1], int(found[2])) if found else None


def item_id(session: str, seq: int) -> str:
    return f"msg_{session}_{seq}"


def read_item_id(text: str) -> Place | None:
    found = _ITEM.fullmatch(text)
    return Place(found[1], int(found[2])) if found else None


def file_id(file: str) -> str:
    """An upload that is in no session yet."""
    return f"file-{file}"


def read_file_id(text: str) -> str | None:
    found = _FILE.fullmatch(text)
    return found[1] if found else None


def shown_file_id(session: str, file: str) -> str:
    """A file of a session."""
    return f"file-{session}-{file}"


def read_shown_file_id(text: str) -> tuple[str, str] | None:
    found = _SHOWN_FILE.fullmatch(text)
    return (found[1], found[2]) if found else None
