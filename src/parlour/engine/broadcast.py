"""A signal for every open session, those that sleep as well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Raw

from parlour.errors import Refused, StoreError
from parlour.events import Signal
from parlour.session.values import encode_value
from parlour.state import check_command_id

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

_AT_ONCE = 64
_PAGE = 500
_TRIES = 20
_LISTINGS = 3


async def broadcast(engine: Engine, name: str, data: Raw, command: str) -> int:
    """Send the signal to each, a few at a time; those that take no signals are left out.

    Each session takes a command's id once, so that this may be repeated. Raises `Refused` where
    the store cannot be read, or sessions are too busy for long.
    """
    check_command_id(command)
    if "signal" not in engine.app.agent.causes:
        raise Refused("unhandled", "This app takes no signals: it has no on_signal.")
    known: set[str] = set()
    places = asyncio.Semaphore(_AT_ONCE)
    reached = 0

    async def tell(session: str) -> bool:
        async with places:
            return await _tell(engine, session, Signal(id=command, name=name, data=data))

    # One that is used while it is listed changes its place in the list, so that is read again.
    for _ in range(_LISTINGS):
        found = await _open_sessions(engine) - known
        if not found:
            break
        known |= found
        async with asyncio.TaskGroup() as group:
            told = [group.create_task(tell(session)) for session in found]
        reached += sum(task.result() for task in told)
    return reached


async def broadcast_anywhere(engine: Engine, name: str, data: object, command: str) -> int:
    """The same for whoever lives on another loop, as a script's thread does."""
    call = broadcast(engine, name, encode_value(data)[0], command)
    if asyncio.get_running_loop() is engine.loop:
        return await call
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, engine.loop))


async def _open_sessions(engine: Engine) -> set[str]:
    found: set[str] = set()
    before = None
    while True:
        try:
            page = await engine.store.sessions(before=before, limit=_PAGE)
        except StoreError as error:
            raise Refused("unavailable", "The store cannot be read; try again.", 1.0) from error
        found.update(info.id for info in page if not info.closed)
        if len(page) < _PAGE:
            return found
        before = page[-1].cursor


async def _tell(engine: Engine, session: str, signal: Signal) -> bool:
    for attempt in range(_TRIES):
        try:
            await engine.send(session, None, signal)
        except Refused as refused:
            if refused.retry_after is None:
                if refused.code == "invalid":
                    raise
                return False  # it was closed or erased meanwhile
            if attempt == _TRIES - 1:
                raise
            await asyncio.sleep(min(refused.retry_after, 2.0))
        else:
            return True
    return False
