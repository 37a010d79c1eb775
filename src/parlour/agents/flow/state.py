"""States and transitions as an author declares them. They hold nobody's data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from parlour.agents.flow.calls import Call, call_of, declared, name_of
from parlour.agents.flow.happening import STANDARD, FlowEvent
from parlour.agents.flow.intents import Intent
from parlour.agents.flow.session import BlockingFlowSession, FlowSession
from parlour.agents.flow.triggers import (
    OPERATORS,
    Comparison,
    Condition,
    Guard,
    OnError,
    OnEvent,
    OnFile,
    OnIntent,
    OnNoIntent,
    OnTimeout,
    OnWork,
    Trigger,
    title_of,
)

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow

F = TypeVar("F", bound=Callable[..., Any])
Test = (
    Callable[[FlowSession], Any]
    | Callable[[FlowSession, Any], Any]
    | Callable[[FlowSession, Any, dict[str, Any]], Any]
    | Callable[..., Any]
)
"""A condition; a lambda's parameters are what it is called with."""
Action = (
    Callable[[BlockingFlowSession], Any]
    | Callable[[BlockingFlowSession, Any], Any]
    | Callable[[BlockingFlowSession, Any, dict[str, Any]], Any]
    | Callable[..., Any]
)
"""What a transition does; a plain function gets a `BlockingFlowSession`."""
Back = Literal["silent", "remind", "again"]
Way = Literal["go", "stay", "call", "end"]


class Transition:
    """One row of a flow's table: from a state, on a trigger, under guards, to somewhere."""

    def __init__(self, source: State, trigger: Trigger | None, guards: tuple[Guard, ...]) -> None:
        self.source = source
        self.trigger = trigger
        self.guards = guards
        self.line = declared()
        self.way: Way | None = None
        self.target: State | None = None
        self.flow: Flow | None = None
        self.back: Back = "silent"
        self.remind = ""
        self.say = ""
        self.actions: tuple[Call, ...] = ()
        self.number = len(source.transitions) + 1

    @property
    def id(self) -> str:
        """Names it in the log and in reports: the state and its place there, `greet.2`."""
        return f"{self.source.id}.{self.number}"

    @property
    def automatic(self) -> bool:
        """Whether nothing has to happen for it: it is tried whenever a body has run."""
        return self.trigger is None

    @property
    def title(self) -> str:
        """What it waits for, for people."""
        trigger = title_of(self.trigger)
        guards = " and ".join(guard.title for guard in self.guards)
        return f"{trigger} [{guards}]".strip() if guards else trigger

    def __repr__(self) -> str:
        return f"<Transition {self.id} {self.title or 'automatic'}>"


class When:
    """A transition that is being declared: say under which conditions, and where it leads."""

    def __init__(self, source: State, trigger: Trigger | None, *guards: Guard) -> None:
        self._transition = Transition(source, trigger, guards)
        source.begun.append(self._transition)

    def if_(self, condition: Test) -> When:
        """Only if `condition(session)`, or `(session, event)`, gives something true."""
        return self._guard(Condition(call_of(condition, "a condition")))

    def unless(self, condition: Test) -> When:
        """Only if `condition` gives something false."""
        return self._guard(Condition(call_of(condition, "a condition"), wanted=False))

    def if_variable(self, name: str, sign: str, value: object) -> When:
        """Only if a variable compares so with `value`; signs are those of `when_variable`."""
        return self._guard(comparison(name, sign, value))

    def _guard(self, guard: Guard) -> When:
        self._transition.guards = (*self._transition.guards, guard)
        return self

    def do(self, action: Action) -> When:
        """Call `action(session)`, or `(session, event)`, on the way."""
        call = call_of(action, "what a transition does")
        self._transition.actions = (*self._transition.actions, call)
        return self

    def go_to(self, state: State, *, say: str = "") -> State:
        """Leave for `state`, whose body then runs; the state itself is left and entered anew."""
        self._transition.target = state
        self._end("go", say)
        return self._transition.source

    def stay(self, *, say: str = "") -> State:
        """Leave nothing: no body runs, and the state's timers go on."""
        return self._end("stay", say)

    def call(self, flow: Flow, *, back: Back = "silent", remind: str = "", say: str = "") -> State:
        """Digress: `flow` runs, and where it ends the state goes on without being entered again.

        `back` says how: `silent`; `remind`, with the text `remind` or what the state's `reminder`
        does; or `again`, with its body.
        """
        self._transition.flow = flow
        self._transition.back = "remind" if remind else back
        self._transition.remind = remind
        return self._end("call", say)

    def end(self, *, say: str = "") -> State:
        """End the flow, as its final states do; a digression goes back."""
        return self._end("end", say)

    def _end(self, way: Way, say: str) -> State:
        transition = self._transition
        source = transition.source
        source.flow.check_open()
        if transition.way is not None:
            raise ValueError(f"the transition of {transition.line} leads somewhere already")
        transition.way, transition.say = way, say
        transition.number = len(source.transitions) + 1
        source.begun.remove(transition)
        source.transitions.append(transition)
        return source


class Deferral:
    """What a state puts off until another one wants it."""

    def __init__(self, trigger: OnEvent, seconds: float | None) -> None:
        self.trigger = trigger
        self.seconds = seconds


class State:
    """A state of a flow, made by `flow.state` or another state's `state`."""

    def __init__(
        self, flow: Flow, name: str, parent: State | None, *, initial: bool, final: bool
    ) -> None:
        self.flow = flow
        self.name = name
        self.parent = parent
        self.initial = initial
        self.final = final
        self.line = declared()
        self.children: list[State] = []
        self.transitions: list[Transition] = []
        self.begun: list[Transition] = []
        self.deferrals: list[Deferral] = []
        self.invocations: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}
        self.calls: dict[str, Call] = {}
        self.text = ""
        self.band: tuple[float, str] | None = None

    def __repr__(self) -> str:
        return f"<State {self.id}>"

    @property
    def id(self) -> str:
        """Its name among the states of all flows of an app."""
        return f"{self.flow.prefix}{self.name}"

    @property
    def chain(self) -> Iterator[State]:
        """The state, its parent, and so on up to the flow's root."""
        state: State | None = self
        while state is not None:
            yield state
            state = state.parent

    # -- nested states ----------------------------------------------------------------------

    def state(self, name: str, *, initial: bool = False, final: bool = False) -> State:
        """A state inside of this one, which handles what that does not."""
        return self.flow.add_state(name, self, initial=initial, final=final)

    def states(
        self, *names: str, initial: str = "", final: str | Sequence[str] = ()
    ) -> tuple[State, ...]:
        """Several states inside of this one."""
        ends = (final,) if isinstance(final, str) else tuple(final)
        self.flow.check_names(names, (initial, *ends))
        return tuple(
            self.state(name, initial=name == initial, final=name in ends) for name in names
        )

    # -- what it does -----------------------------------------------------------------------

    def body(self, function: F) -> F:
        """`function(session)` runs whenever the state is entered."""
        return self._set("body", function)

    def say(self, text: str) -> State:
        """Say this whenever the state is entered, before the body runs."""
        self.flow.check_open()
        self.text = text
        return self

    def fallback(self, function: F) -> F:
        """`function(session)` runs for a message that no transition wants."""
        return self._set("fallback", function)

    def enter(self, function: F) -> F:
        """`function(session)` runs before the body, also of the states around the entered one."""
        return self._set("enter", function)

    def leave(self, function: F) -> F:
        """`function(session)` runs when the state is left."""
        return self._set("leave", function)

    def reminder(self, function: F) -> F:
        """`function(session)` runs when a digression ends that was called with `remind`."""
        return self._set("reminder", function)

    def _set(self, what: str, function: F) -> F:
        self.flow.check_open()
        if what in self.calls:
            known = self.calls[what]
            raise ValueError(
                f"the {what} of {self.name!r} is {known.name} of {known.line} already; one "
                "function does it, which may call others"
            )
        self.calls[what] = call_of(function, f"the {what} of {self.name!r}")
        return function

    def invoke(self, function: Callable[..., Any], *variables: str, name: str = "") -> State:
        """Do something beside the conversation from entering the state on, until it is left.

        `function` gets the values of the named variables; its result or error comes as an event
        (`when_done`, `when_failed`). It has no session, and runs again if the worker dies.
        """
        self.flow.check_open()
        name = name or name_of(function)
        if name in self.invocations or not name.isidentifier():
            raise ValueError(
                f"{self.name!r} needs another name for what it invokes than {name!r}: "
                "invoke(function, name=…)"
            )
        self.invocations[name] = (function, variables)
        return self

    def defer(self, event: type[Any] | str, *, for_: float | dt.timedelta | None = None) -> State:
        """Keep an event that nobody wants here for a later state, for so many seconds at most."""
        self.flow.check_open()
        seconds = for_.total_seconds() if isinstance(for_, dt.timedelta) else for_
        self.deferrals.append(Deferral(self.flow.event(event), seconds))
        return self

    def ask_back(self, *, below: float = 0.75, text: str = "Did you mean …?") -> State:
        """Ask which one was meant where an intent is likely, but not as sure as `below`."""
        self.flow.check_open()
        self.band = (below, text)
        return self

    # -- transitions ------------------------------------------------------------------------

    def when_intent(self, intent: Intent, *, at_least: float = 0.0) -> When:
        """When a message is of this intent, at least so confidently."""
        return self._way(OnIntent(intent, at_least))

    def when_no_intent(self) -> When:
        """When a message is of none of the intents that can be reached from the state."""
        return self._way(OnNoIntent())

    def when_event(self, event: type[Any] | str) -> When:
        """When a signal of this name comes, or one that is made into this class."""
        return self._way(self.flow.event(event))

    def when_message(self) -> When:
        """When the user says anything."""
        return self._way(OnEvent("message"))

    @overload
    def when(self, what: type[Any] | str) -> When: ...
    @overload
    def when(self, what: Test) -> When: ...
    def when(self, what: Any) -> When:
        """When a condition holds, or an event comes: a class or a name.

        A condition is `condition(session)` or `(session, event)`, a function or a coroutine. It is
        looked at after each event and each variable set, never in between; it has no effects.
        """
        if isinstance(what, str | type):
            return self.when_event(cast("type[Any] | str", what))
        return self._way(None, Condition(call_of(what, "a condition")))

    def when_variable(self, name: str, sign: str, value: object) -> When:
        """When a variable compares so: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in` or `contains`."""
        return self._way(None, comparison(name, sign, value))

    def when_file(self, *types: str) -> When:
        """When a file is sent; `types` are media types (`image/*`) or endings (`.pdf`)."""
        return self._way(OnFile(types))

    def after(
        self,
        *,
        seconds: float = 0.0,
        minutes: float = 0.0,
        hours: float = 0.0,
        days: float = 0.0,
        silence: bool = False,
    ) -> When:
        """When so much time has passed since the state was entered; restarts do not stop it.

        With `silence`, since the state was entered or the user said something in it.
        """
        time = dt.timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if time <= dt.timedelta():
            raise ValueError("say after how much time: after(minutes=10)")
        return self._way(OnTimeout(time.total_seconds(), silence))

    def when_done(self, function: Callable[..., Any] | str) -> When:
        """When what the state has invoked has a result: `event.value`."""
        return self._way(OnWork(self._invoked(function)))

    def when_failed(self, function: Callable[..., Any] | str) -> When:
        """When what the state has invoked has failed: `event.error` and `event.reason`."""
        return self._way(OnWork(self._invoked(function), failed=True))

    def when_error(self, *types: type[Exception]) -> When:
        """When a body raises one of these; without `types`, any exception."""
        return self._way(OnError(types))

    def go_to(self, state: State, *, say: str = "") -> State:
        """Go on to `state` as soon as the body has run."""
        return self._way(None).go_to(state, say=say)

    def end(self, *, say: str = "") -> State:
        """End the flow as soon as the body has run."""
        return self._way(None).end(say=say)

    def _way(self, trigger: Trigger | None, *guards: Guard) -> When:
        self.flow.check_open()
        return When(self, trigger, *guards)

    def _invoked(self, function: Callable[..., Any] | str) -> str:
        name = function if isinstance(function, str) else ""
        for known, (invoked, _) in self.invocations.items():
            if known == name or invoked is function:
                return known
        raise ValueError(
            f"{self.name!r} invokes no {name or name_of(function)}; say {self.name}.invoke(…) first"
        )


def comparison(name: str, sign: str, value: object) -> Comparison:
    """A comparison of a variable. Raises `ValueError` for an unknown sign."""
    if sign not in OPERATORS:
        raise ValueError(f"{sign!r} compares nothing; use one of {' '.join(OPERATORS)}")
    return Comparison(name, sign, value)


def standard_event(event: type[FlowEvent]) -> OnEvent:
    """The trigger for a standard event. Raises `ValueError` for those with a word of their own."""
    found = STANDARD.get(event)
    if found is None:
        raise ValueError(
            f"for {event.__name__} there is a word of its own: after, when_done, when_failed or "
            "when_error"
        )
    kind, name = found
    return OnEvent(kind, name)
