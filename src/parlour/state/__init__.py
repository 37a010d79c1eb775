"""The pure core: what a session is, and what may follow.

`decide` turns a command into events or refuses it; `evolve` applies one event; `fold` applies a
log. No clock, no randomness, no I/O: times and ids come in as arguments.
"""

from parlour.state.decide import (
    check_command_id,
    check_value,
    check_variable,
    decide,
    finish_round,
    next_round,
    open_session,
    overdue,
    read_title,
)
from parlour.state.evolve import MOVES, PHASE_AFTER, Move, evolve, evolve_all, fold
from parlour.state.model import (
    Effect,
    EffectOutcome,
    Heard,
    Name,
    Outside,
    Pending,
    Phase,
    Recent,
    Reminder,
    RoundState,
    Rules,
    Said,
    State,
    Stored,
    View,
    Window,
    Work,
)
from parlour.state.snapshot import SNAPSHOT_VERSION, decode_snapshot, encode_snapshot
from parlour.state.view import Entry, bring_all, bring_forward, comes_from_outside, view_at

__all__ = [
    "MOVES",
    "PHASE_AFTER",
    "SNAPSHOT_VERSION",
    "Effect",
    "EffectOutcome",
    "Entry",
    "Heard",
    "Move",
    "Name",
    "Outside",
    "Pending",
    "Phase",
    "Recent",
    "Reminder",
    "RoundState",
    "Rules",
    "Said",
    "State",
    "Stored",
    "View",
    "Window",
    "Work",
    "bring_all",
    "bring_forward",
    "check_command_id",
    "check_value",
    "check_variable",
    "comes_from_outside",
    "decide",
    "decode_snapshot",
    "encode_snapshot",
    "evolve",
    "evolve_all",
    "finish_round",
    "fold",
    "next_round",
    "open_session",
    "overdue",
    "read_title",
    "view_at",
]
