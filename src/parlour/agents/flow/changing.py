"""A session's place while a round changes it: each change is recorded as it happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.structs import replace

from parlour.agents.flow.happening import Happening
from parlour.agents.flow.place import Frame, Late, Place, write_place
from parlour.agents.flow.state import State, Transition
from parlour.agents.flow.triggers import OnTimeout
from parlour.events import PlaceTaken, ReminderCancelled
from parlour.session.effects import Effects
from parlour.session.values import decode_value, encode_value

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow


class Changing:
    """The place, and what is bound to its states: timers and what they have invoked.

    `moves` counts the changes of state.
    """

    def __init__(self, flow: Flow, effects: Effects, place: Place) -> None:
        self._flow = flow
        self._effects = effects
        self.place = place
        self.moves = 0

    # -- where it is ------------------------------------------------------------------------

    def top(self) -> State:
        return self._state(self.place.top.state)

    def active(self) -> list[State]:
        """The states of the flow on top, innermost first, without its root."""
        if not self.place.frames or not self.place.top.state:
            return []
        return [state for state in self.top().chain if state.parent is not None]

    def chain(self) -> list[State]:
        """All that may answer an event: the states on top, its root, the roots of those below."""
        if not self.place.frames or not self.place.top.state:
            return []
        return [*self.top().chain, *(root for root in self.roots()[1:])]

    def roots(self) -> list[State]:
        """The root of each flow of the stack, the top one first."""
        return [self._state(frame.state).flow.any for frame in reversed(self.place.frames)]

    def is_open(self, flow: Flow) -> bool:
        """Whether this flow is in the stack already."""
        return any(frame.flow == flow.name for frame in self.place.frames)

    def _state(self, id_: str) -> State:
        state = self._flow.state_called(id_)
        assert state is not None, id_  # `mend` has seen to that
        return state

    # -- changes ----------------------------------------------------------------------------

    def clear(self, flow: Flow) -> None:
        """Begin anew: nothing is active, and nothing is put off."""
        for frame in reversed(self.place.frames):
            self._release(frame)
        self.place = Place(frames=(Frame(flow.name, ""),), entries=self.place.entries)

    def push(self, row: Transition) -> None:
        """A digression begins above what is active."""
        assert row.flow is not None
        frame = Frame(row.flow.name, "", back=row.back, remind=row.remind)
        self.place = replace(self.place, frames=(*self.place.frames, frame))

    def cut(self, source: State) -> list[State]:
        """End the digressions above the flow of `source`; the states that are left with them."""
        left: list[State] = []
        while self.place.top.flow != source.flow.name:
            left += self.active()
            self._release(self.place.top)
            self.place = replace(self.place, frames=self.place.frames[:-1])
        return left

    def pop(self, by: str) -> Frame | None:
        """The digression on top has ended; None if it is the main flow, which stays there."""
        frame = self.place.top
        self._release(frame)
        if len(self.place.frames) == 1:
            self._set_top(replace(frame, entered={}, works={}, back="ended"))
            self._record(frame.state, frame.state, by)
            return None
        self.place = replace(self.place, frames=self.place.frames[:-1])
        self._record(frame.state, self.place.top.state, by)
        return frame

    def enter(self, states: list[State], source: str, by: str) -> None:
        """These states become active, outermost first: timers and works begin."""
        frame, entries = self.place.top, self.place.entries
        entered, works = dict(frame.entered), dict(frame.works)
        for state in states:
            entries += 1
            entered[state.id] = entries
            for row in state.transitions:
                if isinstance(row.trigger, OnTimeout):
                    self._arm(row.id, row.trigger.seconds, entries)
            for name, (_, variables) in state.invocations.items():
                key = f"{state.id}.{name}"
                works[key] = self._effects.start_work(key, self._arguments(variables)).seq
        target = states[-1].id
        self.place = replace(self.place, entries=entries)
        self._set_top(replace(frame, state=target, entered=entered, works=works))
        self._record(source, target, by)

    def leave(self, state: State) -> None:
        """A state is not active any more: its timers and works end."""
        frame = self.place.top
        self._release(frame, state)
        entered = {id_: entry for id_, entry in frame.entered.items() if id_ != state.id}
        works = {
            key: number for key, number in frame.works.items() if key.rpartition(".")[0] != state.id
        }
        self._set_top(replace(frame, entered=entered, works=works))

    def note(self, row: Transition) -> None:
        """A transition was taken that leads nowhere else."""
        here = self.place.top.state
        self._record(here, here, row.id, moved=False)

    def restart_silence(self) -> None:
        """The user has said something: the timers of silence begin anew."""
        for state in self.active():
            for row in state.transitions:
                if isinstance(row.trigger, OnTimeout) and row.trigger.silence:
                    entry = self.place.top.entered.get(state.id, 0)
                    self._arm(row.id, row.trigger.seconds, entry)

    def _set_top(self, frame: Frame) -> None:
        self.place = replace(self.place, frames=(*self.place.frames[:-1], frame))

    def _record(self, source: str, target: str, by: str, *, moved: bool = True) -> None:
        self.moves += moved
        place = write_place(self.place)
        self._effects.record(
            "place",
            target,
            lambda path: PlaceTaken(path=path, place=place, source=source, target=target, by=by),
        )

    # -- timers and works -------------------------------------------------------------------

    def _arm(self, name: str, seconds: float, entry: int) -> None:
        self._effects.remind(name, seconds, Raw(b"%d" % entry))

    def _arguments(self, variables: tuple[str, ...]) -> Raw:
        stored = self._effects.view.variables
        values = [
            decode_value(stored[name].value, stored[name].kind) if name in stored else None
            for name in variables
        ]
        return encode_value(values)[0]

    def _release(self, frame: Frame, only: State | None = None) -> None:
        """End the timers and works of a frame's states, or of one of them."""
        for id_ in frame.entered:
            state = self._flow.state_called(id_)
            if state is None or (only is not None and state is not only):
                continue
            for row in state.transitions:
                if isinstance(row.trigger, OnTimeout):
                    self._cancel(row.id)
        for key, number in frame.works.items():
            if only is None or key.rpartition(".")[0] == only.id:
                self._effects.cancel_work(number)

    def _cancel(self, name: str) -> None:
        self._effects.record("unremind", name, lambda path: ReminderCancelled(name=name, path=path))

    # -- what is put off --------------------------------------------------------------------

    def put_off(self, late: Late, most: int) -> list[Happening]:
        """Keep an event for later; those that there is no room for any more, oldest first."""
        kept = (*self.place.late, late)
        dropped = kept[: max(0, len(kept) - most)]
        self.place = replace(self.place, late=kept[len(dropped) :])
        here = self.place.top.state
        self._record(here, here, f"{here}.defer", moved=False)
        return [item.happening for item in dropped]

    def take_late(self, wanted: Callable[[Happening], bool], now: float) -> list[Happening]:
        """The events that were put off and need not be any longer, in the order they came."""
        fresh = [late for late in self.place.late if late.until is None or late.until > now]
        taken = [late.happening for late in fresh if wanted(late.happening)]
        left = tuple(late for late in fresh if not wanted(late.happening))
        if left != self.place.late:
            self.place = replace(self.place, late=left)
            here = self.place.top.state
            self._record(here, here, f"{here}.recall", moved=False)
        return taken

    # -- a flow that was changed ------------------------------------------------------------

    def mend(self) -> str:
        """Follow renamed states; the name of a state that is gone, "" if none is."""
        frames: list[Frame] = []
        for frame in self.place.frames:
            flow = self._flow.flow_called(frame.flow)
            if flow is None:
                return frame.state
            known = {id_: self._renamed(flow, id_) for id_ in (*frame.entered, frame.state)}
            target = known[frame.state]
            state = self._flow.state_called(target)
            if state is None or state.children:
                return frame.state
            entered = {known[id_]: entry for id_, entry in frame.entered.items()}
            works = {self._flow.current(key): number for key, number in frame.works.items()}
            frames.append(replace(frame, state=target, entered=entered, works=works))
        self.place = replace(self.place, frames=tuple(frames))
        return ""

    def _renamed(self, flow: Flow, id_: str) -> str:
        if self._flow.state_called(id_) is not None:
            return id_
        name = id_.removeprefix(flow.prefix)
        return flow.prefix + flow.renames.get(name, name)
