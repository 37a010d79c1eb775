"""How large a picture is, read from its first bytes: its place is kept while it loads. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_BY_START = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
}
_BY_BRAND = {b"WEBP": "image/webp", b"ftypavif": "image/avif", b"ftypavis": "image/avif"}
_SEGMENT = 0xFF
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_type(head: bytes) -> str:
    """The media type of a picture as its bytes tell it; "" if they do not."""
    for start, kind in _BY_START.items():
        if head.startswith(start):
            return kind
    for brand in (head[8:12], head[4:12]):
        if brand in _BY_BRAND:
            return _BY_BRAND[brand]
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    drawn = text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text
    return "image/svg+xml" if drawn or text.startswith(b"<svg") else ""


def picture_size(head: bytes) -> tuple[int, int]:
    """Width and height in pixels; zeros where they are not known."""
    try:
        match picture_type(head):
            case "image/png":
                return struct.unpack(">II", head[16:24])
            case "image/gif":
                return struct.unpack("<HH", head[6:10])
            case "image/webp":
                return _webp(head)
            case "image/jpeg":
                return next(_jpeg(head), (0, 0))
            case _:
                return 0, 0
    except (struct.error, IndexError):
        return 0, 0


def _webp(head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8X":
            wide, high = head[24:27], head[27:30]
            return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            wide, high = struct.unpack("<HH", head[26:30])
            return wide & 0x3FFF, high & 0x3FFF


def _jpeg(head: bytes) -> Iterator[tuple[int, int]]:
    """The sizes of its frames; of those, the first is the picture's."""
    place = 2
    while place + 9 <= len(head):
        marker = head[place + 1]
        if head[place] != _SEGMENT:
            return
        if marker in _FRAMES:
            high, wide = struct.unpack(">HH", head[place + 5 : place + 9])
            yield wide, high
        place += 2 + struct.unpack(">H", head[place + 2 : place + 4])[0]
