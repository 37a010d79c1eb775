"""Talk to a flow in a test: what is said goes in, states and replies come out.

The flow runs on a real engine, in memory, with a clock that only the walk moves.
"""

from __future__ import annotations

import datetime as dt
import mimetypes
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from parlour.agents.flow import Flow, Transition
from parlour.agents.flow.happening import signal_for
from parlour.app import App
from parlour.engine.local import LocalSession, local
from parlour.events import EventDropped, MessageAdded, PlaceTaken, QuestionAsked, Record
from parlour.settings import Settings
from parlour.testing.clock import VirtualClock

_PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stride:
    """One step of a walk: what went in, what was replied, and where that has led.

    `taken` are the ids of the transitions, `dropped` the events that nobody wanted.
    """

    step: object
    replies: tuple[str, ...]
    state: str
    taken: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    status: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A conversation that was held with a flow."""

    flow: Flow
    strides: tuple[Stride, ...]
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def states(self) -> list[str]:
        """Where the flow was after its beginning and after each step."""
        return [stride.state for stride in self.strides]

    @property
    def replies(self) -> list[list[str]]:
        """What was said at the beginning and to each step."""
        return [list(stride.replies) for stride in self.strides]

    @property
    def said(self) -> list[str]:
        """All that the bot has said."""
        return [reply for stride in self.strides for reply in stride.replies]

    @property
    def taken(self) -> set[str]:
        """The ids of the transitions that were taken."""
        return {id_ for stride in self.strides for id_ in stride.taken}


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which transitions of a flow were taken by some walks; as text, a report."""

    all: tuple[Transition, ...]
    missing: tuple[Transition, ...]

    @property
    def percent(self) -> float:
        done = len(self.all) - len(self.missing)
        return 100.0 * done / len(self.all) if self.all else 100.0

    def __str__(self) -> str:
        done = len(self.all) - len(self.missing)
        lines = [f"{done} of {len(self.all)} transitions taken ({self.percent:.0f} %)"]
        lines += [
            f"  {row.line}: {row.id} {row.title or 'by itself'} was never taken"
            for row in self.missing
        ]
        return "\n".join(lines)


def walk(
    flow: Flow, steps: Sequence[object], *, variables: Mapping[str, Any] | None = None
) -> Walk:
    """Hold a conversation with `flow` and return it.

    A step is what the user says (or answers, where a question stands), a `timedelta` that passes, a
    mapping of variables set from outside, an event of the application's own class, a signal as a
    tuple of name and data, or the `Path` of a file that is sent. `variables` are set at the
    beginning. Raises `FlowInvalid` for a flow with mistakes, and `TimeoutError`.
    """
    clock = VirtualClock()
    with local(App(flow), clock=clock, settings=Settings(development=True)) as running:
        session = running.get_session()
        for name, value in (variables or {}).items():
            session.set(name, value)
        _settle(session, clock)
        strides = [_stride("", session, 0)]
        for step in steps:
            before = session.state.seq
            _make(step, session, clock)
            _settle(session, clock)
            strides.append(_stride(step, session, before))
        kept = {name: session.get(name) for name in session.state.variables}
    return Walk(flow=flow, strides=tuple(strides), variables=kept)


def coverage(flow: Flow, *walks: Walk) -> Coverage:
    """Which transitions of `flow` the walks have taken together."""
    taken = {id_ for done in walks for id_ in done.taken}
    rows = flow.table
    return Coverage(rows, tuple(row for row in rows if row.id not in taken))


def _make(step: object, session: LocalSession, clock: VirtualClock) -> None:
    match step:
        case str() if session.question is not None:
            session.answer(text=step)
        case str():
            session.send_message(step)
        case dt.timedelta():
            _pass(step.total_seconds(), session, clock)
        case Path():
            kind = mimetypes.guess_type(step.name)[0] or "application/octet-stream"
            session.send_message("", files=[{"path": step, "name": step.name, "type": kind}])
        case Mapping():
            for name, value in cast("Mapping[str, object]", step).items():
                session.set(name, value)
        case tuple():
            name, data = cast("tuple[str, object]", step)
            session.signal(name, data)
        case _:
            session.signal(*signal_for(step, None))


def _pass(seconds: float, session: LocalSession, clock: VirtualClock) -> None:
    """Let time pass, from one moment at which something happens to the next."""
    until = clock.time() + seconds
    while clock.time() < until:
        due = session.state.due
        step = until - clock.time() if due is None else min(due, until) - clock.time()
        clock.advance(max(step, 0.001))
        _settle(session, clock)


def _settle(session: LocalSession, clock: VirtualClock) -> None:
    """Wait until nothing goes on: all that happened is answered, or waits for an answer."""
    end = time.monotonic() + _PATIENCE
    while True:
        state = session.state
        running = state.round
        due = state.due
        waits = running is None or bool(running.questions or running.timers)
        late = due is not None and due <= clock.time()
        if waits and not late and not state.work and not (state.queue and running is None):
            return
        if time.monotonic() > end:
            raise TimeoutError("the flow did not come to rest; does a body wait for something?")
        clock.advance(0.0)
        time.sleep(0.001)


def _stride(step: object, session: LocalSession, after: int) -> Stride:
    records: list[Record] = session.records(after)
    while not records or records[-1].seq < session.state.seq:
        time.sleep(0.001)  # what is decided is durable in a moment
        records = session.records(after)
        if not records and session.state.seq <= after:
            break
    events = [record.event for record in records]
    replies = tuple(
        event.text
        for event in events
        if isinstance(event, QuestionAsked)
        or (isinstance(event, MessageAdded) and event.role == "bot")
    )
    places = [event for event in events if isinstance(event, PlaceTaken)]
    earlier = [
        record.event.target for record in session.records(0) if isinstance(record.event, PlaceTaken)
    ]
    statuses = [getattr(event, "status", "") for event in events]
    return Stride(
        step=step,
        replies=replies,
        state=earlier[-1] if earlier else "",
        taken=tuple(event.by for event in places),
        dropped=tuple(event.name for event in events if isinstance(event, EventDropped)),
        status=next((status for status in reversed(statuses) if status), "waiting"),
    )
