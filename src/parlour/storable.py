"""What a log can hold and give back: text that UTF-8 can hold, JSON that any reader can read.

Pure, and below everything: what is to be recorded is looked at with these, by whoever takes it in.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from msgspec import Raw

MAX_DEPTH = 100
"""How deeply JSON may be nested: far less than what any reader's stack allows."""

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_LISTS = bytes.maketrans(b"{}", b"[]")


def text_size(text: object) -> int:
    """How many bytes `text` has in UTF-8; -1 if it is no text, or has what UTF-8 cannot hold."""
    if type(text) is not str:
        return -1
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1


def read_json(data: bytes | Raw) -> Any:
    """The value of some JSON. Raises `ValueError` for what not every reader could read."""
    data = bytes(data)
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if _is_deep(data):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"it is nested too deeply: at most {MAX_DEPTH} levels can be kept"


def twin_key(data: bytes) -> str | None:
    """A key that an object in some JSON has twice, so that one of its values would be lost."""
    twins: list[str] = []

    def look(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twins.append(key)
            seen.add(key)

    json.loads(data, object_pairs_hook=look)
    return twins[0] if twins else None


def _is_deep(data: bytes) -> bool:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _TEXT.sub(b"", data).translate(_AS_LISTS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
