"""A question of ours as a call of the client's own `ask_user`, where it offers one. Pure.

Clients write that tool in several ways; what its schema wants is what it gets, or it is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from parlour.events import QuestionAsked
from parlour.questions import ChoiceQuestion, FileQuestion, FormQuestion
from parlour.transports.codecs.asking import in_words, options_of
from parlour.transports.codecs.openai.requests import Tool

_NAMES = frozenset({"ask_user", "ask_user_question"})
_TEXTS = ("answer", "response", "value", "label", "selected", "choice", "option", "text", "content")
_MANY = ("answers", "responses", "results", "questions")
_DEPTH = 6

Schema = dict[str, Any]


class AskTool:
    """An offered tool that asks people. `name` is what the client calls it."""

    def __init__(self, name: str, schema: Schema) -> None:
        self.name = name
        self._schema = schema

    def arguments(self, asked: QuestionAsked) -> str | None:
        """The call's arguments as JSON; None where the tool cannot put such a question."""
        if isinstance(asked.question, FileQuestion | FormQuestion):
            return None
        if isinstance(asked.question, ChoiceQuestion) and asked.question.many:
            return None
        fields = _fields(self._schema)
        several = fields.get("questions")
        if several is None:
            one = _one(asked, self._schema)
            return None if one is None else msgspec.json.encode(one).decode()
        one = _one(asked, _object(several.get("items")))
        return None if one is None else msgspec.json.encode({"questions": [one]}).decode()


def find_tool(tools: Sequence[Tool] | None) -> AskTool | None:
    """The tool that asks people, if the client offers one."""
    for tool in tools or ():
        function = tool.function
        name = tool.name or (function.name if function is not None else "")
        if name in _NAMES:
            schema = function.parameters if function is not None else tool.parameters
            return AskTool(name, schema or {})
    return None


def read_result(text: str) -> str:
    """The answer in what such a tool gives back: JSON of one form or another, or words."""
    try:
        found = _answer(msgspec.json.decode(text), _DEPTH)
    except (msgspec.DecodeError, RecursionError):
        found = None
    return text if found is None else found


def _one(asked: QuestionAsked, schema: Schema) -> Schema | None:
    fields, options = _fields(schema), options_of(asked.question)
    wants: Schema = fields.get("options", {})
    most, least = wants.get("maxItems"), wants.get("minItems", 0)
    fits = not isinstance(most, int) or len(options) <= most
    with_options = "options" in fields and bool(options) and fits
    if not with_options and "options" in _required(schema) and least:
        return None
    words = asked.text if with_options else in_words(asked)
    if asked.note and with_options:
        words = f"{asked.note}\n\n{words}"
    one: Schema = {"question": words}
    if with_options:
        item = _object(wants.get("items"))
        objects = item.get("type") == "object" or "properties" in item
        labels = [option.label for option in options]
        shown = [{"label": o.label, "description": o.description} for o in options]
        one["options"] = shown if objects else labels
    elif "options" in _required(schema):
        one["options"] = []
    for name in _required(schema) - one.keys():
        kind = fields.get(name, {}).get("type")
        one[name] = False if kind == "boolean" else asked.text[:12] if kind == "string" else None
    return one


def _object(given: object) -> Schema:
    return cast("Schema", given) if isinstance(given, dict) else {}


def _fields(schema: Schema) -> dict[str, Schema]:
    return {name: _object(field) for name, field in _object(schema.get("properties")).items()}


def _required(schema: Schema) -> set[str]:
    found = schema.get("required")
    names = cast("list[object]", found) if isinstance(found, list) else []
    return {name for name in names if isinstance(name, str)}


def _answer(given: object, depth: int) -> str | None:
    match given:
        case str():
            return given
        case bool() | None:
            return None
        case int() | float():
            return str(given)
        case _ if not depth:
            return None
        case list():
            items = cast("list[object]", given)
            return next(filter(None, (_answer(item, depth - 1) for item in items)), None)
        case _:
            return _in_object(cast("dict[str, object]", given), depth)


def _in_object(given: dict[str, object], depth: int) -> str | None:
    for name in (*_TEXTS, *_MANY):
        if name in given and (found := _answer(given[name], depth - 1)):
            return found
    values = list(given.values())
    return _answer(values[0], depth - 1) if len(values) == 1 else None
