"""Refusals in OpenAI's shape. Pure."""

from __future__ import annotations

from msgspec import Struct

from parlour.errors import Refused


class Error(Struct, frozen=True):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(Struct, frozen=True):
    error: Error


class Problem(Refused):
    """A refusal that only this dialect knows: `kind` is its `type`, `param` names the field."""

    def __init__(  # noqa: PLR0917 - as one reads it
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        kind: str = "invalid_request_error",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, retry_after)
        self.status = status
        self.param = param
        self.kind = kind


_STATUS = {
    "unknown_session": 404,
    "unknown_file": 404,
    "unknown_link": 404,
    "closed": 409,
    "no_question": 409,
    "not_running": 409,
    "too_large": 413,
    "busy": 429,
    "too_many": 429,
    "overloaded": 503,
    "unavailable": 503,
}
_KINDS = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error"}
_CODES = {"too_many": "rate_limit_exceeded"}


def status_of(refusal: Refused) -> int:
    if isinstance(refusal, Problem):
        return refusal.status
    return _STATUS.get(refusal.code, 400)


def error_of(refusal: Refused) -> ErrorBody:
    if isinstance(refusal, Problem):
        return ErrorBody(Error(refusal.message, refusal.kind, refusal.param, refusal.code))
    status = status_of(refusal)
    kind = _KINDS.get(min(status, 500), "invalid_request_error")
    return ErrorBody(Error(refusal.message, kind, None, _CODES.get(refusal.code, refusal.code)))


def unauthorised(message: str) -> Problem:
    return Problem(401, "invalid_api_key", message, kind="authentication_error")


def invalid(message: str, param: str | None = None) -> Problem:
    return Problem(400, "invalid_value", message, param)


def missing(what: str, param: str | None = None) -> Problem:
    """What is not there, or another's: nobody learns which."""
    return Problem(404, "not_found", f"There is no such {what}.", param)
