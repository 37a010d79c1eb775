"""Saying something else instead: a branch of a conversation, from just before a message.

The branch is a fork that belongs to the same thread (`fork`), in which the new words are said. What
the rounds after that message did to the world outside is not undone by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parlour.engine.fork import check_number, fork_session
from parlour.engine.outcome import Accepted
from parlour.errors import Refused, StoreError
from parlour.events import FileRef, MessageAdded, Say
from parlour.state import check_command_id

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")


async def branch_here(
    engine: Engine,
    session: str,
    user: str,
    *,
    before: int,
    command: str,
    text: str | None = None,
    files: Sequence[str] | None = None,
) -> Accepted:
    """Say `text` with `files` instead of the message at record `before`, in a branch.

    None: as it was said there. The same `command` again gives the same branch.
    """
    check_command_id(command)
    if not engine.settings.branching:
        raise Refused("unhandled", "What was said here cannot be changed.")
    await engine.authorise(session, user)
    refusal = engine.crowded()
    if refusal is not None:
        raise refusal
    message = await _message(engine, session, before)
    refs = message.files if files is None else await _find(engine, session, files)
    say = Say(id=command, text=message.text if text is None else text, files=refs)
    branch = engine.session_id(user, f"branch {session} {command}")
    async with engine.lock(branch):
        await _fork(engine, session, branch, before - 1, refs)
    try:
        return await engine.send(branch, user, say)
    except Refused as refused:
        if refused.retry_after is None:
            await engine.ends.erase_from_store(branch)  # nothing can be said in it
        raise


async def _message(engine: Engine, session: str, seq: int) -> MessageAdded:
    """The user's message at a record, at which nothing else was under way."""
    if seq > 1:
        async for record in engine.records(session, seq - 1):
            event = record.event
            if isinstance(event, MessageAdded) and event.role == "user":
                return event
            break
    raise Refused("invalid", "There is no message of yours at that place.")


async def _find(engine: Engine, session: str, files: Sequence[str]) -> tuple[FileRef, ...]:
    limit = engine.settings.limits.files_per_message
    if len(files) > limit:
        raise Refused("too_large", f"A message may have {limit} files.")
    find = engine.files.find
    return tuple([await asyncio.to_thread(find, session, file) for file in dict.fromkeys(files)])


async def _fork(
    engine: Engine, session: str, branch: str, at: int, refs: Sequence[FileRef]
) -> None:
    try:
        if await engine.store.find(branch) is not None:
            return  # it was asked for before
        await check_number(engine, session)
        # What a worker left that died on the way.
        await asyncio.to_thread(engine.files.erase, branch)
        await fork_session(
            engine.store,
            engine.files,
            session,
            now=engine.time(),
            at=at,
            branch=branch,
            title=(await engine.state_of(session)).name.title,
            bring=refs,
        )
    except StoreError as error:
        log.error("session %s could not be branched: %s", session[:8], error)
        raise Refused("unavailable", "The branch could not be made; try again.", 1.0) from error
