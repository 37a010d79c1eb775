"""So many at a time, the rest in turn.

Each owner that waits gets a turn before any gets a second one, so whoever wants much at once holds
up nobody but itself. Knows nothing of what is done in a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

Go = Callable[[], bool]
"""Begins a turn, in whichever thread gave its place back; False if nobody wants the turn any more.

It must be quick and must not raise.
"""


class Places:
    """A number of places. Safe to use from any thread."""

    def __init__(self, places: int) -> None:
        self._lock = Lock()
        self._free = places
        self._waiting: dict[object, deque[Go]] = {}
        self._open = False

    @property
    def waiting(self) -> int:
        """How many owners wait for a place."""
        return len(self._waiting)

    def waiting_of(self, owner: object) -> int:
        """How many turns of one owner wait."""
        return len(self._waiting.get(owner, ()))

    def take(self, owner: object, go: Go) -> None:
        """Call `go` as soon as there is a place, at once if there is one; it must be given back."""
        with self._lock:
            if not self._open:
                if not self._free:
                    self._waiting.setdefault(owner, deque()).append(go)
                    return
                self._free -= 1
        if not go():
            self.give_back()

    def give_back(self) -> None:
        """A turn is over: its place goes to who waits longest."""
        while (go := self._next()) is not None:
            if go():
                return

    def withdraw(self, owner: object, go: Go) -> bool:
        """Do not wait any more; False if the turn has begun."""
        with self._lock:
            waiting = self._waiting.get(owner)
            if waiting is None or go not in waiting:
                return False
            waiting.remove(go)
            if not waiting:
                del self._waiting[owner]
            return True

    def open(self) -> None:
        """From now on nobody waits: the house closes, and what still runs shall come to its end."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, {}
        for turns in waiting.values():
            for go in turns:
                go()

    def _next(self) -> Go | None:
        with self._lock:
            for owner, turns in self._waiting.items():
                del self._waiting[owner]
                go = turns.popleft()
                if turns:
                    self._waiting[owner] = turns
                return go
            self._free += 1
            return None
