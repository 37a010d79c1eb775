"""Turns a question into prompts, and what is typed into an answer.

What fits is decided by `parlour.questions`; it is asked here first, so that a slip is put right
before it reaches the log. Knows screens, and neither sessions nor engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw

from parlour.errors import InvalidAnswer
from parlour.events import QuestionAsked
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    OfferedFile,
    Question,
    TextQuestion,
    read_answer,
)
from parlour.transports.terminal.fields import (
    MISSING,
    Field,
    Schema,
    hint_of,
    label_of,
    read_words,
)
from parlour.transports.terminal.paths import complaint_about_file, media_type, split_paths
from parlour.transports.terminal.screen import Choice, Line, Prompt, Reader

_EXAMPLE_DAY = "2026-11-21"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it is to be sent: words, or a JSON value, or files to upload."""

    text: str = ""
    value: Raw | None = None
    files: tuple[Path, ...] = ()


async def ask(screen: Reader, asked: QuestionAsked, former: Raw | None = None) -> Reply:
    """Prompt until there is an answer that seems to fit. Raises what `Screen.read` raises.

    `former` is the answer to the same form that the app did not like.
    """
    question = asked.question
    if isinstance(question, FormQuestion):
        return await _Form(screen, question, asked.deadline).fill(former)
    if isinstance(question, FileQuestion):
        return Reply(
            files=split_paths(await _words(screen, _file_prompt(question, asked.deadline)))
        )
    line = await screen.read(prompt_for(question, asked.deadline))
    if not isinstance(line, str):
        return Reply(value=_picked(question, line))
    if isinstance(question, ChoiceQuestion | ConfirmQuestion):
        # As a value it is told by its label, not as the number or letter that was typed.
        return Reply(value=read_answer(question, None, line))
    return Reply(text=line)


def prompt_for(question: Question, deadline: float | None = None) -> Prompt:
    """The prompt for a question that one line answers."""
    many = isinstance(question, ChoiceQuestion) and question.many
    default = _default_of(question)
    options = question.options if isinstance(question, ChoiceQuestion) else ()
    wanted = cast("list[object]", default if isinstance(default, list) else [default])
    return Prompt(
        hint=_hint(question, default),
        choices=tuple(Choice(option.label, option.description) for option in options),
        many=many,
        chosen=tuple(at for at, option in enumerate(options) if option.value in wanted),
        check=lambda line: complaint_about(question, line),
        deadline=deadline,
    )


def complaint_about(question: Question, line: Line) -> str:
    """Why a line does not answer a question, or ""."""
    try:
        if isinstance(line, str):
            read_answer(question, None, line)
        else:
            read_answer(question, _picked(question, line), "")
    except InvalidAnswer as error:
        if isinstance(question, ChoiceQuestion) and not question.many:
            # The menu is in view; its labels need not be told again.
            return f"Please give a number from 1 to {len(question.options)}, or a label."
        return str(error)
    return ""


def _default_of(question: Question) -> Any:
    """The default as plain data; None where there is none."""
    return None if question.default is UNSET else msgspec.json.decode(question.default)


async def _words(screen: Reader, prompt: Prompt) -> str:
    """A line of a prompt that offers no choices."""
    line = await screen.read(prompt)
    if not isinstance(line, str):
        raise TypeError("a prompt without choices has nothing to pick from")
    return line


def _picked(question: Question, places: Sequence[int]) -> Raw:
    """The value of an answer that was picked from the menu."""
    if not isinstance(question, ChoiceQuestion):
        raise TypeError("only a choice has a menu")
    values = [question.options[place].value for place in places]
    return Raw(msgspec.json.encode(values if question.many else values[0]))


def _hint(question: Question, default: Any) -> str:
    match question:
        case NumberQuestion():
            parts = ["a whole number" if question.integer else "a number"]
            parts += _bounds(question.minimum, question.maximum)
        case DateQuestion():
            parts = [f"a date like {_EXAMPLE_DAY}"]
            parts += _bounds(question.minimum, question.maximum)
        case ConfirmQuestion():
            parts = [_yes_or_no(question)]
        case ChoiceQuestion() if question.many:
            parts = ["numbers or labels with commas between"]
        case ChoiceQuestion():
            parts = ["a number or its label"]
        case TextQuestion() if question.multiline:
            parts = ["Alt-Enter begins a new line"]
        case _:
            parts = []
    if default is not None and not isinstance(question, ConfirmQuestion):
        shown = _default_label(question, default)
        parts.append(f"Enter: {shown}" if shown else "or just Enter")
    return ", ".join(parts)


def _yes_or_no(question: ConfirmQuestion) -> str:
    if (question.yes, question.no) == ("Yes", "No"):
        return {None: "y/n", True: "Y/n"}.get(_default_of(question), "y/N")
    return f"{question.yes}/{question.no}"


def _default_label(question: Question, default: Any) -> str:
    if isinstance(question, ChoiceQuestion):
        labels = {option.value: option.label for option in question.options}
        picked = cast("list[str]", default if isinstance(default, list) else [default])
        return ", ".join(labels.get(item, str(item)) for item in picked)
    return str(default)


def _bounds(low: object, high: object) -> list[str]:
    if low is None and high is None:
        return []
    shown = [f"{end:g}" if isinstance(end, float) else str(end) for end in (low, high)]
    if high is None:
        return [f"from {shown[0]}"]
    return [f"up to {shown[1]}" if low is None else f"{shown[0]} to {shown[1]}"]


def _file_prompt(question: FileQuestion, deadline: float | None) -> Prompt:
    def check(line: Line) -> str:
        paths = split_paths(str(line))
        for path in paths:
            complaint = complaint_about_file(path)
            if complaint:
                return complaint
        offered = [_offer(path) for path in paths]
        try:
            read_answer(question, None, "", offered)
        except InvalidAnswer as error:
            return str(error)
        return ""

    wanted = "a file's path" if question.maximum == 1 else f"up to {question.maximum} paths"
    parts = [wanted, " ".join(question.accept), "Tab completes"]
    if question.minimum == 0:
        parts.append("Enter: none")
    return Prompt(
        hint=", ".join(part for part in parts if part), paths=True, check=check, deadline=deadline
    )


def _offer(path: Path) -> OfferedFile:
    return OfferedFile(str(path), path.name, media_type(path), path.stat().st_size)


class _Form:
    """One form, asked for field by field, looked over at the end, and changed where wanted."""

    def __init__(self, screen: Reader, question: FormQuestion, deadline: float | None) -> None:
        self._screen = screen
        self._question = question
        self._deadline = deadline
        self._schema = Schema(question.schema)

    async def fill(self, former: Raw | None) -> Reply:
        given = _default_of(self._question) if former is None else msgspec.json.decode(former)
        fields = self._schema.fields(given)
        if not fields:
            return Reply(value=await self._whole())
        values: dict[str, Any] = {}
        if former is not None and self._screen.live:
            values = msgspec.json.decode(former)
        else:
            for field in fields:
                await self._take(field, values, _lines(fields, values))
        while True:
            value = Raw(msgspec.json.encode(values))
            complaint = self._complaint(value)
            if complaint:
                self._screen.problem(complaint)
            elif not self._screen.live:
                return Reply(value=value)
            changed = await self._review(fields, values, sendable=not complaint)
            if changed is None:
                return Reply(value=value)
            others = [field for field in fields if field is not changed]
            kept = replace(changed, default=values.get(changed.name, changed.default))
            await self._take(kept, values, _lines(others, values))

    async def _whole(self) -> Raw:
        """A schema without properties: the object itself, as JSON."""
        line = await _words(
            self._screen,
            Prompt(
                hint="JSON",
                check=lambda line: complaint_about(self._question, line),
                deadline=self._deadline,
            ),
        )
        return Raw(line.encode())

    async def _review(
        self, fields: Sequence[Field], values: dict[str, Any], *, sendable: bool
    ) -> Field | None:
        """The field to change; None to send the form as it is."""

        def check(line: Line) -> str:
            if not str(line).strip() and sendable:
                return ""
            return (
                "" if _find(fields, str(line)) is not None else "Please give the number of a line."
            )

        hint = "Enter sends it, a number changes that line" if sendable else "a line's number"
        numbered = tuple(
            f"{number}. {field.label}: {label_of(values.get(field.name, MISSING))}"
            for number, field in enumerate(fields, 1)
        )
        prompt = Prompt(hint=hint, above=numbered, check=check, deadline=self._deadline)
        line = await _words(self._screen, prompt)
        return _find(fields, line) if line.strip() else None

    def _complaint(self, value: Raw) -> str:
        try:
            read_answer(self._question, value, "")
        except InvalidAnswer as error:
            return str(error)
        return ""

    async def _take(self, field: Field, values: dict[str, Any], above: tuple[str, ...]) -> None:
        value = await self._value(field, above)
        values.pop(field.name, None)
        if value is not MISSING:
            values[field.name] = value

    async def _value(self, field: Field, above: tuple[str, ...]) -> Any:
        match field.kind:
            case "fixed":
                return field.values[0]
            case "object":
                return await self._object(field, above)
            case "list" if not field.many:
                return await self._list(field, above)
            case _:
                return _value_of(field, await self._screen.read(self._prompt(field, above)))

    async def _object(self, field: Field, above: tuple[str, ...]) -> Any:
        if field.optional and not await self._wanted(field, above):
            return MISSING if not field.required else None
        values: dict[str, Any] = {}
        parts = self._schema.fields_of(field.node, field.default)
        for part in parts:
            shown = (*above, f"{field.label}:", *(f"  {line}" for line in _lines(parts, values)))
            await self._take(part, values, shown)
        return values

    async def _wanted(self, field: Field, above: tuple[str, ...]) -> bool:
        question = ConfirmQuestion(default=Raw(b"false"))
        prompt = prompt_for(question, self._deadline)
        prompt = replace(prompt, label=f"{field.label}: fill in?", above=above)
        line = await _words(self._screen, prompt)
        return bytes(read_answer(question, None, line)) == b"true"

    async def _list(self, field: Field, above: tuple[str, ...]) -> Any:
        values: list[Any] = []
        while True:
            item = self._schema.item(field, len(values) + 1)
            shown = (*above, f"{field.label}: {label_of(values)}") if values else above
            enough = not self._schema.complaint(field, values)
            if item.kind == "object":
                if enough and not await self._wanted(item, shown):
                    return values
                values.append(await self._value(item, shown))
                continue
            line = await self._screen.read(self._prompt(item, shown, may_end=enough))
            if isinstance(line, str) and not line.strip():
                return values
            values.append(_value_of(item, line))

    def _prompt(self, field: Field, above: tuple[str, ...], *, may_end: bool = False) -> Prompt:
        def check(line: Line) -> str:
            empty = isinstance(line, str) and not line.strip()
            if may_end and empty:
                return ""
            try:
                value = _value_of(field, line)
            except InvalidAnswer as error:
                return str(error)
            if value is MISSING or (value is None and field.nullable):
                return ""
            if empty and field.kind == "text" and not field.optional:
                return "Please write something."
            return self._schema.complaint(field, value)

        hint = hint_of(field)
        if may_end:
            hint = ", ".join(part for part in (hint, "Enter: no more") if part)
        given = cast(
            "list[Any]", field.default if field.many and field.default else [field.default]
        )
        return Prompt(
            label=field.label,
            hint=hint,
            choices=tuple(Choice(label_of(value)) for value in field.values),
            many=field.many,
            chosen=tuple(at for at, value in enumerate(field.values) if value in given),
            above=above,
            check=check,
            deadline=self._deadline,
        )


def _value_of(field: Field, line: Line) -> Any:
    """The JSON value that was typed or picked. Raises `InvalidAnswer`."""
    if isinstance(line, str):
        return read_words(field, line)
    values = [field.values[place] for place in line]
    return values if field.many else values[0]


def _lines(fields: Sequence[Field], values: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{field.label}: {label_of(values[field.name])}" for field in fields if field.name in values
    )


def _find(fields: Sequence[Field], line: str) -> Field | None:
    given = line.strip()
    for number, field in enumerate(fields, 1):
        if given == str(number) or given.casefold() == field.label.casefold():
            return field
    return None
