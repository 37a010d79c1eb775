"""The statements of `queries.sql`, by name; and how texts are kept that PostgreSQL would refuse."""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_ESCAPED = re.compile(r"\\(?:\\|u([0-9a-f]{4}))")
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_STRANGE = re.compile("[\x00\\\\\ud800-\udfff]")


def _load() -> dict[str, str]:
    text = resources.files("parlour.stores.postgres").joinpath("queries.sql").read_text("utf-8")
    parts = _NAME.split(text)
    return {
        name: statement.strip() for name, statement in zip(parts[1::2], parts[2::2], strict=True)
    }


QUERIES = _load()


def kept(text: str) -> str:
    """A text without NUL and lone surrogates; `given` brings them back."""
    return _STRANGE.sub(_escape, text) if _STRANGE.search(text) else text


def searched(text: str) -> str:
    """A text to be searched, or to search for: as many characters, all fit to be kept."""
    return _UNFIT.sub("\ufffd", text) if _UNFIT.search(text) else text


def given(text: str) -> str:
    """What `kept` was given."""
    return _ESCAPED.sub(_unescape, text) if "\\" in text else text


def _escape(found: re.Match[str]) -> str:
    letter = found[0]
    return "\\\\" if letter == "\\" else f"\\u{ord(letter):04x}"


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else "\\"
