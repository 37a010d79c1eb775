"""Group commit: what all sessions have recorded meanwhile goes to the store in one batch.

While the store writes one batch the next one gathers, so no timer is needed: under load batches
grow by themselves. Nothing is published here; each activation does that when its part is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from parlour.engine.scope import hide
from parlour.errors import StoreError, StoreUnavailable
from parlour.events import Event, UnknownEvent, encode_events
from parlour.stores.store import Append, Outcome, Store

if TYPE_CHECKING:
    from parlour.engine.activation import Activation

log = logging.getLogger("parlour.engine")


class Commit(Struct):
    """Durable records `first` … `last` of one session, as they are handed to listeners.

    `encoded` caches what each wire dialect makes of them, so that it is made once for all
    listeners. `data` is the events' JSON array in the log.
    """

    session: str
    first: int
    last: int
    at: float
    events: Sequence[Event | UnknownEvent]
    data: bytes
    encoded: dict[object, Any] = {}

    def after(self, seq: int) -> Commit:
        """The same without the records up to `seq`."""
        skip = max(0, seq + 1 - self.first)
        if not skip:
            return self
        events = self.events[skip:]
        data = encode_events(events)
        return Commit(self.session, self.first + skip, self.last, self.at, events, data)


class Committer:
    """Hands batches of all dirty activations to the store, one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dirty: list[Activation] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.uncommitted = 0
        """Bytes that wait for the disk."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="parlour-commit")
        hide(self._task)

    async def stop(self) -> None:
        """Write what is waiting, then end."""
        if self._task is None:
            return
        while self._dirty or self.uncommitted:
            self._wake.set()
            await asyncio.sleep(0)
            if self._task.done():
                break
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def touch(self, activation: Activation) -> None:
        """An activation has something to write."""
        self._dirty.append(activation)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            # One turn of the loop: handlers that were started just now join this batch.
            await asyncio.sleep(0)
            self._wake.clear()
            dirty, self._dirty = self._dirty, []
            taken: list[tuple[Activation, Append]] = []
            for activation in dirty:
                append = self._take(activation)
                if append is not None:
                    taken.append((activation, append))
            if taken:
                await self._write(taken)

    async def _write(self, taken: list[tuple[Activation, Append]]) -> None:
        outcomes: Sequence[Outcome | StoreError]
        try:
            outcomes = await self._store.append([append for _, append in taken])
        except StoreError as error:
            log.error("the store refused a batch of %d sessions: %s", len(taken), error)
            outcomes = [error] * len(taken)
        except Exception as error:
            log.exception("the store failed")
            outcomes = [StoreUnavailable(f"the store failed: {type(error).__name__}")] * len(taken)
        for (activation, _), outcome in zip(taken, outcomes, strict=True):
            try:
                activation.written(outcome)
            except Exception:
                log.exception("session %s failed at its commit", activation.id[:8])
                activation.drop("its commit failed", again=True)

    def _take(self, activation: Activation) -> Append | None:
        """What a session has to write; one that fails is dropped and harms no other."""
        try:
            return activation.take()
        except Exception:
            log.exception("session %s could not be written", activation.id[:8])
            activation.drop("it could not be written", again=True)
            return None
