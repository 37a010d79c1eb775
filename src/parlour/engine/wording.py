"""What a search compares: the words the user said, folded so that small differences do not count.

Folding keeps the number of characters, so that a place in the folded text is one in the text. Pure.
"""

from __future__ import annotations

import unicodedata

from parlour.events import MessageAdded, QuestionAnswered, decode_chunk
from parlour.stores.store import Chunk

_MOST_WORDS, _LONGEST = 8, 64
_MOST_KNOWN = 20_000
_USER = (b'"role":"user"', b"QuestionAnswered")


class _Folding(dict[int, int]):
    """What each character is compared as."""

    def __missing__(self, code: int) -> int:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[code] = ord(_plain(chr(code)))
        return found


def _plain(sign: str) -> str:
    """A small letter without its accents, where the writing has such."""
    if not sign.isprintable():
        return " "
    parts = unicodedata.normalize("NFKD", sign)
    latin = sign < "\u0590" or "\u1e00" <= sign < "\u2000"
    if len(parts) == 1 or (latin and all(map(unicodedata.combining, parts[1:]))):
        sign = parts[0]
    small = sign.lower()
    return small if len(small) == 1 else sign


_FOLDING = _Folding()


def fold_text(text: str) -> str:
    """The text as it is compared; as many characters as it has."""
    return text.translate(_FOLDING)


def words_of(query: str) -> tuple[str, ...]:
    """The words of a query, as they are compared: the first few, and none that is in another."""
    words = [word[:_LONGEST] for word in fold_text(_line(query[:1000])).split()]
    return tuple(dict.fromkeys(words[:_MOST_WORDS]))


def said_in(chunk: Chunk, after: int) -> list[str]:
    """What the user said in the chunk's records after `after`, a line each."""
    if not any(mark in chunk.data for mark in _USER):
        return []
    found: list[str] = []
    for seq, event in enumerate(decode_chunk(chunk.data), chunk.first):
        match event:
            case MessageAdded(role="user") | QuestionAnswered() if seq > after and event.text:
                found.append(f"{_line(event.text)}\n")
            case _:
                pass
    return found


def _line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
