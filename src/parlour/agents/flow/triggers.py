"""What a transition waits for: plain data, from which the table, the drawing and YAML are made."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from parlour.agents.flow.calls import Call
from parlour.agents.flow.happening import Happening, Kind
from parlour.agents.flow.intents import Intent, Prediction

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, choices: value in choices,
    "contains": lambda value, part: part in value,
}
"""The comparisons of a variable, by how they are written."""


class OnIntent(Struct, frozen=True):
    """A message that the classifier takes for this intent, at least so surely."""

    intent: Intent
    at_least: float = 0.0


class OnNoIntent(Struct, frozen=True):
    """A message that is none of the intents within reach."""


class OnEvent(Struct, frozen=True):
    """A signal of this name, or a standard event; `type` is the application's own class."""

    kind: Kind
    name: str = ""
    type: Any = None


class OnFile(Struct, frozen=True):
    """A message with a file of one of these media types or endings; () takes any."""

    types: tuple[str, ...] = ()


class OnTimeout(Struct, frozen=True):
    """So many seconds have passed since the state was entered, or since the user's last message."""

    seconds: float
    silence: bool = False


class OnWork(Struct, frozen=True):
    """What the state has invoked under this name has a result, or has failed."""

    name: str
    failed: bool = False


class OnError(Struct, frozen=True):
    """A body raised one of these; () takes any exception."""

    types: tuple[type[Exception], ...] = ()


Trigger = OnIntent | OnNoIntent | OnEvent | OnFile | OnTimeout | OnWork | OnError


class Comparison(Struct, frozen=True):
    """A variable compared with a value; a variable that is not set, or does not compare, is no."""

    variable: str
    sign: str
    value: Any

    @property
    def title(self) -> str:
        return f"{self.variable} {self.sign} {self.value!r}"

    def holds(self, value: object) -> bool:
        try:
            return bool(OPERATORS[self.sign](value, self.value))
        except TypeError:
            return False


class Condition(Struct, frozen=True):
    """A function of the author's, or its negation."""

    call: Call
    wanted: bool = True

    @property
    def title(self) -> str:
        name = "condition" if self.call.name == "<lambda>" else self.call.name
        return name if self.wanted else f"not {name}"


Guard = Comparison | Condition


def title_of(trigger: Trigger | None) -> str:
    """How a trigger is called where people read it."""
    match trigger:
        case None:
            return ""
        case OnIntent():
            return trigger.intent.name
        case OnNoIntent():
            return "no intent"
        case OnEvent():
            return trigger.name or {"message": "any message"}.get(trigger.kind, trigger.kind)
        case OnFile():
            return f"file {', '.join(trigger.types)}".strip()
        case OnTimeout():
            silence = " of silence" if trigger.silence else ""
            return f"after {duration(trigger.seconds)}{silence}"
        case OnWork():
            return f"{trigger.name} {'failed' if trigger.failed else 'done'}"
        case OnError():  # pragma: no branch - there is no other trigger
            return f"error {', '.join(kind.__name__ for kind in trigger.types)}".strip()


def duration(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{seconds:g} s"


def fires(trigger: Trigger, id_: str, happening: Happening, prediction: Prediction | None) -> bool:
    """Whether a trigger waits for this; `id_` is its transition's, which timers are named by."""
    match trigger:
        case OnIntent():
            return (
                happening.kind == "message"
                and prediction is not None
                and prediction.name == trigger.intent.name
                and prediction.confidence >= trigger.at_least
            )
        case OnNoIntent():
            return (
                happening.kind == "message"
                and bool(happening.text.strip())
                and (prediction is None or not prediction.name)
            )
        case OnEvent():
            return happening.kind == trigger.kind and trigger.name in ("", happening.name)
        case OnFile():
            return happening.kind == "message" and any(
                not trigger.types
                or any(_is_of(file.name, file.type, rule) for rule in trigger.types)
                for file in happening.files
            )
        case OnTimeout():
            return happening.kind == "timeout" and happening.name == id_
        case OnWork():
            return (
                happening.kind == "work"
                and happening.name == f"{id_.rpartition('.')[0]}.{trigger.name}"
                and bool(happening.error) is trigger.failed
            )
        case OnError():  # pragma: no branch - there is no other trigger
            return happening.kind == "error" and (
                not trigger.types
                or any(kind.__qualname__ in happening.text.split() for kind in trigger.types)
            )


def _is_of(name: str, media_type: str, rule: str) -> bool:
    if rule.startswith("."):
        return name.lower().endswith(rule.lower())
    return fnmatchcase(media_type.lower().partition(";")[0].strip(), rule.lower())
