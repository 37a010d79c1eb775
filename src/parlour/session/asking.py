"""From what a handler writes to a question, and from its answer back to what the handler wants."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

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
    check_question,
)
from parlour.session.arguments import plain_text, short_text, whole_number
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
    bounded = minimum is not None or maximum is not None
    if isinstance(kind, QuestionBase):
        if bounded or multiline:
            raise TypeError("a question of your own has its bounds in itself; set them there")
        prompt = Prompt(cast("Question", kind), msgspec.json.decode)
    else:
        fallback = UNSET if default is None else encode_value(default)[0]
        prompt = _asking(kind, fallback, minimum, maximum)
        if bounded and isinstance(prompt.question, ConfirmQuestion | FormQuestion):
            raise TypeError("only texts, numbers and dates have a minimum and a maximum")
        if multiline:
            if not isinstance(prompt.question, TextQuestion):
                raise TypeError("multiline is for text; leave it out, or ask for a str")
            prompt = Prompt(replace(prompt.question, multiline=multiline), prompt.read)
    check_question(prompt.question)
    return prompt


def _asking(kind: Any, fallback: Raw | UnsetType, minimum: Any, maximum: Any) -> Prompt:
    if kind is str:
        _check_bounds("the length of a text", minimum, maximum, int, "a whole number")
        least = 1 if minimum is None else minimum
        question = TextQuestion(default=fallback, min_length=least, max_length=maximum)
        return Prompt(question, msgspec.json.decode)
    if kind is int or kind is float:
        _check_bounds("a number", minimum, maximum, (int, float), "an int or a float")
        return Prompt(
            NumberQuestion(default=fallback, integer=kind is int, minimum=minimum, maximum=maximum),
            _reader(kind),
        )
    if kind is bool:
        return Prompt(ConfirmQuestion(default=fallback), msgspec.json.decode)
    if kind is dt.date:
        _check_bounds("a date", minimum, maximum, dt.date, "a datetime.date")
        return Prompt(
            DateQuestion(default=fallback, minimum=minimum, maximum=maximum), _reader(dt.date)
        )
    return Prompt(FormQuestion(default=fallback, schema=schema_of(kind)), _reader(kind))


def _check_bounds(
    what: str, minimum: object, maximum: object, types: type | tuple[type, ...], wanted: str
) -> None:
    for bound in (minimum, maximum):
        # True is an int and a datetime is a date, but neither is meant as a bound.
        wrong = isinstance(bound, bool | dt.datetime) or not isinstance(bound, types)
        if bound is not None and wrong:
            raise TypeError(
                f"a bound of {what} is {wanted}, not a {type(bound).__qualname__}; convert it"
            )
        if isinstance(bound, float) and not math.isfinite(bound):
            raise ValueError(f"{bound} is no bound of {what}; give None where there is none")


def _reader(kind: type[Any]) -> Callable[[Raw], Any]:
    def read(raw: Raw) -> Any:
        return decode_value(raw, "", kind)

    return read


def form_for(schema: Mapping[str, Any]) -> Prompt:
    """The question that asks for an object that fits a JSON schema. Raises `ValueError`."""
    question = FormQuestion(schema=encode_value(schema)[0])
    check_question(question)
    return Prompt(question, msgspec.json.decode)


def choice_for(
    options: Options, *, many: bool, default: object, minimum: int, maximum: int | None
) -> Prompt:
    """The question that offers `options`. Raises `ValueError` for too few, or two alike."""
    if many:
        minimum = whole_number("the minimum of a choice", minimum)
        if maximum is not None:
            maximum = whole_number("the maximum of a choice", maximum)
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
            f"cannot ask for {_named(cast('object', kind))}: use str, int, float, bool, "
            "datetime.date, a dataclass, a msgspec.Struct, a pydantic model or a question of "
            "parlour.questions"
        )
    definitions: dict[str, Any] = schema.get("$defs", {})
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    if reference in definitions:
        schema = {**definitions[reference], "$defs": definitions}
    return Raw(msgspec.json.encode(schema))


def _named(kind: object) -> str:
    """What was asked for; a value by its type, because not every value can be written."""
    return kind.__qualname__ if isinstance(kind, type) else f"a {type(kind).__qualname__}"


def files_for(
    accept: Sequence[str], minimum: int, maximum: int, max_bytes: int | None
) -> FileQuestion:
    """The question that asks for files. Raises `TypeError` and `ValueError`."""
    question = FileQuestion(
        accept=tuple(_accepted(accept)),
        minimum=whole_number("the minimum of files", minimum),
        maximum=whole_number("the maximum of files", maximum, 1),
        max_bytes=None if max_bytes is None else whole_number("max_bytes", max_bytes, 1),
    )
    check_question(question)
    return question


def _accepted(accept: object) -> Iterable[str]:
    if isinstance(accept, str | bytes) or not isinstance(accept, Iterable):
        raise TypeError(
            f"accept is a list of media types and endings, not a {type(accept).__qualname__}; "
            'write accept=[".pdf", "image/*"]'
        )
    for rule in cast("Iterable[object]", accept):
        text = short_text("what a file question accepts", rule)
        if not text.strip():
            raise ValueError('an empty rule accepts nothing; write accept=[".pdf", "image/*"]')
        yield text


def _options(options: object) -> Iterable[Option]:
    if isinstance(options, Mapping):
        labels = cast("Mapping[object, object]", options)
        for value, label in labels.items():
            yield Option(
                value=plain_text("an option's value", value),
                label=plain_text("an option's label", label),
            )
        return
    if isinstance(options, str | bytes) or not isinstance(options, Iterable):
        raise TypeError(
            f"the options of a choice are several texts, not a {type(options).__qualname__}; "
            'write ["yes", "no"], or a mapping from value to label'
        )
    for option in cast("Iterable[object]", options):
        if isinstance(option, Option):
            yield option
        else:
            text = plain_text("an option", option)
            yield Option(value=text, label=text)
