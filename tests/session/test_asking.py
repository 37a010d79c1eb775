from __future__ import annotations

import dataclasses
import datetime as dt

import msgspec
import pydantic
import pytest
from msgspec import UNSET, Raw

from parlour.errors import InvalidAnswer, NotStorable
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    TextQuestion,
    read_answer,
)
from parlour.session.asking import Prompt, choice_for, form_for, prompt_for, schema_of

DAY = dt.date(2026, 11, 21)


@dataclasses.dataclass
class Address:
    street: str
    number: int


@dataclasses.dataclass
class Guest:
    name: str
    arrival: dt.date
    address: Address | None = None


class Room(msgspec.Struct):
    number: int
    beds: int = 2


class Booking(pydantic.BaseModel):
    guest: str
    nights: int = pydantic.Field(ge=1, le=30)


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


def answered(prompt: Prompt, value: object) -> object:
    """What a handler gets when the user gives `value`."""
    return prompt.read(read_answer(prompt.question, Raw(msgspec.json.encode(value)), ""))


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        (str, TextQuestion()),
        (int, NumberQuestion(integer=True)),
        (float, NumberQuestion()),
        (bool, ConfirmQuestion()),
        (dt.date, DateQuestion()),
        (Room, FormQuestion(schema=schema_of(Room))),
    ],
)
def test_a_python_type_asks_the_question_for_it(kind, question):
    assert prompt_for(kind).question == question


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (str, "Ada", "Ada"),
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, False, False),
        (dt.date, "2026-11-21", DAY),
        (Room, {"number": 7}, Room(7)),
        (
            Guest,
            {"name": "Ada", "arrival": "2026-11-21", "address": {"street": "A", "number": 1}},
            Guest("Ada", DAY, Address("A", 1)),
        ),
        (Booking, {"guest": "Ada", "nights": 2}, Booking(guest="Ada", nights=2)),
        (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
    ],
)
def test_an_answer_comes_back_as_the_type_that_was_asked_for(kind, value, result):
    found = answered(prompt_for(kind), value)

    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Room, {}),
        (Room, {"number": "7"}),
        (Guest, {"name": "Ada", "arrival": "tomorrow"}),
        (Guest, {"name": "Ada", "arrival": "2026-11-21", "address": {"street": "A"}}),
        (Booking, {"guest": "Ada", "nights": 31}),
        (Tree, {"name": "a", "children": [{}]}),
    ],
)
def test_a_form_that_is_filled_in_wrongly_is_no_answer(kind, value):
    with pytest.raises(InvalidAnswer):
        answered(prompt_for(kind), value)


def test_a_default_is_what_an_empty_answer_means():
    for kind, default in (
        (str, "Ada"),
        (str, ""),
        (int, 0),
        (float, 1.5),
        (bool, False),
        (dt.date, DAY),
        (Room, Room(7)),
        (Guest, Guest("Ada", DAY)),
        (Booking, Booking(guest="Ada", nights=2)),
    ):
        prompt = prompt_for(kind, default=default)

        assert prompt.read(read_answer(prompt.question, None, " ")) == default


def test_without_a_default_nothing_is_an_answer():
    prompt = prompt_for(str)

    assert prompt.question.default is UNSET
    with pytest.raises(InvalidAnswer):
        read_answer(prompt.question, None, "")


def test_a_default_that_cannot_be_stored_is_refused():
    with pytest.raises(NotStorable):
        prompt_for(str, default=object())


def test_bounds_hold_for_texts_numbers_and_dates():
    text = TextQuestion(min_length=2, max_length=5, multiline=True)

    assert prompt_for(str, minimum=2, maximum=5, multiline=True).question == text
    assert prompt_for(int, minimum=1, maximum=5).question == NumberQuestion(
        integer=True, minimum=1, maximum=5
    )
    assert prompt_for(dt.date, minimum=DAY).question == DateQuestion(minimum=DAY)


def test_a_text_may_be_allowed_to_be_empty():
    prompt = prompt_for(str, minimum=0)

    assert answered(prompt, "") == ""


def test_a_default_does_not_lower_the_least_length_of_a_text():
    prompt = prompt_for(str, minimum=3, default="Ada")

    assert answered(prompt, "") == "Ada"
    with pytest.raises(InvalidAnswer):
        answered(prompt, "A")


def test_a_question_of_ones_own_is_asked_as_it_is():
    question = TextQuestion(pattern="[a-z]+")
    prompt = prompt_for(question)

    assert prompt.question is question
    assert answered(prompt, "abc") == "abc"


@pytest.mark.parametrize(
    "question",
    [TextQuestion(pattern="("), FormQuestion(schema=Raw(b"3")), ChoiceQuestion(options=())],
)
def test_a_question_of_ones_own_that_nobody_could_answer_is_refused(question):
    with pytest.raises(ValueError, match=r"expression|schema|option"):
        prompt_for(question)


@pytest.mark.parametrize("kind", [list, dict, list[int], None, "str", 3, object, dt.datetime])
def test_what_cannot_be_asked_for_is_refused_with_what_can(kind):
    with pytest.raises(TypeError, match=r"use str, int, float, bool, datetime\.date, a dataclass"):
        prompt_for(kind)


def test_a_form_may_be_given_as_a_json_schema():
    prompt = form_for({"type": "object", "required": ["name"]})

    assert answered(prompt, {"name": "Ada"}) == {"name": "Ada"}
    with pytest.raises(InvalidAnswer):
        answered(prompt, {})


def test_a_form_with_a_wrong_json_schema_is_refused_when_it_is_asked():
    with pytest.raises(ValueError, match="valid JSON schema"):
        form_for({"type": "thing"})


@pytest.mark.parametrize("kind", [Guest, Room, Booking, Tree])
def test_the_schema_of_a_model_says_at_its_top_what_it_is(kind):
    schema = msgspec.json.decode(schema_of(kind))

    assert schema["type"] == "object"
    assert "$ref" not in schema
    assert schema["title"] == kind.__name__


# -- choices --------------------------------------------------------------------------------


def choice(options, *, many=False, default=None, minimum=0, maximum=None) -> Prompt:
    return choice_for(options, many=many, default=default, minimum=minimum, maximum=maximum)


def test_options_are_texts_a_mapping_or_options():
    plain = (Option(value="a", label="a"), Option(value="b", label="b"))
    labelled = (Option(value="a", label="A"), Option(value="b", label="B"))

    assert choice(["a", "b"]).question == ChoiceQuestion(options=plain)
    assert choice(name for name in "ab").question == ChoiceQuestion(options=plain)
    assert choice({"a": "A", "b": "B"}).question == ChoiceQuestion(options=labelled)
    assert choice(labelled).question == ChoiceQuestion(options=labelled)


def test_several_may_be_chosen():
    prompt = choice(["a", "b", "c"], many=True, default=["a"], minimum=1, maximum=2)

    assert answered(prompt, ["c", "b"]) == ["b", "c"]
    assert prompt.read(read_answer(prompt.question, None, "")) == ["a"]


@pytest.mark.parametrize(
    ("options", "minimum", "problem"),
    [([], 0, "at least one option"), (["a", "a"], 0, "same value"), (["a"], 2, "cannot want 2")],
)
def test_a_choice_that_nobody_could_make_is_refused(options, minimum, problem):
    with pytest.raises(ValueError, match=problem):
        choice(options, minimum=minimum)
