"""A flow as a picture: Mermaid from the table that the engine runs, and that as SVG or PNG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from parlour.agents.flow.checks import is_final
from parlour.agents.flow.extras import extra
from parlour.agents.flow.state import State, Transition

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow

_INDENT = "    "


def mermaid(flow: Flow, active: str = "") -> str:
    """The diagram; `active` is the name of the state that is marked."""
    flows = flow.flows()
    lines = ["stateDiagram-v2", *_inside(flow.any, 1)]
    for called in flows.values():
        if called is not flow:
            lines.append(f'{_INDENT}state "{_text(called.name)}" as {_flow_id(called)} {{')
            lines += _inside(called.any, 2)
            lines.append(f"{_INDENT}}}")
    for row in _across(flows.values()):
        lines.append(_INDENT + row)
    marked = [state for state in flow.all_states() if active and active in (state.id, state.name)]
    if marked:
        lines.append(f"{_INDENT}classDef active fill:#2563eb,color:#fff,font-weight:bold")
        lines.append(f"{_INDENT}class {_id(marked[0])} active")
    return "\n".join(lines) + "\n"


def svg(flow: Flow, active: str = "") -> str:
    """The diagram as SVG. Raises `MissingExtra`."""
    return str(_drawn(flow, active).svg())


def png(flow: Flow, active: str = "") -> bytes:
    """The diagram as PNG. Raises `MissingExtra`."""
    return bytes(_drawn(flow, active).png())


def _drawn(flow: Flow, active: str) -> Any:
    return extra("mermaidx").render(mermaid(flow, active))


def _inside(outer: State, depth: int) -> Iterator[str]:
    """The states within one, and the transitions between them."""
    indent = _INDENT * depth
    for state in outer.children:
        if state.children:
            yield f'{indent}state "{_text(state.name)}" as {_id(state)} {{'
            yield from _inside(state, depth + 1)
            yield f"{indent}}}"
        else:
            yield f'{indent}state "{_text(state.name)}" as {_id(state)}'
        if state.initial:
            yield f"{indent}[*] --> {_id(state)}"
    if outer.parent is None and outer.transitions:
        yield f'{indent}state "any" as {_id(outer)}'
    for state in outer.children:
        if is_final(state):
            yield f"{indent}{_id(state)} --> [*]"
    arrows: dict[str, list[str]] = {}
    for state in _all_within(outer):
        for row in state.transitions:
            if row.flow is None and _meets(row) is outer:
                arrows.setdefault(_arrow(row), []).append(_label(row))
    for arrow, labels in arrows.items():
        # One arrow for all that lead the same way, or they would lie upon each other.
        words = " / ".join(label for label in labels if label)
        yield f"{indent}{arrow}" + (f" : {words}" if words else "")


def _all_within(outer: State) -> Iterator[State]:
    yield outer
    for state in outer.children:
        yield from _all_within(state)


def _meets(row: Transition) -> State:
    """The state in which a transition is drawn: the innermost that has both of its ends inside."""
    if row.target is None or row.target is row.source:
        return row.source.parent or row.source
    around = {id(state) for state in row.target.chain if state is not row.target}
    for state in row.source.chain:
        if id(state) in around and (state is not row.source or state.parent is None):
            return state
    return row.source.flow.any


def _across(flows: Iterable[Flow]) -> Iterator[str]:
    """The transitions that call another flow."""
    for flow in flows:
        for state in flow.own_states():
            for row in state.transitions:
                if row.flow is not None:
                    yield f"{_id(state)} --> {_flow_id(row.flow)} : {_label(row)}"


def _arrow(row: Transition) -> str:
    if row.way == "end":
        return f"{_id(row.source)} --> [*]"
    return f"{_id(row.source)} --> {_id(row.target or row.source)}"


def _label(row: Transition) -> str:
    how = {"stay": " (stays)", "call": " (calls)"}.get(row.way or "", "")
    return f"{_text(row.title)}{how}".strip()


def _id(state: State) -> str:
    return "s_" + re.sub(r"\W", "_", state.id.replace(":", "__"))


def _flow_id(flow: Flow) -> str:
    return "f_" + re.sub(r"\W", "_", flow.name)


def _text(text: str) -> str:
    """Words that mean nothing to Mermaid."""
    for sign in '#;:"{}':
        text = text.replace(sign, " " if sign in '#;"' else {"{": "(", "}": ")"}.get(sign, "∶"))
    return " ".join(text.split())
