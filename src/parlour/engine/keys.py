"""The keys that users bring: known while they are connected, and nowhere written down.

A browser keeps its user's keys and gives them with each greeting. Here they are in memory only, by
user; a restart forgets them, and the next greeting brings them again.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from parlour.errors import Refused, UserKeyMissing
from parlour.offers import UserKey

_MOST_USERS = 10_000
_LONGEST = 8 * 1024
_SHORTEST_HIDDEN = 6
_HIDDEN = "•••"


class UserEnv(Mapping[str, str]):
    """One user's keys. Never shows them by itself."""

    def __init__(self, asked: Sequence[UserKey], known: Mapping[str, str]) -> None:
        self._asked = asked
        self._known = dict(known)

    def __getitem__(self, name: str) -> str:
        """Raises `UserKeyMissing`."""
        value = self._known.get(name)
        if value is None:
            label = next((key.label for key in self._asked if key.name == name), "")
            raise UserKeyMissing(name, label or name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<the user's {', '.join(sorted(self._known)) or 'keys: none'}>"


class Keys:
    """All users' keys, those of the newest users first when there are too many."""

    def __init__(self, asked: Sequence[UserKey]) -> None:
        self._asked = asked
        self._names = {key.name for key in asked}
        self._known: OrderedDict[str, dict[str, str]] = OrderedDict()

    def keep(self, user: str, given: Mapping[str, str]) -> None:
        """Learn some of a user's keys; an empty one is forgotten. Raises `Refused`."""
        wanted = {name: value for name, value in given.items() if name in self._names}
        if any(len(value) > _LONGEST for value in wanted.values()):
            raise Refused("too_large", f"A key may have {_LONGEST:,} characters.")
        if not wanted:
            return
        known = self._known.setdefault(user, {})
        known |= wanted
        for name in [name for name, value in known.items() if not value.strip()]:
            del known[name]
        self._known.move_to_end(user)
        if not known:
            del self._known[user]
        elif len(self._known) > _MOST_USERS:
            self._known.popitem(last=False)

    def keep_own(self, user: str) -> None:
        """Learn the keys of whoever runs this process, from its environment."""
        own = {name: os.environ[name] for name in self._names if os.environ.get(name)}
        self.keep(user, own)

    def of(self, user: str) -> UserEnv:
        return UserEnv(self._asked, self._known.get(user, {}))

    def forget(self, user: str) -> None:
        self._known.pop(user, None)

    def knows(self, user: str) -> bool:
        return user in self._known

    def hide(self, user: str, text: str) -> str:
        """`text` without the user's keys, which an error of somebody's library may quote."""
        for value in self._known.get(user, {}).values():
            if len(value) >= _SHORTEST_HIDDEN:
                text = text.replace(value, _HIDDEN)
        return text
