"""One round of a flow: an event comes, and the table says what follows, until nothing does.

The rule of order: events in the order of their arrival, those that bodies signal before those from
outside; for each, the innermost state first, then the transitions in the order written; then, as
long as one holds, those that wait for no event. Everything here is a function of the place the log
holds, the event, and what is journaled.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.structs import replace

from parlour.agents.flow.changing import Changing
from parlour.agents.flow.checks import entered_with, is_final
from parlour.agents.flow.happening import (
    Happening,
    event_of,
    happening_of,
    parameters_of,
    signal_for,
)
from parlour.agents.flow.intents import Intent, Prediction
from parlour.agents.flow.place import Late, read_place
from parlour.agents.flow.predicting import parameters_of as parameters_in
from parlour.agents.flow.session import FlowSession, holds, run_call
from parlour.agents.flow.slots import fill, meant
from parlour.agents.flow.state import State, Transition
from parlour.agents.flow.triggers import (
    Comparison,
    OnIntent,
    fires,
)
from parlour.errors import Diverged, LimitExceeded, NotStorable, SessionOver, describe
from parlour.events import EventDropped
from parlour.session import Round, Session
from parlour.session.values import encode_value

if TYPE_CHECKING:
    from parlour.agents.flow.calls import Call
    from parlour.agents.flow.flow import Flow

_MOST_STEPS = 100
"""Transitions that may follow one event by themselves."""
_MOST_LATE = 32
"""Events that may be put off at a time; past that the oldest is dropped."""
_PLACE = re.compile(r"\{(\w+)\}")
_OURS = (Diverged, SessionOver, LimitExceeded)
"""Errors of the engine, which no transition answers."""


class FlowRun:
    """What a flow does in one round; `Now` of the author's session."""

    def __init__(self, flow: Flow, session: Session) -> None:
        self._flow = flow
        self._effects = session.effects
        self._changing = Changing(flow, session.effects, read_place(session.effects.place))
        self._signalled: deque[Happening] = deque()
        self._parameters: dict[str, Any] = {}
        self._steps = 0
        self.session = FlowSession(session.effects, self)
        self.event: Any = None
        self.prediction: Prediction | None = None

    @property
    def state_name(self) -> str:
        frames = self._changing.place.frames
        return frames[-1].state if frames else ""

    def signal(self, event: object, data: object) -> None:
        name, data = signal_for(event, data)
        raw, word = encode_value(data)
        if len(self._signalled) >= _MOST_STEPS:
            raise LimitExceeded(f"a body may signal {_MOST_STEPS} events; it signals for ever?")
        self._signalled.append(Happening("signal", name, data=raw, word=word))

    # -- a round ----------------------------------------------------------------------------

    async def respond(self, round_: Round) -> None:
        happening = happening_of(round_, round_.number, self._time(round_))
        lost = self._changing.mend()
        if lost:
            await self._enter_lost(lost)
        if not self._changing.place.frames or (
            self._ended() and happening is not None and happening.kind == "message"
        ):
            await self._begin()
        if happening is not None:
            await self._offer(happening)

    def _time(self, round_: Round) -> float:
        """When what the round is about happened, as far as anybody needs to know."""
        if round_.message is not None:
            return round_.message.at
        return self._effects.began

    def _ended(self) -> bool:
        frames = self._changing.place.frames
        if len(frames) != 1:
            return False
        state = self._flow.state_called(frames[0].state)
        return state is not None and (is_final(state) or frames[0].back == "ended")

    async def _begin(self) -> None:
        start = self._flow.start
        assert start is not None  # it has been checked
        self._changing.clear(self._flow)
        happening = Happening("begin")
        self._look_at(happening)
        await self._enter(list(entered_with(start)), "", "begin", happening)
        await self._settle(happening)

    async def _enter_lost(self, name: str) -> None:
        """The session's state is gone: what was declared for that is entered."""
        target = self._flow.lost or self._flow.start
        assert target is not None
        self._changing.clear(self._flow)
        happening = Happening("lost", name)
        self._look_at(happening)
        chain = [state for state in target.chain if state.parent is not None]
        entered = [*reversed(chain[1:]), *entered_with(target)]
        await self._enter(entered, name, "lost", happening)
        await self._settle(happening)

    async def _offer(self, happening: Happening) -> None:
        """Handle an event, what bodies signal because of it, and what was put off before."""
        tried: int | None = None
        await self._handle(happening)
        while True:
            if self._signalled:
                await self._handle(self._signalled.popleft())
            elif tried != self._changing.moves and self._changing.place.late:
                tried = self._changing.moves
                for late in self._changing.take_late(self._wanted, self._effects.began):
                    await self._handle(late)
            else:
                return

    async def _handle(self, happening: Happening) -> None:
        if happening.kind in ("timeout", "work"):
            happening = replace(happening, name=self._flow.current(happening.name))
        if self._is_stale(happening) or not self._look_at(happening):
            return
        if self._ended():
            self._drop(happening, "the flow has ended")
            return
        chain = self._changing.chain()
        if happening.kind == "message":
            await self._understand(chain, happening)
            self._changing.restart_silence()
        row = await self._find(chain, happening)
        if row is not None and await self._fill(row, happening):
            return
        if row is not None:
            await self._take(row, happening)
        else:
            await self._unwanted(chain, happening)
        await self._settle(happening)

    def _look_at(self, happening: Happening) -> bool:
        """Make it the event of the session; False if it is none."""
        kind = self._flow.class_of(happening.name) if happening.kind == "signal" else None
        try:
            event = event_of(happening, self.session, kind, self.state_name)
        except NotStorable as unfit:
            self._drop(happening, describe(unfit))
            return False
        self.event, self.prediction = event, None
        self._parameters = parameters_of(happening)
        return True

    def _is_stale(self, happening: Happening) -> bool:
        """Whether it belongs to a state that was left meanwhile."""
        frames = self._changing.place.frames
        state = happening.name.rpartition(".")[0]
        if happening.kind == "timeout":
            return not any(
                happening.data == Raw(b"%d" % frame.entered.get(state, 0)) for frame in frames
            )
        if happening.kind == "work":
            return not any(frame.works.get(happening.name) == happening.seq for frame in frames)
        return False

    # -- what follows -----------------------------------------------------------------------

    async def _find(
        self, chain: list[State], happening: Happening, *, waiting: bool = False
    ) -> Transition | None:
        """The first transition that wants this: innermost state first, then as written.

        With `waiting`, only of those that wait for an event.
        """
        for state in chain:
            for row in state.transitions:
                trigger = row.trigger
                if trigger is None and waiting:
                    continue
                if trigger is not None and not fires(trigger, row.id, happening, self.prediction):
                    continue
                if await self._may(row):
                    return row
        return None

    async def _may(self, row: Transition) -> bool:
        if row.flow is not None and self._changing.is_open(row.flow):
            return False
        for guard in row.guards:
            if isinstance(guard, Comparison):
                if not guard.holds(self.session.get(guard.variable)):
                    return False
            else:
                found = await holds(guard.call, self.session, self.event, self._parameters)
                if found is not guard.wanted:
                    return False
        return True

    async def _settle(self, happening: Happening) -> None:
        """Take what waits for no event, as long as something of that holds."""
        while not self._ended():
            row = None
            for state in self._changing.chain():
                for candidate in state.transitions:
                    if row is None and candidate.automatic and await self._may(candidate):
                        row = candidate
                if row is not None:
                    break
            if row is None:
                return
            self._count(row)
            await self._take(row, happening)

    def _count(self, row: Transition) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise LimitExceeded(
                f"{_MOST_STEPS} transitions followed one event by themselves, the last of them "
                f"{row.id} ({row.line}); let one wait for an event"
            )

    async def _take(self, row: Transition, happening: Happening) -> None:
        for action in row.actions:
            await self._run(action, happening)
        if row.say:
            self.session.reply(self._filled(row.say))
        match row.way:
            case "go" if row.target is not None:
                await self._go(row, row.target, happening)
            case "call" if row.flow is not None and row.flow.start is not None:
                self._changing.push(row)
                entered = list(entered_with(row.flow.start))
                await self._enter(entered, row.source.id, row.id, happening)
            case "end":
                left = self._changing.cut(row.source)
                await self._leave([*left, *self._changing.active()], happening)
                await self._end(row.id, happening)
            case _:
                self._changing.note(row)

    async def _go(self, row: Transition, target: State, happening: Happening) -> None:
        source = self.state_name
        outer = domain(row.source, target)
        left = self._changing.cut(row.source)
        inside = [state for state in self._changing.active() if state is not outer]
        around = set(map(id, outer.chain))
        left += [state for state in inside if id(state) not in around]
        await self._leave(left, happening)
        way = [state for state in target.chain if id(state) not in around]
        entered = [*reversed(way[1:]), *entered_with(target)]
        await self._enter(entered, source, row.id, happening)

    async def _leave(self, states: list[State], happening: Happening) -> None:
        for state in states:
            call = state.calls.get("leave")
            if call is not None:
                await self._run(call, happening)
            self._changing.leave(state)

    async def _enter(self, states: list[State], source: str, by: str, happening: Happening) -> None:
        self._changing.enter(states, source, by)
        for state in states:
            enter, body = state.calls.get("enter"), state.calls.get("body")
            if enter is not None and not await self._run(enter, happening):
                return
            if state.text:
                self.session.reply(self._filled(state.text))
            if body is not None and not await self._run(body, happening):
                return
        if is_final(states[-1]):
            await self._end(by, happening)

    async def _end(self, by: str, happening: Happening) -> None:
        """The flow on top has ended: a digression goes back, the conversation is over."""
        frame = self._changing.pop(by)
        if frame is None:
            if self._flow.at_end == "close":
                self.session.close()
            return
        state = self._changing.top()
        call = state.calls.get({"again": "body", "remind": "reminder"}.get(frame.back, ""))
        if frame.back == "again" and state.text:
            self.session.reply(self._filled(state.text))
        if frame.remind:
            self.session.reply(self._filled(frame.remind))
        elif call is not None:
            await self._run(call, happening)

    async def _run(self, call: Call, happening: Happening) -> bool:
        """Run what the author wrote; False if it raised and a transition has answered that."""
        try:
            await run_call(call, self.session, self, self.event, self._parameters)
        except _OURS:
            raise
        except Exception as error:
            if happening.kind == "error" or not await self._answer(error):
                raise
            return False
        return True

    async def _answer(self, error: Exception) -> bool:
        """Take the transition that answers an exception, if there is one."""
        names = [kind.__qualname__ for kind in type(error).__mro__]
        raised = Happening("error", error=names[0], reason=describe(error), text=" ".join(names))
        self._look_at(raised)
        row = await self._find(self._changing.chain(), raised, waiting=True)
        if row is None:
            return False
        self._count(row)
        await self._take(row, raised)
        return True

    # -- messages ---------------------------------------------------------------------------

    async def _understand(self, chain: list[State], happening: Happening) -> None:
        intents = intents_of(chain)
        if not intents or not happening.text.strip():
            return
        prediction = await self._flow.predictor.predict(self.session, intents, happening)
        band = next((state.band for state in chain if state.band is not None), None)
        if band is not None:
            name = await meant(self.session, prediction, intents, band)
            if name != prediction.name:
                intent = next((intent for intent in intents if intent.name == name), None)
                parameters = {} if intent is None else parameters_in(intent, happening)
                prediction = replace(prediction, name=name, parameters=parameters)
        self.prediction = prediction
        self._parameters = dict(prediction.parameters)

    async def _fill(self, row: Transition, happening: Happening) -> bool:
        """Ask for what the intent lacks; True if the answer was another wish, which was handled."""
        if not isinstance(row.trigger, OnIntent) or self.prediction is None:
            return False
        intent = row.trigger.intent
        filled, instead = await fill(
            self._flow, self.session, intent, self.prediction, self._changing.roots()
        )
        if instead is not None:
            await self._handle(replace(happening, text=instead))
            return True
        self.prediction = replace(self.prediction, parameters=filled)
        self._parameters = filled
        return False

    def _filled(self, text: str) -> str:
        """A text with variables and parameters in it: `Hello {user_name}!`."""
        if "{" not in text:
            return text
        values = self.session.variables | self._parameters

        def value(match: re.Match[str]) -> str:
            return str(values[match[1]]) if match[1] in values else match[0]

        return _PLACE.sub(value, text)

    # -- what nobody wants ------------------------------------------------------------------

    async def _unwanted(self, chain: list[State], happening: Happening) -> None:
        late = self._late(chain, happening)
        if late is not None:
            for dropped in self._changing.put_off(late, _MOST_LATE):
                self._drop(dropped, "too many events are put off")
            return
        if happening.kind != "message":
            if happening.kind in ("signal", "timeout", "work"):
                self._drop(happening, "no transition wants it here")
            return
        for state in chain:
            call = state.calls.get("fallback")
            if call is not None:
                await self._run(call, happening)
                return
        self._drop(happening, "no transition wants it here")
        if self._flow.fallback_text:
            self.session.reply(self._flow.fallback_text)

    def _late(self, chain: list[State], happening: Happening) -> Late | None:
        """The event as it is put off: because a state says so, or it is for one beneath."""
        for state in chain:
            for deferral in state.deferrals:
                if fires(deferral.trigger, "", happening, None):
                    wait = deferral.seconds
                    return Late(happening, None if wait is None else self._effects.began + wait)
        return Late(happening) if self._is_beneath(happening) else None

    def _is_beneath(self, happening: Happening) -> bool:
        """Whether it belongs to a state that waits for the end of a digression."""
        if happening.kind not in ("timeout", "work"):
            return False
        state = happening.name.rpartition(".")[0]
        return state not in self._changing.place.top.entered

    def _wanted(self, happening: Happening) -> bool:
        """Whether an event that was put off need not wait any longer."""
        return self._late(self._changing.chain(), happening) is None

    def _drop(self, happening: Happening, reason: str) -> None:
        name, state = happening.title[:128], self.state_name
        self._effects.record(
            "drop",
            "",
            lambda path: EventDropped(path=path, name=name, state=state, reason=reason[:500]),
        )


def intents_of(chain: list[State]) -> list[Intent]:
    """The intents that can be reached from a state, each once, in the order they are tried."""
    found: dict[str, Intent] = {}
    for state in chain:
        for row in state.transitions:
            if isinstance(row.trigger, OnIntent):
                found.setdefault(row.trigger.intent.name, row.trigger.intent)
    return list(found.values())


def domain(source: State, target: State) -> State:
    """The innermost state that is not left on the way from `source` to `target`."""
    if target is not source and any(state is source for state in target.chain):
        return source
    around = {id(state) for state in target.chain if state is not target}
    for state in source.chain:
        if state is not source and id(state) in around:
            return state
    return source if source.parent is None else source.flow.any
