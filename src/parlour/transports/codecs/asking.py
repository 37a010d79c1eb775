"""A question put in words, for dialects that have nothing but text. Pure.

What `parlour.questions` reads from words is what is asked for here: numbers of choices, yes or no,
JSON for a form.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from msgspec import Struct, UnsetType

from parlour.events import QuestionAsked
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    Question,
    QuestionBase,
    TextQuestion,
)

_FIELDS = 50


class _Schema(Struct):
    properties: dict[str, dict[str, Any] | bool] = {}


def in_words(asked: QuestionAsked) -> str:
    """The question as Markdown, with all that one must know to answer it."""
    note = f"*{asked.note}*" if asked.note else ""
    parts = [note, asked.text, _how(asked.question), _default(asked.question)]
    return "\n\n".join(part for part in parts if part)


def options_of(question: Question) -> tuple[Option, ...]:
    """What may be chosen, if anything; a choice among several by their labels."""
    match question:
        case ChoiceQuestion():
            return question.options
        case ConfirmQuestion():
            words = (question.yes, question.no)
            return tuple([Option(value=word, label=word) for word in words])
        case _:
            return ()


def _how(question: Question) -> str:  # noqa: PLR0911 - one for each kind
    match question:
        case ChoiceQuestion():
            lines = [
                f"{number}. {_described(option.label, option.description)}"
                for number, option in enumerate(question.options, 1)
            ]
            hint = "(Several: with commas between them.)" if question.many else ""
            return "\n".join(lines) + (f"\n\n{hint}" if hint else "")
        case ConfirmQuestion():
            return f"({question.yes} / {question.no})"
        case NumberQuestion():
            return _range("a whole number" if question.integer else "", question)
        case DateQuestion():
            return _range("a date like 2026-11-21", question)
        case FileQuestion():
            kinds = f": {', '.join(question.accept)}" if question.accept else ""
            return f"(Send {_many(question)}{kinds}.)"
        case FormQuestion():
            return _form(question)
        case TextQuestion():  # pragma: no branch - there is no other kind
            return ""


def _described(label: str, description: str) -> str:
    return f"{label}: {description}" if description else label


def _range(what: str, question: NumberQuestion | DateQuestion) -> str:
    low, high = question.minimum, question.maximum
    bounds = [
        what,
        "" if low is None else f"from {_bound(low)}",
        "" if high is None else f"up to {_bound(high)}",
    ]
    words = " ".join(word for word in bounds if word)
    return f"({words})" if words else ""


def _bound(value: float | dt.date) -> str:
    return value.isoformat() if isinstance(value, dt.date) else f"{value:.15g}"


def _many(question: FileQuestion) -> str:
    if question.maximum == 1:
        return "a file"
    if question.minimum == question.maximum:
        return f"{question.minimum} files"
    return f"{question.minimum} to {question.maximum} files"


def _form(question: FormQuestion) -> str:
    schema = msgspec.json.decode(question.schema, type=_Schema)
    fields = list(schema.properties.items())[:_FIELDS]
    lines = [f"- `{name}`{_field(field)}" for name, field in fields]
    return "\n".join([*lines, "", "(Answer with a JSON object that has these fields.)"]).strip()


def _field(field: dict[str, Any] | bool) -> str:  # noqa: FBT001 - JSON schemas may be
    if isinstance(field, bool):
        return ""
    title, kind = field.get("title"), field.get("type")
    words = [title, f"({kind})" if isinstance(kind, str) else ""]
    text = " ".join(word for word in words if word and isinstance(word, str))
    return f": {text}" if text else ""


def _default(question: QuestionBase) -> str:
    default = question.default
    if isinstance(default, UnsetType) or bytes(default) in {b'""', b"null"}:
        return ""
    given: object = msgspec.json.decode(default)
    shown = given if isinstance(given, str) else bytes(default).decode()
    if isinstance(question, ConfirmQuestion):
        shown = question.yes if given else question.no
    return f"(Else: {shown})"
