"""What can be asked, and what counts as an answer. Pure: no session, no clock, no I/O.

A question is data, because it waits in the log and is drawn by any client. `read_answer` is the
one place that decides whether an answer fits; it takes a JSON value (a form's button) or words
(typed in a terminal, or said instead of answered).
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from parlour.errors import InvalidAnswer, describe
from parlour.storable import read_json

_YES = frozenset({"yes", "y", "true", "1", "ok", "okay", "sure", "ja", "oui", "si", "sí", "on"})
_NO = frozenset({"no", "n", "false", "0", "nein", "non", "off"})
_MAX_COMPLAINT = 300


class QuestionBase(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """A kind of question. `default` is what an empty answer means; UNSET: there is none."""

    default: Raw | UnsetType = UNSET


class TextQuestion(QuestionBase, frozen=True, kw_only=True, tag="text"):
    """Asks for words. Lengths are in characters; `pattern` must match the whole answer."""

    min_length: int = 1
    max_length: int | None = None
    pattern: str | None = None
    multiline: bool = False


class NumberQuestion(QuestionBase, frozen=True, kw_only=True, tag="number"):
    """Asks for a number between `minimum` and `maximum`, both allowed; whole if `integer`."""

    integer: bool = False
    minimum: float | None = None
    maximum: float | None = None


class ConfirmQuestion(QuestionBase, frozen=True, kw_only=True, tag="confirm"):
    """Asks for yes or no."""

    yes: str = "Yes"
    no: str = "No"


class DateQuestion(QuestionBase, frozen=True, kw_only=True, tag="date"):
    """Asks for a day, written as in ISO 8601 (2026-11-21), within bounds that are allowed."""

    minimum: dt.date | None = None
    maximum: dt.date | None = None


class Option(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One choice: `value` is the answer, `label` what the user sees."""

    value: str
    label: str
    description: str = ""


class ChoiceQuestion(QuestionBase, frozen=True, kw_only=True, tag="choice"):
    """Asks for one of the options, or with `many` for several (`minimum` to `maximum` of them)."""

    options: tuple[Option, ...]
    many: bool = False
    minimum: int = 0
    maximum: int | None = None


class FileQuestion(QuestionBase, frozen=True, kw_only=True, tag="file"):
    """Asks for files. `accept` holds media types (image/*) or endings (.pdf); sizes in bytes."""

    accept: tuple[str, ...] = ()
    minimum: int = 1
    maximum: int = 1
    max_bytes: int | None = None


class FormQuestion(QuestionBase, frozen=True, kw_only=True, tag="form"):
    """Asks for an object that fits a JSON schema (draft 2020-12)."""

    schema: Raw


Question = (
    TextQuestion
    | NumberQuestion
    | ConfirmQuestion
    | DateQuestion
    | ChoiceQuestion
    | FileQuestion
    | FormQuestion
)


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)


class OfferedFile(Struct, frozen=True):
    """What a question may look at in an uploaded file."""

    id: str
    name: str
    type: str
    size: int


def check_question(question: Question) -> None:
    """Raises `TypeError` or `ValueError` for a question that nobody could read or answer.

    It is its author's mistake, and the message says what to mend.
    """
    if isinstance(question, FormQuestion):
        _check_schema(question)
    _check_fields(question)
    match question:
        case TextQuestion():
            _check_range("the length of a text", question.min_length, question.max_length)
            _check_pattern(question.pattern or "")
        case NumberQuestion():
            _check_numbers(question)
        case DateQuestion(minimum=dt.date() as first, maximum=dt.date() as last) if first > last:
            raise ValueError("no day is after the minimum and before the maximum; swap them")
        case ChoiceQuestion():
            _check_options(question)
        case FileQuestion():
            _check_range("how many files", question.minimum, question.maximum)
            if question.maximum < 1 or (question.max_bytes is not None and question.max_bytes < 1):
                raise ValueError("a question for files allows at least one, of one byte or more")
        case _:
            pass
    if question.default is not UNSET:
        _check_default(question, question.default)


def _check_schema(question: FormQuestion) -> None:
    try:
        _validator(bytes(question.schema))
    except (TypeError, ValueError) as error:
        raise ValueError(f"a form needs a valid JSON schema: {error}") from None


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


def _check_fields(question: Question) -> None:
    """A struct takes anything when it is made, but is read back by its declaration."""
    try:
        found = _decoder.decode(_encoder.encode(question))
    except msgspec.ValidationError as error:
        raise TypeError(
            f"a {type(question).__name__} has a value of a wrong type: {error}; give the type "
            "it expects"
        ) from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(
            f"a {type(question).__name__} has a value that cannot be stored ({describe(error)}); "
            "give plain text, numbers, dates and options"
        ) from None
    if found != question:
        raise ValueError(
            f"a {type(question).__name__} has a value that changes when it is stored; give numbers "
            "that a float holds exactly, and tuples where a tuple is declared"
        )


def _check_range(what: str, low: int, high: int | None) -> None:
    if low < 0 or (high is not None and low > high):
        raise ValueError(
            f"{what} cannot be from {low} to {high}: give a minimum of 0 or more and a maximum "
            "that is not less"
        )


def _check_numbers(question: NumberQuestion) -> None:
    low = -math.inf if question.minimum is None else question.minimum
    high = math.inf if question.maximum is None else question.maximum
    if question.integer and math.isfinite(low) and math.isfinite(high):
        low, high = math.ceil(low), math.floor(high)
    if low > high:
        raise ValueError(
            "no number is between the minimum and the maximum of the question; give a minimum "
            "that is not greater"
        )


def _check_options(question: ChoiceQuestion) -> None:
    options = question.options
    if not options:
        raise ValueError("a choice needs at least one option")
    if len({option.value for option in options}) != len(options):
        raise ValueError("two options of a choice have the same value; make the values differ")
    if not all(option.label.strip() for option in options):
        raise ValueError("an option without a label cannot be seen; give each a label")
    if question.minimum > len(options):
        raise ValueError(f"a choice among {len(options)} cannot want {question.minimum}")
    _check_range("how many are chosen", question.minimum, question.maximum)


def _check_default(question: Question, default: Raw) -> None:
    try:
        given = read_json(default)
        if isinstance(question, FileQuestion):
            raise InvalidAnswer("A question for files has no default.")
        if given == "" and isinstance(question, TextQuestion) and question.min_length <= 1:
            return  # so that the user may say nothing where no length is asked for
        _check(question, given)
    except (InvalidAnswer, ValueError) as error:
        raise ValueError(
            f"the default is no answer to its own question ({error}); give one that fits its "
            "bounds and options"
        ) from None


def read_answer(
    question: Question, value: Raw | None, text: str, files: Sequence[OfferedFile] = ()
) -> Raw:
    """The answer as JSON, from a JSON `value` (null: none is given) or else from words.

    Raises `InvalidAnswer` with a sentence for the user where it does not fit.
    """
    if isinstance(question, FileQuestion):
        return _read_files(question, files)
    given: Any = None if value is None else _load(value)
    if question.default is not UNSET and _is_empty(question, given, text):
        return question.default
    if given is None:
        given = _from_words(question, text)
    try:
        return Raw(msgspec.json.encode(_check(question, given)))
    except UnicodeEncodeError:
        raise InvalidAnswer("That answer is no valid Unicode.") from None


def _load(value: Raw) -> Any:
    try:
        return read_json(value)
    except ValueError:
        raise InvalidAnswer("That answer is no valid JSON, or nested too deeply.") from None


def _is_empty(question: Question, given: Any, text: str) -> bool:
    """Whether nothing was said. An option may have an empty value, so that one may be chosen."""
    if given is None:
        return not text.strip()
    return given == "" and not isinstance(question, ChoiceQuestion)


def _from_words(question: Question, text: str) -> Any:
    words = text.strip()
    match question:
        case TextQuestion():
            return text
        case NumberQuestion():
            return _number_from_words(words, integer=question.integer)
        case ConfirmQuestion():
            return _confirmation_from_words(question, words)
        case ChoiceQuestion():
            return _choice_from_words(question, words)
        case FormQuestion():
            try:
                return read_json(text.encode())
            except ValueError:
                raise InvalidAnswer("Please fill in the form.", "form") from None
        case _:
            return words


_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


def _number_from_words(words: str, *, integer: bool) -> float:
    if not integer and _THOUSANDS.fullmatch(words):
        raise InvalidAnswer("Please write the number without a thousands separator.", "thousands")
    try:
        if "_" in words:
            raise ValueError
        return int(words) if integer else float(words.replace(",", "."))
    except ValueError:
        if integer:
            raise InvalidAnswer("Please give a whole number.", "whole") from None
        raise InvalidAnswer("Please give a number.", "number") from None


def _confirmation_from_words(question: ConfirmQuestion, words: str) -> bool:
    folded = words.casefold()
    if folded in _YES or folded == question.yes.casefold():
        return True
    if folded in _NO or folded == question.no.casefold():
        return False
    raise _neither(question)


def _neither(question: ConfirmQuestion) -> InvalidAnswer:
    yes, no = question.yes, question.no
    return InvalidAnswer(f"Please answer {yes} or {no}.", "confirm", yes=yes, no=no)


def _choice_from_words(question: ChoiceQuestion, words: str) -> Any:
    if not question.many:
        return _find_option(question, words)
    if any(words.casefold() == option.label.casefold() for option in question.options):
        return [_find_option(question, words)]
    return [_find_option(question, part.strip()) for part in words.split(",") if part.strip()]


def _find_option(question: ChoiceQuestion, words: str) -> str:
    folded = words.casefold()
    for option in question.options:
        if folded in (option.value.casefold(), option.label.casefold()):
            return option.value
    if words.isascii() and words.isdigit() and 1 <= int(words[:9]) <= len(question.options):
        return question.options[int(words[:9]) - 1].value
    labels = ", ".join(option.label for option in question.options[:20])
    raise InvalidAnswer(f"Please choose one of: {labels}.", "one_of", options=labels)


def _check(question: Question, given: Any) -> Any:
    match question:
        case TextQuestion():
            return _check_text(question, given)
        case NumberQuestion():
            return _check_number(question, given)
        case ConfirmQuestion():
            if not isinstance(given, bool):
                raise _neither(question)
            return given
        case DateQuestion():
            return _check_date(question, given)
        case ChoiceQuestion():
            return _check_choice(question, given)
        case FormQuestion():
            return _check_form(question, given)
        case FileQuestion():  # pragma: no cover - `read_answer` has taken these
            raise AssertionError


def _check_text(question: TextQuestion, given: Any) -> str:
    if not isinstance(given, str):
        raise InvalidAnswer("Please answer in words.", "words")
    if len(given.strip()) < question.min_length:
        least = question.min_length
        if least == 1:
            raise InvalidAnswer("Please write something.", "words")
        raise InvalidAnswer(f"Please write at least {least} characters.", "longer", low=least)
    if question.max_length is not None and len(given) > question.max_length:
        most = question.max_length
        raise InvalidAnswer(f"Please write at most {most} characters.", "shorter", high=most)
    if question.pattern is not None and not _matches(question.pattern, given):
        raise InvalidAnswer("That does not have the expected form.", "pattern")
    return given


def _matches(pattern: str, given: str) -> bool:
    try:
        return re.fullmatch(pattern, given) is not None
    except re.error:
        raise InvalidAnswer(
            "This question cannot be answered: its pattern is no regular expression."
        ) from None


def _check_number(question: NumberQuestion, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidAnswer("Please give a number.", "number")
    try:
        number: float = float(given)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidAnswer("Please give a finite number.", "number")
    if question.integer:
        number = int(given)
        if given != number:
            raise InvalidAnswer("Please give a whole number.", "whole")
    low, high = question.minimum, question.maximum
    if low is not None and number < low:
        bound = f"{low:.15g}"
        raise InvalidAnswer(f"Please give a number of at least {bound}.", "at_least", low=bound)
    if high is not None and number > high:
        bound = f"{high:.15g}"
        raise InvalidAnswer(f"Please give a number of at most {bound}.", "at_most", high=bound)
    return number


def _check_date(question: DateQuestion, given: Any) -> str:
    try:
        day = dt.date.fromisoformat(given)
    except (TypeError, ValueError):
        raise InvalidAnswer("Please give a date like 2026-11-21.", "date") from None
    if question.minimum is not None and day < question.minimum:
        bound = question.minimum.isoformat()
        raise InvalidAnswer(f"Please give a date not before {bound}.", "not_before", low=bound)
    if question.maximum is not None and day > question.maximum:
        bound = question.maximum.isoformat()
        raise InvalidAnswer(f"Please give a date not after {bound}.", "not_after", high=bound)
    return day.isoformat()


def _check_choice(question: ChoiceQuestion, given: Any) -> Any:
    values = [option.value for option in question.options]
    if not question.many:
        if given not in values:
            raise InvalidAnswer("Please choose one of the options.", "one")
        return given
    if not isinstance(given, list):
        raise InvalidAnswer("Please choose from the options.", "one")
    picked: set[Any] = {item for item in given if isinstance(item, str)}  # pyright: ignore[reportUnknownVariableType]
    if len(picked) != len(given) or not picked <= set(values):  # pyright: ignore[reportUnknownArgumentType]
        raise InvalidAnswer("Please choose from the options, each at most once.", "one")
    if len(picked) < question.minimum:
        least = question.minimum
        raise InvalidAnswer(f"Please choose at least {least}.", "choose_least", low=least)
    if question.maximum is not None and len(picked) > question.maximum:
        most = question.maximum
        raise InvalidAnswer(f"Please choose at most {most}.", "choose_most", high=most)
    return [value for value in values if value in picked]


def _check_form(question: FormQuestion, given: Any) -> Any:
    try:
        validator = _validator(bytes(question.schema))
    except ValueError:
        raise InvalidAnswer(
            "This question cannot be answered: its form is no valid JSON schema."
        ) from None
    complaint = _form_complaint(validator, given)
    if complaint:
        raise InvalidAnswer(complaint)
    return given


def _form_complaint(validator: Any, given: Any) -> str:
    for error in validator.iter_errors(given):
        where = ".".join(str(part) for part in error.instance_path)
        message = error.message
        if len(message) > _MAX_COMPLAINT:
            message = f"{message[:_MAX_COMPLAINT]}…"
        return f"{where}: {message}" if where else message
    return ""


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(
        read_json(schema), validate_formats=True, offline=True
    )


def _read_files(question: FileQuestion, files: Sequence[OfferedFile]) -> Raw:
    if len(files) < question.minimum:
        least = question.minimum
        if least == 1:
            raise InvalidAnswer("Please attach a file.", "file")
        raise InvalidAnswer(f"Please attach at least {least} files.", "files_least", low=least)
    if len(files) > question.maximum:
        most = question.maximum
        raise InvalidAnswer(f"Please attach at most {most}.", "files_most", high=most)
    for file in files:
        if question.max_bytes is not None and file.size > question.max_bytes:
            limit = question.max_bytes
            complaint = f"{file.name} is larger than {limit:,} bytes."
            raise InvalidAnswer(complaint, "file_size", name=file.name, limit=limit)
        if question.accept and not any(_accepts(rule, file) for rule in question.accept):
            kinds = ", ".join(question.accept)
            complaint = f"{file.name} is not one of {kinds}."
            raise InvalidAnswer(complaint, "file_kind", name=file.name, kinds=kinds)
    return Raw(msgspec.json.encode([file.id for file in files]))


def _accepts(rule: str, file: OfferedFile) -> bool:
    rule = rule.casefold()
    if rule.startswith("."):
        return file.name.casefold().endswith(rule)
    kind = file.type.casefold()
    return kind.startswith(rule[:-1]) if rule.endswith("/*") else kind == rule


def describe_answer(question: Question, value: Raw, files: Sequence[OfferedFile] = ()) -> str:
    """How an answer reads in the conversation."""
    given = msgspec.json.decode(value)
    match question:
        case ConfirmQuestion():
            return question.yes if given else question.no
        case ChoiceQuestion():
            labels = {option.value: option.label for option in question.options}
            picked = cast("list[object]", given if isinstance(given, list) else [given])
            return ", ".join(labels.get(_brief(item), _brief(item)) for item in picked)
        case FileQuestion():
            return ", ".join(file.name for file in files)
        case FormQuestion() if isinstance(given, dict):
            fields = cast("dict[str, object]", given)
            return "\n".join(f"{_label(name)}: {_brief(item)}" for name, item in fields.items())
        case _:
            return _brief(given)


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _brief(item: object) -> str:
    return item if isinstance(item, str) else msgspec.json.encode(item).decode()
