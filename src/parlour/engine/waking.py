"""How a session comes into memory, claimed and folded from its log, and how it is let go of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from parlour.engine.activation import Activation
from parlour.engine.reading import fold_session
from parlour.engine.wakers import run_wakers
from parlour.engine.works import OWED
from parlour.errors import StoreError
from parlour.state import State, decode_snapshot
from parlour.stores.shared import Elsewhere
from parlour.stores.store import Append

if TYPE_CHECKING:
    from parlour.engine.engine import Engine


log = logging.getLogger("parlour.engine")


async def activate(engine: Engine, session: str, opened_by: str) -> Activation | Elsewhere | None:
    """Claim a session and fold its log; None if there is no such. Raises `StoreError`.

    `opened_by` is the command that opens it, if nothing was recorded yet.
    """
    claim = await (engine.workers or engine.store).claim(session)
    if claim is None or isinstance(claim, Elsewhere):
        return claim
    state, snapshot_seq = State(window=engine.window), 0
    if claim.snapshot is not None:
        kept = decode_snapshot(claim.snapshot.data, engine.window)
        if kept is not None:
            state, snapshot_seq = kept, claim.snapshot.seq
    state = await fold_session(engine.store, session, state)
    if not state.seq:
        # The worker died between making the session and its first records.
        state = State(window=engine.window, user=claim.user)
        activation = Activation(engine, session, claim.epoch, state, 0)
        await run_wakers(engine, activation)
        activation.commit(engine.beginnings.events(session, claim.user, opened_by), opened_by)
        return activation
    activation = Activation(engine, session, claim.epoch, state, snapshot_seq)
    activation.owed = claim.due == 0.0
    await run_wakers(engine, activation)
    return activation


async def let_go(engine: Engine, activation: Activation) -> None:
    """Nobody here appends to the session any more: keep a snapshot, and say so to the store."""
    keep = activation.snapshot_to_keep()
    try:
        if keep is not None:
            await engine.store.append([keep])
        await engine.store.release(activation.id, activation.epoch)
    except StoreError as error:
        log.warning("a session could not be released: %s", error)


async def tell_due(engine: Engine, activation: Activation) -> None:
    """Tell the store when the session has something to do, where no record says it."""
    state = activation.state
    append = Append(
        session=activation.id,
        epoch=activation.epoch,
        after=state.seq,
        at=engine.time(),
        due=OWED if state.work else state.due,
    )
    try:
        await engine.store.append([append])
    except StoreError as error:
        log.warning("the store was not told that a session rests: %s", error)
