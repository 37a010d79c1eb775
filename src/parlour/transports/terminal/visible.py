"""Foreign text made harmless: what would steer a terminal is shown instead of obeyed. Pure."""

from __future__ import annotations

import re

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SYMBOLS = 0x2400
_DELETE = 0x7F
_LINE_SEPARATORS = "\u2028\u2029"


def visible(text: str) -> str:
    """`text` with its newlines, and with symbols or codes for all other control characters.

    Covers the C0 and C1 sets, marks that reorder text (which can make a line read as what it is
    not), and halves of characters, which no terminal's encoding can write.
    """
    return _STEERING.sub(_name, text.replace("\r\n", "\n").expandtabs(4))


def one_line(text: str, limit: int = 200) -> str:
    """The same on one line, cut to `limit` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def _name(found: re.Match[str]) -> str:
    letter = found.group()
    code = ord(letter)
    if letter in _LINE_SEPARATORS:
        return "\n"
    if code < _DELETE:
        return chr(_SYMBOLS + code)
    if code == _DELETE:
        return "␡"
    return f"<{code:02X}>" if code < 0x100 else f"<U+{code:04X}>"  # noqa: PLR2004 - Latin-1's end
