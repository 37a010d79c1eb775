"""Entities find values in what people write, and read the answers that were asked for."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlour.agents.flow import Flow
from parlour.agents.flow.entities import Choices, Entity, Pattern, standard_entities
from parlour.agents.flow.matching import parameters_in

NOW = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)
STANDARD = standard_entities(["en"])
CITY = Choices("city", {"New York": ["big apple", "NYC"], "Ulm": [], "Paris": ["paname"]})


def values(entity: Entity, text: str) -> list[object]:
    return [found.value for found in entity.find(text, NOW)]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("int", "2 rooms for three people", [2, 3]),
        ("int", "twenty-one or thirty two nights", [21, 32]),
        ("int", "one two", [1, 2]),
        ("int", "1,200 people, 1.5 each", [1200]),
        ("int", "room7 and 7th", []),
        ("int", "-5 degrees", [-5]),
        ("number", "1.5 and 2,25 and 1,000.5", [1.5, 2.25, 1000.5]),
        ("number", "9" * 60, []),
        ("duration", "2 hours", [7200.0]),
        ("duration", "an hour and a half, ten minutes, half an hour", [5400.0, 600.0, 1800.0]),
        ("duration", "for 3 nights", [259_200.0]),
        ("email", "write to ada@example.org or bob@x", ["ada@example.org"]),
        ("date", "from tomorrow on", ["2026-11-22"]),
        ("date", "on 24 December 2026", ["2026-12-24"]),
        ("date", "nothing of that kind", []),
        ("text", "anything", []),
    ],
)
def test_the_standard_kinds_are_found(kind, text, expected):
    assert values(STANDARD[kind], text) == expected


def test_an_enumeration_knows_synonyms_and_small_misspellings():
    assert values(CITY, "from NYC to paris, then the Big  Apple") == [
        "New York",
        "Paris",
        "New York",
    ]
    assert values(CITY, "from new yrok to pariss") == ["New York", "Paris"]
    assert values(CITY, "Ulmer Straße, comparison") == []
    with pytest.raises(ValueError, match="Please choose one of: New York, Ulm, Paris"):
        CITY.read("Rome", NOW)
    with pytest.raises(ValueError, match="means a and b"):
        Choices("x", {"a": ["c"], "b": ["C"]})
    with pytest.raises(ValueError, match="at least one value"):
        Choices("x", {})


def test_a_regular_expression_gives_its_group():
    assert values(Pattern("plate", r"\b([A-Z]{2}-\d{3})\b", ()), "it is UL-123.") == ["UL-123"]
    assert values(Pattern("empty", r"x*", ()), "abc") == []


@given(st.text(max_size=300))
def test_no_text_breaks_them(text):
    for entity in (CITY, *STANDARD.values()):
        if entity.name != "date":
            for found in entity.find(text, NOW):
                assert 0 <= found.start < found.end <= len(text)


@pytest.mark.promise("P12")
@pytest.mark.parametrize(
    "text", ["1," * 30_000, "a " * 30_000, "my name is " * 10_000, "0" * 60_000]
)
def test_a_long_text_takes_no_long_time(text):
    flow = Flow("f")
    intent = flow.intent("i", ["my name is {name:text} and {more:text}"])
    started = time.monotonic()
    for entity in (CITY, *STANDARD.values()):
        list(entity.find(text, NOW))
    parameters_in(intent, text, NOW)
    assert time.monotonic() - started < 10


def parameters(examples: list[str], sentence: str) -> dict[str, object]:
    flow = Flow("f")
    flow.entity("city", {"Paris": [], "Rome": [], "Ulm": []})
    return parameters_in(flow.intent("i", examples), sentence, NOW)


def test_parameters_are_told_apart_by_the_words_before_them():
    examples = ["fly from {start:city} to {goal:city} for {people:int} people"]

    assert parameters(examples, "from Ulm to Rome") == {"start": "Ulm", "goal": "Rome"}
    assert parameters(examples, "to Rome from Ulm, two of us") == {
        "start": "Ulm",
        "goal": "Rome",
        "people": 2,
    }
    assert parameters(examples, "Paris Rome") == {"start": "Paris", "goal": "Rome"}
    assert parameters(examples, "to Rome") == {"goal": "Rome"}
    assert parameters(examples, "somewhere") == {}


def test_a_number_within_a_duration_is_not_taken_twice():
    examples = ["{people:int} people for {time:duration}"]

    assert parameters(examples, "a table for 2 hours, for 5 people") == {
        "time": 7200.0,
        "people": 5,
    }
    assert parameters(examples, "2 hours") == {"time": 7200.0}


def test_any_words_are_found_by_the_words_around_them():
    examples = ["my name is {name:text}", "call me {name:text} please", "I am {name}"]

    assert parameters(examples, "Hello, my name is Ada Lovelace.") == {"name": "Ada Lovelace"}
    assert parameters(examples, "call me Bob please") == {"name": "Bob"}
    assert parameters(examples, "who am I") == {}
