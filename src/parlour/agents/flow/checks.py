"""What is wrong with a flow, found before it runs: pure functions of what was declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from parlour.agents.flow.intents import Intent
from parlour.agents.flow.state import State, Transition
from parlour.agents.flow.triggers import OnError, OnIntent, OnTimeout, title_of

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow


class Notes:
    """What was noticed while a flow was declared, each with its line."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []

    def problem(self, line: str, text: str) -> None:
        self.problems.append(f"{line}: {text}")

    def remark(self, line: str, text: str) -> None:
        self.remarks.append(f"{line}: {text}")


def problems_of(main: Flow, flows: Mapping[str, Flow]) -> list[str]:
    """All mistakes in a flow and those it calls."""
    found: list[str] = []
    for flow in flows.values():
        found += flow.notes.problems
        found += _structure(flow)
        found += _ways(flow)
        found += _reach(flow)
        found += _intents(flow)
        if flow is not main and not any(_ends(flow)):
            found.append(
                f"{flow.line}: {flow.name!r} is called but never ends; make one of its states "
                "final, or let a transition `end()`"
            )
    if main.start is not None:
        found += _loops(flows.values())
    return list(dict.fromkeys(found))


def remarks_of(main: Flow, flows: Mapping[str, Flow]) -> list[str]:
    """What may not be meant."""
    del main
    found: list[str] = []
    for flow in flows.values():
        found += flow.notes.remarks
        used = {row.trigger.intent.name for row in _rows(flow) if isinstance(row.trigger, OnIntent)}
        found += [
            f"{intent.line}: nothing waits for the intent {intent.name!r}"
            for intent in flow.intents.values()
            if intent.name not in used
        ]
        for old, new in flow.renames.items():
            if any(state.name == old for state in flow.own_states()):
                found.append(f"{flow.line}: {old!r} was renamed to {new!r}, but is still there")
    return found


def _rows(flow: Flow) -> Iterator[Transition]:
    for state in flow.own_states():
        yield from state.transitions


def _ends(flow: Flow) -> Iterator[object]:
    yield from (state for state in flow.own_states() if is_final(state))
    yield from (row for row in _rows(flow) if row.way == "end")


def is_final(state: State) -> bool:
    """Whether the flow ends here: it is declared so, or nothing at all is declared."""
    return state.final or _is_empty(state)


def _is_empty(state: State) -> bool:
    return not (
        state.children
        or state.transitions
        or state.calls
        or state.text
        or state.deferrals
        or state.invocations
        or state.parent is None
        or any(outer.transitions for outer in state.parent.chain if outer.parent is not None)
    )


# -- the states -----------------------------------------------------------------------------


def _structure(flow: Flow) -> Iterator[str]:
    for state in flow.own_states():
        if state.parent is None and not state.children:
            yield f"{flow.line}: {flow.name!r} has no states; say flow.state(…, initial=True)"
        elif state.children:
            initial = [child for child in state.children if child.initial]
            what = f"{flow.name!r}" if state.parent is None else f"the state {state.name!r}"
            names = ", ".join(child.name for child in state.children)
            if not initial:
                yield f"{state.line}: {what} does not say in which of its states it begins: {names}"
            elif len(initial) > 1:
                both = " and ".join(child.name for child in initial)
                yield f"{initial[1].line}: {what} begins in {both}; one of them is initial"
        if state.final and state.children:
            yield f"{state.line}: {state.name!r} is final and has states inside"
        if state.final and state.transitions:
            row = state.transitions[0]
            yield f"{row.line}: {state.name!r} is final, so this can never be tried"
    for old, new in flow.renames.items():
        if not any(state.name == new for state in flow.own_states()):
            yield f"{flow.line}: {old!r} is renamed to {new!r}, which is no state"


def _ways(flow: Flow) -> Iterator[str]:
    for state in flow.own_states():
        for row in state.begun:
            yield (
                f"{row.line}: the transition of {state.name!r} on "
                f"{title_of(row.trigger) or 'this'} leads nowhere; say .go_to(…), .stay(), "
                ".call(…) or .end()"
            )
        for row in state.transitions:
            if row.automatic and row.way in ("stay", "call"):
                yield (
                    f"{row.line}: a condition of {state.name!r} that stays would hold again at "
                    "once; go to a state, or wait for an event and add .if_(condition)"
                )
            if row.target is not None and row.target.flow is not flow:
                yield (
                    f"{row.line}: {row.target.name!r} is a state of {row.target.flow.name!r}; "
                    f"say .call({row.target.flow.name})"
                )
            intent = row.trigger.intent if isinstance(row.trigger, OnIntent) else None
            if intent is not None and flow.intents.get(intent.name) is not intent:
                yield f"{row.line}: the intent {intent.name!r} is not one of {flow.name!r}"
        yield from _never_tried(state)


def _never_tried(state: State) -> Iterator[str]:
    """Transitions behind one that always comes first."""
    seen: dict[object, Transition] = {}
    for row in state.transitions:
        if row.automatic:
            key: object = "automatic"
        elif isinstance(row.trigger, OnTimeout):
            continue  # the earlier one is the sooner one
        else:
            key = (type(row.trigger), title_of(row.trigger))
        earlier = seen.get(key)
        always = seen.get("automatic")
        if earlier is not None:
            yield (
                f"{row.line}: this can never be tried: the transition of {earlier.line} comes first"
            )
        elif always is not None and not isinstance(row.trigger, OnError):
            yield (
                f"{row.line}: this can never be tried: {state.name!r} goes on by itself "
                f"({always.line}) as soon as its body has run"
            )
        if not row.guards:
            seen.setdefault(key, row)


# -- ways through it ------------------------------------------------------------------------


def entered_with(state: State) -> Iterator[State]:
    """The states that are entered when this one is: those in which it begins, downwards."""
    yield state
    for child in state.children:
        if child.initial:
            yield from entered_with(child)
            return


def _reach(flow: Flow) -> Iterator[str]:
    start = flow.start
    if start is None:
        return
    reached: set[str] = {flow.any.name}
    waiting = list(entered_with(start))
    if flow.lost is not None:
        waiting += entered_with(flow.lost)
    while waiting:
        for state in waiting.pop().chain:
            if state.name in reached and state is not flow.any:
                continue
            reached.add(state.name)
            for row in state.transitions:
                for target in () if row.target is None else entered_with(row.target):
                    if target.name not in reached:
                        waiting.append(target)
    renamed = set(flow.renames.values())
    for state in flow.own_states():
        if state.name not in reached:
            if state.name not in renamed:
                yield f"{state.line}: no way leads to the state {state.name!r}"
        elif not state.children and not is_final(state) and not _goes_on(state):
            yield (
                f"{state.line}: {state.name!r} is a dead end: no transition leads away, no "
                "fallback answers; declare one, or say final=True"
            )


def _goes_on(state: State) -> bool:
    for outer in state.chain:
        own = outer.parent is not None
        if own and "fallback" in outer.calls:
            return True
        for row in outer.transitions:
            if own or (row.target is not None and row.target is not state):
                return True
    return False


def _loops(flows: Iterable[Flow]) -> Iterator[str]:
    """States that go on to each other by themselves, for ever."""
    for flow in flows:
        for first in flow.own_states():
            seen: list[State] = []
            state: State | None = first
            while state is not None and state not in seen:
                seen.append(state)
                state = _by_itself(state)
            if state is first:
                names = " → ".join([s.name for s in seen] + [first.name])
                yield f"{first.line}: {names} go on to each other for ever"


def _by_itself(state: State) -> State | None:
    for row in state.transitions:
        if row.automatic and not row.guards and row.target is not None:
            return list(entered_with(row.target))[-1]
    return None


# -- the intents ----------------------------------------------------------------------------


def _intents(flow: Flow) -> Iterator[str]:
    owners: dict[str, Intent] = {}
    for intent in flow.intents.values():
        if not intent.examples:
            yield f"{intent.line}: the intent {intent.name!r} has no examples"
        for sentence in intent.sentences():
            plain = " ".join(sentence.lower().split())
            owner = owners.setdefault(plain, intent)
            if owner is not intent:
                yield (
                    f"{intent.line}: {sentence!r} is an example of {intent.name!r} and of "
                    f"{owner.name!r} ({owner.line})"
                )
