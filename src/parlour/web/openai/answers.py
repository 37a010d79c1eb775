"""Answers in JSON, as OpenAI's clients read them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from parlour.errors import Refused
from parlour.transports.codecs.openai.errors import error_of, status_of

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


_UNAUTHORISED, _CONFLICT = 401, 409


def respond(
    content: dict[str, Any] | bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer in JSON."""
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    named = {"X-Request-Id": f"req_{secrets.token_hex(12)}", **(headers or {})}
    return Response(data, status, headers=_HEADERS | named, media_type="application/json")


def problem(refusal: Refused) -> Response:
    """A refusal as OpenAI's clients read it."""
    headers: dict[str, str] = {}
    status = status_of(refusal)
    if refusal.retry_after is not None:
        headers["Retry-After"] = f"{max(1, round(refusal.retry_after))}"
    elif status >= _CONFLICT:
        # What has left no trace may be sent again; all else would be said twice.
        headers["X-Should-Retry"] = "false"
    if status == _UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    return respond(msgspec.json.encode(error_of(refusal)), status, headers)
