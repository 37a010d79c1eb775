"""A flow: a conversation as a state machine, declared once, checked, run for every session.

It is an agent like any other: `respond` answers a round by what the table of transitions says, and
what it remembers of a session is the place that the log holds.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Raw

from parlour.agents.flow.calls import declared
from parlour.agents.flow.checks import Notes, problems_of, remarks_of
from parlour.agents.flow.entities import Choices, Entity, Pattern, Text, standard_entities
from parlour.agents.flow.happening import FlowEvent
from parlour.agents.flow.intents import Classifier, Intent, Slot, slots_in
from parlour.agents.flow.ngrams import NgramClassifier
from parlour.agents.flow.predicting import Predictor
from parlour.agents.flow.run import FlowRun, intents_of
from parlour.agents.flow.state import State, Transition, standard_event
from parlour.agents.flow.triggers import OnEvent, Trigger
from parlour.errors import FlowInvalid
from parlour.events import Cause
from parlour.session import Round, Session

log = logging.getLogger("parlour.flow")

_LONGEST = 60
_CAUSES: frozenset[Cause] = frozenset({"open", "message", "signal", "reminder", "change", "work"})


class Flow:
    """A conversation as states and transitions.

    `fallback` is said where nothing wants a message ("" says nothing). `at_end` says what the next
    message does after a final state: `restart` begins anew with it, `close` has closed the session.
    `classifier` finds intents; `languages` are those in which dates are understood.
    """

    def __init__(
        self,
        name: str,
        *,
        fallback: str = "Sorry, I did not understand that.",
        at_end: Literal["restart", "close"] = "restart",
        classifier: Classifier | None = None,
        languages: Sequence[str] = ("en",),
    ) -> None:
        self.name = name
        self.line = declared()
        self.fallback_text = fallback
        self.at_end = at_end
        self.classifier: Classifier = classifier or NgramClassifier()
        self.prefix = ""
        self.notes = Notes()
        self.intents: dict[str, Intent] = {}
        self.entities: dict[str, Entity] = standard_entities(languages)
        self.renames: dict[str, str] = {}
        self.lost: State | None = None
        self.kinds: dict[str, type[Any]] = {}
        self._states: dict[str, State] = {}
        self._checked = False
        self._flows: dict[str, Flow] = {}
        self._works: dict[str, Callable[..., Any]] = {}
        self._by_id: dict[str, State] = {}
        self.predictor = Predictor(self)
        self.any = State(self, "any", None, initial=False, final=False)
        """The root: what no other state handles comes here. `help` and `cancel` live here."""

    # -- declaring --------------------------------------------------------------------------

    def state(self, name: str, *, initial: bool = False, final: bool = False) -> State:
        """A new state."""
        return self.add_state(name, self.any, initial=initial, final=final)

    def states(
        self, *names: str, initial: str = "", final: str | Sequence[str] = ()
    ) -> tuple[State, ...]:
        """Several states at once: `greet, done = flow.states("greet", "done", initial="greet")`."""
        return self.any.states(*names, initial=initial, final=final)

    def add_state(self, name: str, parent: State, *, initial: bool, final: bool) -> State:
        """What `state` of a flow or of a state does."""
        self.check_open()
        state = State(self, name, parent, initial=initial, final=final)
        known = self._states.get(name)
        if known is not None or name == "any":
            place = known.line if known is not None else "every flow has it"
            self.notes.problem(state.line, f"the state {name!r} is there already: {place}")
        elif not name or set(name) & set(".:#/\n") or len(name) > _LONGEST:
            self.notes.problem(
                state.line, f"a state's name has up to 60 letters and none of . : # /, not {name!r}"
            )
        else:
            self._states[name] = state
        parent.children.append(state)
        return state

    def intent(
        self,
        name: str,
        examples: Sequence[str] = (),
        *,
        ask: Mapping[str, str] | None = None,
        description: str = "",
    ) -> Intent:
        """Something a user may want, told by examples.

        `{nights:int}` in an example is a parameter, of a standard kind (int, number, date,
        duration, email, text) or an entity of the flow. `ask` has a question for each parameter
        that is needed: what the sentence lacks is asked for.
        """
        self.check_open()
        asked = dict(ask or {})
        slots: dict[str, Slot] = {}
        intent = Intent(name, examples, slots, description)
        for example in intent.examples:
            for slot, entity in slots_in(example):
                found = self._entity(entity, intent)
                known = slots.get(slot)
                if known is not None and known.entity.name != found.name:
                    self.notes.problem(
                        intent.line,
                        f"{slot!r} of the intent {name!r} is {known.entity.name} and {found.name}",
                    )
                slots[slot] = Slot(slot, found, slot in asked, asked.get(slot, ""))
        # They are asked for in the order in which the author wrote the questions.
        ordered = {name: slots.pop(name) for name in (*asked, *slots) if name in slots}
        slots.update(ordered)
        for slot in asked.keys() - slots.keys():
            self.notes.problem(
                intent.line, f"the intent {name!r} asks for {slot!r}, which no example has"
            )
        if name in self.intents:
            place = self.intents[name].line
            self.notes.problem(intent.line, f"the intent {name!r} is there already: {place}")
        self.intents[name] = intent
        return intent

    def entity(self, name: str, entries: Mapping[str, Sequence[str]] | Sequence[str]) -> Entity:
        """A kind of value that is one of several, each with its synonyms. Say it before intents."""
        mapping = entries if isinstance(entries, Mapping) else dict.fromkeys(entries, ())
        return self._add_entity(Choices(name, mapping))

    def regex(self, name: str, pattern: str, *, samples: Sequence[str] = ()) -> Entity:
        """A kind of value that fits a regular expression."""
        return self._add_entity(Pattern(name, pattern, samples))

    def _add_entity(self, entity: Entity) -> Entity:
        self.check_open()
        if entity.name in self.entities:
            self.notes.problem(declared(), f"the entity {entity.name!r} is there already")
        self.entities[entity.name] = entity
        return entity

    def _entity(self, name: str, intent: Intent) -> Entity:
        found = self.entities.get(name)
        if found is None:
            self.notes.remark(
                intent.line,
                f"there is no entity {name!r}, so any words are taken for one; declare it before "
                f"the intent {intent.name!r}: flow.entity({name!r}, […])",
            )
            found = self.entities[name] = Text(name)
        return found

    def event(self, event: type[Any] | str) -> OnEvent:
        """The trigger for an event: a name, a class of the application, or a standard event."""
        if isinstance(event, str):
            return OnEvent("signal", event)
        if issubclass(event, FlowEvent):
            return standard_event(event)
        known = self.kinds.setdefault(event.__name__, event)
        if known is not event:
            self.notes.problem(
                declared(), f"two classes of events are called {event.__name__}; rename one"
            )
        return OnEvent("signal", event.__name__, event)

    def renamed(self, old: str, new: str) -> None:
        """Sessions that were in the state `old`, which is gone, are in `new`."""
        self.check_open()
        self.renames[old] = new

    def when_lost(self, state: State) -> None:
        """Sessions whose state is gone, and not renamed, enter this one; else the initial one."""
        self.check_open()
        self.lost = state

    def check_open(self) -> None:
        """Raises `RuntimeError` once the flow runs."""
        if self._checked:
            raise RuntimeError(
                f"the flow {self.name!r} is in use already; declare everything before the App"
            )

    def check_names(self, names: Sequence[str], used: Sequence[str]) -> None:
        """Note those of `used` that are not among `names`."""
        for name in used:
            if name and name not in names:
                self.notes.problem(declared(), f"there is no state {name!r} among {list(names)}")

    # -- the table --------------------------------------------------------------------------

    @property
    def table(self) -> tuple[Transition, ...]:
        """All transitions, state by state in the order written; digressions follow."""
        return tuple(row for state in self.all_states() for row in state.transitions)

    def own_states(self) -> Iterator[State]:
        """The states of this flow, the root first."""
        yield self.any
        yield from self._states.values()

    def all_states(self) -> Iterator[State]:
        """Those of the flows it calls, too."""
        for flow in self.flows().values():
            yield from flow.own_states()

    def flows(self) -> dict[str, Flow]:
        """The flow itself and all that it calls, by name."""
        found: dict[str, Flow] = {}
        waiting: list[Flow] = [self]
        while waiting:
            flow = waiting.pop(0)
            if flow.name in found:
                if found[flow.name] is not flow:
                    self.notes.problem(flow.line, f"two flows are called {flow.name!r}")
                continue
            found[flow.name] = flow
            for state in flow.own_states():
                waiting += [row.flow for row in state.transitions if row.flow is not None]
        return found

    @property
    def start(self) -> State | None:
        """The state in which it begins."""
        return next((state for state in self.any.children if state.initial), None)

    def flow_called(self, name: str) -> Flow | None:
        """The flow itself, or one that it calls."""
        return self._flows.get(name)

    def class_of(self, signal: str) -> type[Any] | None:
        """The application's own class for signals of this name."""
        return next((f.kinds[signal] for f in self._flows.values() if signal in f.kinds), None)

    def current(self, name: str) -> str:
        """What a timer or an invocation is called now whose state was renamed."""
        id_, dot, rest = name.rpartition(".")
        if id_ in self._by_id:
            return name
        for flow in self._flows.values():
            old = id_.removeprefix(flow.prefix)
            if old in flow.renames and id_ == flow.prefix + old:
                return f"{flow.prefix}{flow.renames[old]}{dot}{rest}"
        return name

    def state_called(self, id_: str) -> State | None:
        """The state with this id, of this flow or one that it calls."""
        return self._by_id.get(id_)

    # -- checking ---------------------------------------------------------------------------

    def check(self) -> None:
        """Find the author's mistakes. Raises `FlowInvalid` that lists all, each with its line.

        Called when the App is made; after that nothing can be declared any more.
        """
        if self._checked:
            return
        flows = self.flows()
        for flow in flows.values():
            flow.prefix = "" if flow is self else f"{flow.name}:"
        problems = problems_of(self, flows)
        if problems:
            raise FlowInvalid(self.name, problems)
        for flow in flows.values():
            flow.close()
        self._flows = flows
        self._by_id = {state.id: state for state in self.all_states()}
        self._works = {
            f"{state.id}.{name}": function
            for state in self.all_states()
            for name, (function, _) in state.invocations.items()
        }
        for remark in self.remarks():
            log.warning("flow %s: %s", self.name, remark)

    def close(self) -> None:
        """Take no more declarations."""
        self._checked = True

    def remarks(self) -> list[str]:
        """What is no mistake, but may not be meant; each with its line."""
        return remarks_of(self, self.flows())

    # -- running ----------------------------------------------------------------------------

    @property
    def causes(self) -> frozenset[Cause]:
        return _CAUSES

    async def respond(self, session: Session, round: Round, /) -> None:  # noqa: A002
        self.predictor.warm_up(intents_of(list(state.chain)) for state in self.all_states())
        await FlowRun(self, session).respond(round)

    async def work(self, name: str, data: Raw, /) -> object:
        """Do what a state has invoked."""
        function = self._works.get(self.current(name))
        if function is None:
            raise LookupError(f"the flow invokes no {name!r} any more")
        arguments: list[Any] = msgspec.json.decode(data)
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        result = await asyncio.to_thread(function, *arguments)
        return await result if inspect.isawaitable(result) else result

    # -- looking at it ----------------------------------------------------------------------

    def mermaid(self, active: str = "") -> str:
        """The table as a Mermaid state diagram; `active` is the state to be marked."""
        from parlour.agents.flow.drawing import mermaid

        return mermaid(self, active)

    def walk(self, steps: Sequence[object], **options: Any) -> Any:
        """Talk to the flow, in memory: see `parlour.testing.walk`, which this calls."""
        # The test kit stands above the styles, and knows the engine; a flow does not.
        return import_module("parlour.testing").walk(self, steps, **options)

    def to_yaml(self) -> str:
        """The flow as YAML; functions are named. See `from_yaml`."""
        from parlour.agents.flow.sheet import write_sheet

        return write_sheet(self)

    @classmethod
    def from_yaml(
        cls, text: str | Path, functions: Mapping[str, Callable[..., Any]] | None = None
    ) -> Flow:
        """A flow from YAML, or a file of it; `functions` are those it may name.

        Raises `FlowInvalid` with the places of all mistakes. Nothing in it is evaluated.
        """
        from parlour.agents.flow.sheet import read_sheet

        return read_sheet(cls, text, functions or {})


__all__ = ["Flow", "State", "Transition", "Trigger"]
