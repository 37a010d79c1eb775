"""Who a client is: an anonymous user known by a signed token, in a cookie or given back by hand."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hmac import compare_digest
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer

COOKIE = "parlour_user"
COOKIE_SECONDS = 400 * 24 * 3600
"""As long as browsers keep a cookie at all (RFC 6265bis §5.5)."""

Headers = Iterable[tuple[bytes, bytes]]


class Identity:
    """Makes and reads users' tokens; `secret` is the server's own and survives restarts."""

    def __init__(self, secret: bytes, origins: Iterable[str] = ()) -> None:
        self._signer = Signer(secret, salt="parlour.user", digest_method=_sha256)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    def new_user(self) -> str:
        """An unguessable id for a visitor nobody knows yet."""
        return secrets.token_hex(16)

    def token(self, user: str) -> str:
        """What proves to be `user`."""
        return self._signer.sign(user).decode()

    def user_of(self, token: str) -> str | None:
        """Whose token it is; None if we did not make it."""
        try:
            user = self._signer.unsign(token[:512]).decode()
        except (BadSignature, UnicodeError):
            return None
        # The last letter of a signature has bits that say nothing: only one of its forms is ours.
        return user if compare_digest(self.token(user).encode(), token.encode()) else None

    def user_from(self, headers: Headers) -> str | None:
        """Who sent a request: by cookie, or by `Authorization: Bearer`; None if nobody we know."""
        for name, value in headers:
            if name == b"cookie":
                user = self._user_of_cookie(value)
                if user is not None:
                    return user
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                return self.user_of(value[7:].decode("latin-1"))
        return None

    def _user_of_cookie(self, value: bytes) -> str | None:
        # The standard library's parser gives up at the first cookie it dislikes, and the others on
        # this host are not ours.
        for pair in value.decode("latin-1").split(";"):
            name, _, token = pair.partition("=")
            if name.strip() == COOKIE:
                user = self.user_of(token.strip().strip('"'))
                if user is not None:
                    return user
        return None

    def allows(self, headers: Headers) -> bool:
        """Whether a request comes from our own page, a listed origin, or from no page at all."""
        found = {name: value for name, value in headers if name in (b"origin", b"host")}
        origin = found.get(b"origin", b"").decode("latin-1").lower()
        if not origin:
            return True
        host = found.get(b"host", b"").decode("latin-1").lower()
        return origin in self._origins or (bool(host) and _netloc(origin) == host)


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _sha256(data: bytes = b"") -> object:
    import hashlib

    return hashlib.sha256(data)
