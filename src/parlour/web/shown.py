"""How a session's file is sent, so that a browser shows it or keeps it, and never runs it here."""

from __future__ import annotations

import re
from urllib.parse import quote

from parlour.events import FileRef

_INLINE = re.compile(r"image/(png|jpeg|gif|webp|avif)|(audio|video)/.*|application/pdf")
"""What browsers show, and never run."""
_FILE = "default-src 'none'; sandbox"
_PDF = "default-src 'none'; frame-ancestors 'self'"
"""Browsers do not open their reader in a sandbox."""
_FRAME = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""A page of the app's: its scripts run, and reach neither the chat nor any network."""


def file_headers(ref: FileRef, view: str | None) -> dict[str, str]:
    """What is said beside a file; `view` is how whoever asks wants to show it."""
    framed = ref.view == view == "frame"
    inline = framed or _INLINE.fullmatch(ref.type)
    kind, policy = "inline" if inline else "attachment", _FILE
    if framed or ref.type == "application/pdf":
        policy = _FRAME if framed else _PDF
    return {
        "Content-Security-Policy": policy,
        "Content-Disposition": f"{kind}; filename*=UTF-8''{quote(ref.name, safe='')}",
    }
