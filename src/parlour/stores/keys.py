"""API keys: who holds one is known by it. Only a digest of each is kept, in a file by the store.

The file is read again when it has changed, so that a key that was made or revoked beside a running
server counts at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from hmac import compare_digest
from pathlib import Path

import msgspec
from msgspec import Struct

from parlour.errors import BadSettings, StoreCorrupt, StoreUnavailable

_FORM = re.compile(r"sk-parlour-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")
_MOST = 10_000
_NAME = 100
_USER = 200
_LEAST = 24
"""A key that is set by hand has at least so many characters."""


class Key(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key. `user` is whose sessions it opens.

    `trusted`: whoever holds it says in a header for which person he asks, as a gateway does; each
    person is a user of its own then.
    """

    id: str
    name: str
    digest: str
    created: float
    user: str
    trusted: bool = False


class Keys:
    """The keys in the file at `path`, and one (`given`) from the environment.

    Without a path there is only that one.
    """

    def __init__(self, path: Path | None, given: str = "") -> None:
        if given and len(given) < _LEAST:
            raise BadSettings(
                f"PARLOUR_API_KEY can be guessed: give it at least {_LEAST} characters, such as "
                "those of `python -c 'import secrets; print(secrets.token_urlsafe())'`"
            )
        self._path = path
        self._given = _digest(given) if given else ""
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def find(self, token: str) -> Key | None:
        """Whose key `token` is; None for nobody's. Raises `StoreError`."""
        digest = _digest(token[:512])
        if self._given and compare_digest(digest, self._given):
            return Key(id="environment", name="environment", digest="", created=0.0, user="key-env")
        form = _FORM.fullmatch(token)
        if form is None:
            return None
        key = self._all().get(form[1])
        return key if key is not None and compare_digest(key.digest, digest) else None

    def list(self) -> list[Key]:
        """All keys, oldest first. Raises `StoreError`."""
        return list(self._all().values())

    def add(self, name: str, *, user: str = "", trusted: bool = False) -> tuple[str, Key]:
        """Make a key; the key itself is told only here. Raises `StoreError` and `BadSettings`."""
        name = name.strip()
        if not name.isprintable() or not 0 < len(name) <= _NAME:
            raise BadSettings(f"a key's name has 1 to {_NAME} printable characters")
        if not user.isprintable() or len(user) > _USER:
            raise BadSettings(f"a user's id has at most {_USER} printable characters")
        keys = self._all()
        if any(key.name == name for key in keys.values()):
            raise BadSettings(f"there is a key called {name!r}; revoke it, or choose another name")
        if len(keys) >= _MOST:
            raise BadSettings(f"there are {_MOST:,} keys; revoke some")
        id_ = secrets.token_hex(6)
        token = f"sk-parlour-{id_}-{secrets.token_urlsafe(32)}"
        key = Key(
            id=id_,
            name=name,
            digest=_digest(token),
            created=round(time.time(), 3),
            user=user or f"key-{id_}",
            trusted=trusted,
        )
        self._write({**keys, id_: key})
        return token, key

    def revoke(self, which: str) -> Key:
        """Take back the key of that id or name. Raises `StoreError` and `BadSettings`."""
        keys = self._all()
        found = [key for key in keys.values() if which in {key.id, key.name}]
        if not found:
            raise BadSettings(f"there is no key {which!r}; `parlour keys ls` lists them")
        self._write({id_: key for id_, key in keys.items() if key is not found[0]})
        return found[0]

    # -- the file ---------------------------------------------------------------------------

    def _all(self) -> dict[str, Key]:
        if self._path is None:
            return {}
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                lines = self._path.read_bytes().splitlines()
                keys = [msgspec.json.decode(line, type=Key) for line in lines if line]
                self._keys = {key.id: key for key in keys}
                self._seen = seen
        except FileNotFoundError:
            self._keys, self._seen = {}, None
        except OSError as error:
            raise _unreadable(self._path, error) from error
        except msgspec.DecodeError as error:
            raise StoreCorrupt(
                f"the keys {self._path} are damaged; restore them, or remove the file and make "
                "new ones"
            ) from error
        return self._keys

    def _write(self, keys: dict[str, Key]) -> None:
        path = self._path
        if path is None:
            raise BadSettings(
                "a store in memory keeps no keys; set PARLOUR_API_KEY, or give the --store of a "
                "file"
            )
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
                file.writelines(msgspec.json.encode(key) + b"\n" for key in keys.values())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        finally:
            draft.unlink(missing_ok=True)


def _digest(token: str) -> str:
    # A key is random and long: nobody finds one by trying, however fast its digest is made.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _unreadable(path: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the keys {path} cannot be read or written ({error.strerror}); mend the permissions"
    )
