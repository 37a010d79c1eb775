"""Notices code that keeps the event loop from turning, and names it in the log.

A thread asks the loop now and then to show that it turns, and takes the loop's stack if it does
not. It asks only while something is under way; while nothing is, it sleeps without a wake-up.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from parlour.engine.frames import Place, app_place, depth_below, stack_of
from parlour.engine.scope import Scope

log = logging.getLogger("parlour.engine")

_WARN_EVERY = 60.0
_PLACES = 256
_HERE = str(Path(__file__).parent)
_CURE = (
    "every session waits meanwhile; await it, or give what computes to "
    "`await session.step(fn, process=True)` and what waits to `await session.step(fn)`"
)


class Watchdog:
    """Watches the loop of the thread that makes it.

    `after` is how long the loop may stand still, in seconds; 0 means that nobody looks. `busy`
    says whether something is under way, and `beside` where other threads of the engine work; both
    are asked in any thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        after: float,
        *,
        busy: Callable[[], bool],
        beside: Callable[[], list[Place]],
    ) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._after = after
        self._busy = busy
        self._beside = beside
        self._awake = after <= 0
        self._wake = threading.Event()
        self._closed = False
        self._below = 0
        self._seen: dict[Place, _Seen] = {}
        if after > 0:
            loop.call_soon(self._turn)
            threading.Thread(target=self._watch, name="parlour-watchdog", daemon=True).start()

    def rouse(self) -> None:
        """Something begins; on the loop."""
        if not self._awake:
            self._awake = True
            self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def _turn(self, turned: threading.Event | None = None) -> None:
        """The loop turns: see how much of the stack runs it, and is not what it runs."""
        self._below = depth_below()
        if turned is not None:
            turned.set()

    # -- in its thread ----------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            while self._busy() and not self._closed:
                try:
                    self._look()
                except RuntimeError:
                    # The loop is closed.
                    return
                self._nap()
            self._awake = False
            if self._busy():
                # It began just now, when this thread still seemed to be awake.
                self.rouse()

    def _nap(self) -> None:
        """Look again later; if that is much too late, this thread was kept from running."""
        begun, computed = time.monotonic(), time.process_time()
        self._wake.wait(self._after / 2)
        late = time.monotonic() - begun - self._after / 2
        late = min(late, time.process_time() - computed)
        if late >= self._after:
            self._blame(late)

    def _look(self) -> None:
        turned = threading.Event()
        self._loop.call_soon_threadsafe(self._turn, turned)
        blocked = self._stood(turned, self._after)
        if blocked < self._after:
            return
        place, told = self._blame(blocked)
        while not turned.is_set() and not self._closed:
            blocked += self._stood(turned, self._after)
        if told and turned.is_set():
            log.warning("the event loop turns again after %.1f s at %s", blocked, place)

    def _blame(self, blocked: float) -> tuple[Place | None, bool]:
        """Find and tell who is to blame: what the loop runs, else who lets it not run."""
        stack = stack_of(self._loop_thread)
        stack = stack[: max(0, len(stack) - self._below)]
        place = app_place(stack)
        if place is not None:
            session = _session_of(stack)
            return place, self._tell(
                place, f", in session {session[:8]}" if session else "", blocked
            )
        for place in self._beside():
            return place, self._tell(place, ", in a thread that lets no other one run", blocked)
        return None, False

    def _stood(self, turned: threading.Event, most: float) -> float:
        """For how long the loop stands still from now on, up to `most`.

        If this thread too was kept from running, only what this process computed counts: it was
        stopped or the machine slept, or a thread let no other one run.
        """
        stood, slice_ = 0.0, most / 4
        while stood < most and not self._closed:
            begun, computed = time.monotonic(), time.process_time()
            ended = turned.wait(slice_)
            took = time.monotonic() - begun
            computed = time.process_time() - computed
            stood += took if took <= 2 * slice_ else min(took, computed)
            if ended:
                break
        return stood

    def _tell(self, place: Place, whose: str, blocked: float) -> bool:
        """Warn, once a minute for each place."""
        now = time.monotonic()
        seen = self._seen.pop(place, None) or _Seen()
        self._seen[place] = seen
        if len(self._seen) > _PLACES:
            del self._seen[next(iter(self._seen))]
        seen.times += 1
        if now - seen.told < _WARN_EVERY:
            return False
        seen.told = now
        log.warning(
            "the event loop has stood still for %.1f s at %s%s%s; %s",
            blocked,
            place,
            whose,
            f" ({seen.times} times by now)" if seen.times > 1 else "",
            _CURE,
        )
        return True


class _Seen:
    """How often and when a place was told of."""

    __slots__ = ("times", "told")

    def __init__(self) -> None:
        self.times = 0
        self.told = -_WARN_EVERY


def _session_of(stack: list[FrameType]) -> str:
    """The session whose handler is on this stack: what drives it knows; "" if there is none."""
    for frame in stack:
        if frame.f_code.co_filename.startswith(_HERE):
            scope = frame.f_locals.get("scope")
            if isinstance(scope, Scope):
                return scope.journal.session_id
    return ""
