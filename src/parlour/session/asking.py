"""From what a handler writes to a question, and from its answer back to what the handler wants."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw

from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    Question,
    QuestionBase,
    TextQuestion,
    check_question,
)
from parlour.session.values import decode_value, encode_value

Options = Iterable[str] | Mapping[str, str] | Sequence[Option]


class Prompt(NamedTuple):
    """A question and how to read its answer's JSON."""

    question: Question
    read: Callable[[Raw], Any]


def prompt_for(
    kind: Any,
    *,
    default: object = None,
    minimum: Any = None,
    maximum: Any = None,
    multiline: bool = False,
) -> Prompt:
    """The question that asks for a value of `kind`.

    `kind` is str, int, float, bool, datetime.date, a dataclass, msgspec struct or pydantic model
    (a form), or a question of `parlour.questions`. Raises `TypeError` for anything else, and
    `ValueError` for a question that nobody could answer.
    """
    if isinstance(kind, QuestionBase):
        question = cast("Question", kind)
        check_question(question)
        return Prompt(question, msgspec.json.decode)
    fallback = UNSET if default is None else encode_value(default)[0]
    if kind is str:
        least = 1 if minimum is None else int(minimum)
        return Prompt(
            TextQuestion(
                default=fallback, min_length=least, max_length=maximum, multiline=multiline
            ),
            msgspec.json.decode,
        )
    if kind is int or kind is float:
        question = NumberQuestion(
            default=fallback, integer=kind is int, minimum=minimum, maximum=maximum
        )
        return Prompt(question, _reader(kind))
    if kind is bool:
        return Prompt(ConfirmQuestion(default=fallback), msgspec.json.decode)
    if kind is dt.date:
        return Prompt(
            DateQuestion(default=fallback, minimum=minimum, maximum=maximum),
            _reader(dt.date),
        )
    return Prompt(FormQuestion(default=fallback, schema=schema_of(kind)), _reader(kind))


def _reader(kind: type[Any]) -> Callable[[Raw], Any]:
    def read(raw: Raw) -> Any:
        return decode_value(raw, "", kind)

    return read


def form_for(schema: Mapping[str, Any]) -> Prompt:
    """The question that asks for an object that fits a JSON schema. Raises `ValueError`."""
    question = FormQuestion(schema=Raw(msgspec.json.encode(schema)))
    check_question(question)
    return Prompt(question, msgspec.json.decode)


def choice_for(
    options: Options, *, many: bool, default: object, minimum: int, maximum: int | None
) -> Prompt:
    """The question that offers `options`. Raises `ValueError` for too few, or two alike."""
    offered = tuple(_options(options))
    fallback = UNSET if default is None else encode_value(default)[0]
    question = ChoiceQuestion(
        default=fallback, options=offered, many=many, minimum=minimum, maximum=maximum
    )
    check_question(question)
    return Prompt(question, msgspec.json.decode)


def schema_of(kind: Any) -> Raw:
    """The JSON schema of a model. Raises `TypeError` for what has none."""
    of_model = getattr(kind, "model_json_schema", None)
    if of_model is not None:
        schema: dict[str, Any] = of_model()
    elif isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)
    ):
        schema = msgspec.json.schema(kind)
    else:
        raise TypeError(
            f"cannot ask for {kind!r}: use str, int, float, bool, datetime.date, a dataclass, "
            "a msgspec.Struct, a pydantic model or a question of parlour.questions"
        )
    definitions: dict[str, Any] = schema.get("$defs", {})
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    if reference in definitions:
        schema = {**definitions[reference], "$defs": definitions}
    return Raw(msgspec.json.encode(schema))


def _options(options: Options) -> Iterable[Option]:
    if isinstance(options, Mapping):
        labels = cast("Mapping[str, str]", options)
        for value, label in labels.items():
            yield Option(value=value, label=label)
        return
    for option in options:
        yield option if isinstance(option, Option) else Option(value=option, label=option)
