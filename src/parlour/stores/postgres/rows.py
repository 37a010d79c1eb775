"""From rows of results to what crosses the store's seam."""

from __future__ import annotations

import math

from parlour.stores.postgres.queries import given, kept
from parlour.stores.postgres.server import Row
from parlour.stores.store import Claim, Cursor, SessionInfo, Snapshot, UserValue

_FAR = 1 << 62


def hour(at: float) -> int:
    """The hour of a time, as far as the server can count."""
    return max(-_FAR, min(_FAR, math.floor(at / 3600))) if math.isfinite(at) else 0


def place_of(before: Cursor | None) -> tuple[int, float, str]:
    """Where a page of a listing begins: hour, time, id."""
    if before is None:
        return _FAR, float("inf"), ""
    return hour(before.updated), before.updated, kept(before.id)


def claim_of(row: Row) -> Claim:
    epoch, head, user, created, closed, due, seq, data, posted, _ = row
    return Claim(
        epoch=epoch,
        head=head,
        user=given(user),
        created=created,
        snapshot=None if seq is None else Snapshot(seq, data),
        closed=closed,
        due=due,
        posted=posted,
    )


def info_of(row: Row) -> SessionInfo:
    id_, user, created, updated, head, title, closed, due = row
    return SessionInfo(
        id=given(id_),
        user=given(user),
        created=created,
        updated=updated,
        head=head,
        title=given(title),
        closed=closed,
        due=due,
    )


def value_of(row: Row) -> UserValue:
    name, value, kind = row
    return UserValue(given(name), value, given(kind))
