"""What an app rebuilds in `session.local` whenever a session comes into memory."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from parlour.engine.journal import Journal
from parlour.errors import SessionOver, Unwinding
from parlour.session import BlockingSession, Session

if TYPE_CHECKING:
    from parlour.engine.activation import Activation
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")


async def run_wakers(engine: Engine, activation: Activation) -> None:
    """Run the app's `on_wake` handlers, plain ones in a thread; one that fails is only logged."""
    if not engine.app.wakers:
        return
    journal = Journal(activation, None)
    journal.kill(SessionOver("on_wake rebuilds session.local; it can read, but not record"))
    session = Session(journal)
    for waker in engine.app.wakers:
        try:
            async with asyncio.timeout(engine.settings.limits.round_seconds):
                found = await _call(engine, waker, session, journal)
                if inspect.isawaitable(found):
                    await found
        except (Exception, Unwinding):
            log.exception("on_wake failed in session %s", activation.id[:8])


async def _call(
    engine: Engine, waker: Callable[..., Any], session: Session, journal: Journal
) -> Any:
    call = getattr(waker, "__call__", None)  # noqa: B004 - objects that are called
    if inspect.iscoroutinefunction(waker) or inspect.iscoroutinefunction(call):
        return await waker(session)
    return await engine.bridge.into(partial(waker, BlockingSession(session, journal)), journal)
