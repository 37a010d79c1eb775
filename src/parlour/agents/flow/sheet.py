"""A flow as YAML, for people who draw rather than code; and back. Nothing in it is evaluated.

Functions are named, and found among those that the caller gives. Every mistake is told with its
line, those of the sheet and those of the flow in one error.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from parlour.agents.flow.calls import name_of
from parlour.agents.flow.entities import Choices, Pattern, Text
from parlour.agents.flow.extras import extra
from parlour.agents.flow.state import State, Transition, When
from parlour.agents.flow.triggers import (
    Comparison,
    OnError,
    OnEvent,
    OnFile,
    OnIntent,
    OnNoIntent,
    OnTimeout,
    OnWork,
)
from parlour.errors import FlowInvalid

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow

_MOST = 1024 * 1024
_HOOKS = ("body", "fallback", "enter", "leave", "reminder")
_WAITS = (
    "intent", "no_intent", "event", "message", "file", "after", "done", "failed", "error",
)  # fmt: skip
_LEADS = ("go_to", "stay", "call", "end")
_ROW = {*_WAITS, *_LEADS, "if", "unless", "variable", "do", "say", "silence", "back", "remind",
        "at_least"}  # fmt: skip
_STATE = {*_HOOKS, "initial", "final", "say", "states", "transitions", "defer", "invoke",
          "ask_back"}  # fmt: skip
_FLOW = {"flow", "fallback", "at_end", "entities", "intents", "states", "any", "flows",
         "renamed"}  # fmt: skip

Functions = Mapping[str, Callable[..., Any]]


class _Bad(Exception):
    """A mistake at a line of the sheet."""


# -- reading --------------------------------------------------------------------------------


def read_sheet(kind: type[Flow], source: str | Path, functions: Functions) -> Flow:
    """The flow of a sheet, checked. Raises `FlowInvalid`."""
    name = source.name if isinstance(source, Path) else "flow.yaml"
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    reader = _Reader(kind, name, functions)
    if len(text) > _MOST:
        raise FlowInvalid(name, [f"{name}: a sheet may have {_MOST:,} characters"])
    yaml = extra("yaml")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise FlowInvalid(name, [f"{name}: this is no YAML: {error}"]) from None
    try:
        flow = reader.flow(_Node(name, root), main=True)
    except _Bad as bad:
        raise FlowInvalid(name, [*reader.problems, str(bad)]) from None
    if reader.problems:
        raise FlowInvalid(flow.name, reader.problems)
    flow.check()
    return flow


class _Node:
    """A part of the sheet with its line."""

    def __init__(self, file: str, node: Any) -> None:
        self._file = file
        self._node = node

    @property
    def line(self) -> str:
        return f"{self._file}:{0 if self._node is None else self._node.start_mark.line + 1}"

    def bad(self, text: str) -> _Bad:
        return _Bad(f"{self.line}: {text}")

    @property
    def value(self) -> Any:
        """Plain data: texts, numbers, lists, mappings."""
        match self._kind:
            case "mapping":
                return {key: node.value for key, node in self.items()}
            case "sequence":
                return [node.value for node in self.each()]
            case _:
                loader = extra("yaml").SafeLoader("")
                return loader.construct_object(self._node)

    @property
    def _kind(self) -> str:
        return "" if self._node is None else str(self._node.id)

    def items(self, known: set[str] | None = None) -> Iterator[tuple[str, _Node]]:
        if self._kind != "mapping":
            raise self.bad("here stands a mapping of names")
        for key, node in self._node.value:
            name = str(key.value)
            if known is not None and name not in known:
                raise _Node(self._file, key).bad(
                    f"{name!r} means nothing here; there are {', '.join(sorted(known))}"
                )
            yield name, _Node(self._file, node)

    def each(self) -> Iterator[_Node]:
        if self._kind != "sequence":
            raise self.bad("here stands a list")
        for node in self._node.value:
            yield _Node(self._file, node)

    @property
    def text(self) -> str:
        value = self.value
        if not isinstance(value, str):
            raise self.bad(f"here stands text, not {value!r}; put it in quotes")
        return value

    @property
    def number(self) -> float:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.bad(f"here stands a number, not {value!r}")
        return float(value)


class _Reader:
    """Makes the flow; what does not fit is gathered, as far as one can go on."""

    def __init__(self, kind: type[Flow], file: str, functions: Functions) -> None:
        self._kind = kind
        self._functions = functions
        self._file = file
        self._called: dict[str, Flow] = {}
        self.problems: list[str] = []

    def flow(self, node: _Node, *, main: bool, name: str = "") -> Flow:
        parts = dict(node.items(_FLOW))
        options: dict[str, Any] = {
            key: parts[key].text for key in ("fallback", "at_end") if key in parts
        }
        name = parts["flow"].text if "flow" in parts else name or Path(self._file).stem
        flow = self._kind(name, **options)
        flow.line = node.line
        if main:
            for called, part in parts["flows"].items() if "flows" in parts else ():
                self._called[called] = self.flow(part, main=False, name=called)
        for key, part in parts["entities"].items() if "entities" in parts else ():
            self._entity(flow, key, part)
        for key, part in parts["intents"].items() if "intents" in parts else ():
            self._intent(flow, key, part)
        later: list[tuple[State, _Node]] = []
        for key, part in parts["states"].items() if "states" in parts else ():
            self._state(flow, flow.any, key, part, later)
        if "any" in parts:
            later.append((flow.any, parts["any"]))
        for state, part in later:
            self._fill(flow, state, part)
        for old, part in parts["renamed"].items() if "renamed" in parts else ():
            flow.renamed(old, part.text)
        return flow

    def _entity(self, flow: Flow, name: str, node: _Node) -> None:
        value = node.value
        if isinstance(value, dict) and "regex" in value:
            flow.regex(name, str(cast("Any", value)["regex"]))
        elif isinstance(value, list):
            flow.entity(name, [str(entry) for entry in cast("list[object]", value)])
        else:
            entries = {key: [part.text for part in entry.each()] for key, entry in node.items()}
            flow.entity(name, entries)

    def _intent(self, flow: Flow, name: str, node: _Node) -> None:
        parts = dict(node.items({"examples", "ask", "description"}))
        examples = [part.text for part in parts["examples"].each()] if "examples" in parts else []
        ask = {key: part.text for key, part in parts["ask"].items()} if "ask" in parts else {}
        description = parts["description"].text if "description" in parts else ""
        intent = flow.intent(name, examples, ask=ask, description=description)
        intent.line = node.line

    def _state(
        self, flow: Flow, parent: State, name: str, node: _Node, later: list[tuple[State, _Node]]
    ) -> None:
        parts = {} if node.value is None else dict(node.items(_STATE))
        flags = {key: bool(parts[key].value) for key in ("initial", "final") if key in parts}
        state = flow.add_state(
            name, parent, initial=flags.get("initial", False), final=flags.get("final", False)
        )
        state.line = node.line
        if parts:
            later.append((state, node))
        for child, part in parts["states"].items() if "states" in parts else ():
            self._state(flow, state, child, part, later)

    def _fill(self, flow: Flow, state: State, node: _Node) -> None:
        for key, part in node.items(_STATE):
            try:
                match key:
                    case "say":
                        state.say(part.text)
                    case "invoke":
                        for name, variables in part.items():
                            names = [item.text for item in variables.each()]
                            state.invoke(self._function(name, part), *names, name=name)
                    case "defer":
                        for event, seconds in part.items():
                            limit = None if seconds.value is None else seconds.number
                            state.defer(event, for_=limit)
                    case "ask_back":
                        state.ask_back(below=part.number)
                    case _ if key in _HOOKS:
                        getattr(state, key)(self._function(part.text, part))
                    case _:
                        pass
            except (_Bad, ValueError, TypeError) as error:
                self._note(part, error)
        parts = dict(node.items())
        for row in parts["transitions"].each() if "transitions" in parts else ():
            try:
                self._row(flow, state, row)
            except (_Bad, ValueError, TypeError) as error:
                self._note(row, error)

    def _note(self, node: _Node, error: Exception) -> None:
        text = str(error)
        self.problems.append(text if isinstance(error, _Bad) else f"{node.line}: {text}")

    def _row(self, flow: Flow, state: State, node: _Node) -> None:
        parts = dict(node.items(_ROW))
        waits = [key for key in _WAITS if key in parts]
        leads = [key for key in _LEADS if key in parts]
        if len(waits) > 1 or len(leads) != 1:
            raise node.bad(
                "a transition waits for one thing at most, and leads to one: go_to, stay, call or "
                "end"
            )
        when = self._when(flow, state, waits[0] if waits else "", parts)
        transition = state.begun[-1]
        transition.line = node.line
        for key, guard in (("if", when.if_), ("unless", when.unless), ("do", when.do)):
            if key in parts:
                guard(self._function(parts[key].text, parts[key]))
        if "variable" in parts:
            name, sign, value = (part.value for part in parts["variable"].each())
            when.if_variable(str(name), str(sign), value)
        say = parts["say"].text if "say" in parts else ""
        part = parts[leads[0]]
        match leads[0]:
            case "go_to":
                found = [s for s in flow.own_states() if s.name == part.text]
                if not found:
                    raise part.bad(f"there is no state {part.text!r}")
                when.go_to(found[0], say=say)
            case "call":
                called = self._called.get(part.text)
                if called is None:
                    raise part.bad(f"there is no flow {part.text!r} under `flows`")
                back: Any = parts["back"].text if "back" in parts else "silent"
                remind = parts["remind"].text if "remind" in parts else ""
                when.call(called, back=back, remind=remind, say=say)
            case "end":
                when.end(say=say)
            case _:
                when.stay(say=say)

    def _when(self, flow: Flow, state: State, key: str, parts: Mapping[str, _Node]) -> When:
        part = parts.get(key)
        match key:
            case "intent" if part is not None:
                intent = flow.intents.get(part.text)
                if intent is None:
                    raise part.bad(f"there is no intent {part.text!r}")
                least = parts["at_least"].number if "at_least" in parts else 0.0
                return state.when_intent(intent, at_least=least)
            case "no_intent":
                return state.when_no_intent()
            case "message":
                return state.when_message()
            case "event" if part is not None:
                return state.when_event(part.text)
            case "file" if part is not None:
                return state.when_file(*(item.text for item in part.each()))
            case "after" if part is not None:
                silence = "silence" in parts and bool(parts["silence"].value)
                return state.after(seconds=part.number, silence=silence)
            case "done" if part is not None:
                return state.when_done(part.text)
            case "failed" if part is not None:
                return state.when_failed(part.text)
            case "error" if part is not None:
                value = part.value
                names = cast("list[object]", value) if isinstance(value, list) else []
                return state.when_error(*(_exception(str(name), part) for name in names))
            case _:
                return When(state, None)

    def _function(self, name: str, node: _Node) -> Callable[..., Any]:
        found = self._functions.get(name)
        if found is None:
            raise node.bad(f"there is no function {name!r}; give it: from_yaml(text, {{…}})")
        return found


def _exception(name: str, node: _Node) -> type[Exception]:
    found = getattr(builtins, name, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise node.bad(f"{name!r} is no exception of Python")
    return found


# -- writing --------------------------------------------------------------------------------


def write_sheet(flow: Flow) -> str:
    """The sheet of a flow. What has no name in YAML, as a lambda, raises `ValueError`."""
    flows = flow.flows()
    sheet = _flow_sheet(flow)
    called = {name: _flow_sheet(other) for name, other in flows.items() if other is not flow}
    if called:
        sheet["flows"] = called
    text: str = extra("yaml").safe_dump(sheet, sort_keys=False, allow_unicode=True, width=100)
    return text


def _flow_sheet(flow: Flow) -> dict[str, Any]:
    sheet: dict[str, Any] = {
        "flow": flow.name,
        "fallback": flow.fallback_text,
        "at_end": flow.at_end,
    }
    entities: dict[str, Any] = {}
    for entity in flow.entities.values():
        if isinstance(entity, Choices):
            entities[entity.name] = {key: list(words) for key, words in entity.entries.items()}
        elif isinstance(entity, Pattern) and entity.name != "email":
            entities[entity.name] = {"regex": entity.pattern}
        elif isinstance(entity, Text):
            continue
    intents: dict[str, Any] = {}
    for intent in flow.intents.values():
        entry: dict[str, Any] = {"examples": list(intent.examples)}
        ask = {slot.name: slot.ask for slot in intent.slots.values() if slot.required}
        intents[intent.name] = entry | ({"ask": ask} if ask else {})
        if intent.description:
            intents[intent.name]["description"] = intent.description
    states = {state.name: _state_sheet(state) for state in flow.any.children}
    around = _state_sheet(flow.any, inside=False)
    sheet |= {"entities": entities, "intents": intents, "states": states, "any": around}
    sheet["renamed"] = dict(flow.renames)
    return {key: value for key, value in sheet.items() if value not in ({}, None)}


def _state_sheet(state: State, *, inside: bool = True) -> dict[str, Any]:
    sheet: dict[str, Any] = {}
    if state.initial:
        sheet["initial"] = True
    if state.final:
        sheet["final"] = True
    if state.text:
        sheet["say"] = state.text
    for hook, call in state.calls.items():
        sheet[hook] = _named(call.function, call.line)
    if state.invocations:
        sheet["invoke"] = {name: list(names) for name, (_, names) in state.invocations.items()}
    if state.deferrals:
        sheet["defer"] = {item.trigger.name: item.seconds for item in state.deferrals}
    if state.band is not None:
        sheet["ask_back"] = state.band[0]
    if state.transitions:
        sheet["transitions"] = [_row_sheet(row) for row in state.transitions]
    if state.children and inside:
        sheet["states"] = {child.name: _state_sheet(child) for child in state.children}
    return sheet


def _row_sheet(row: Transition) -> dict[str, Any]:
    sheet: dict[str, Any] = _trigger_sheet(row)
    for guard in row.guards:
        if isinstance(guard, Comparison):
            sheet["variable"] = [guard.variable, guard.sign, guard.value]
        else:
            key = "if" if guard.wanted else "unless"
            sheet[key] = _named(guard.call.function, row.line)
    for action in row.actions:
        sheet["do"] = _named(action.function, row.line)
    if row.say:
        sheet["say"] = row.say
    match row.way:
        case "go" if row.target is not None:
            sheet["go_to"] = row.target.name
        case "call" if row.flow is not None:
            sheet |= {"call": row.flow.name, "back": row.back}
            if row.remind:
                sheet["remind"] = row.remind
        case "end":
            sheet["end"] = True
        case _:
            sheet["stay"] = True
    return sheet


def _trigger_sheet(row: Transition) -> dict[str, Any]:
    match row.trigger:
        case OnIntent() as trigger:
            least = {"at_least": trigger.at_least} if trigger.at_least else {}
            return {"intent": trigger.intent.name} | least
        case OnNoIntent():
            return {"no_intent": True}
        case OnEvent(kind="message"):
            return {"message": True}
        case OnEvent() as trigger if trigger.kind == "signal":
            return {"event": trigger.name}
        case OnFile() as trigger:
            return {"file": list(trigger.types)}
        case OnTimeout() as trigger:
            silence = {"silence": True} if trigger.silence else {}
            return {"after": trigger.seconds} | silence
        case OnWork() as trigger:
            return {"failed" if trigger.failed else "done": trigger.name}
        case OnError() as trigger:
            return {"error": [kind.__name__ for kind in trigger.types] or True}
        case None:
            return {}
        case _:
            raise ValueError(f"{row.line}: {row.title!r} has no words in YAML")


def _named(function: object, line: str) -> str:
    name = name_of(function)
    if not name.isidentifier():
        raise ValueError(f"{line}: a {name} has no name; write it as a function to export it")
    return name
