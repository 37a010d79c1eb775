import enum
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import pydantic
import pytest
from msgspec import Raw

from parlour.errors import InvalidAnswer
from parlour.session.asking import schema_of
from parlour.transports.terminal.fields import MISSING, Schema, hint_of, label_of, read_words


class Guest(msgspec.Struct):
    age: Annotated[int, msgspec.Meta(ge=18)]
    friend: "Guest | None" = None


def fields_of(schema):
    return Schema(Raw(msgspec.json.encode(schema))).fields()


def field_of(node):
    [field] = fields_of({"type": "object", "properties": {"it": node}, "required": ["it"]})
    return field


def test_a_dataclass_becomes_fields_with_labels_kinds_and_defaults():
    @dataclass
    class Stay:
        guestName: str  # noqa: N815
        number_of_nights: int = 2
        breakfast: bool = True

    fields = Schema(schema_of(Stay)).fields()
    assert [(f.label, f.kind, f.required) for f in fields] == [
        ("Guest name", "text", True),
        ("Number of nights", "number", False),
        ("Breakfast", "confirm", False),
    ]
    assert [read_words(f, "") for f in fields[1:]] == [2, True]


def test_references_enums_literals_and_optional_parts_are_resolved():
    class Meal(enum.Enum):
        FULL = "full"
        HALF = "half"

    class Address(pydantic.BaseModel):
        city: str

    class Form(pydantic.BaseModel):
        meal: Meal
        size: Literal["s", 1]
        home: Address
        note: str | None = None
        meals: list[Meal] = []

    fields = {field.name: field for field in Schema(schema_of(Form)).fields()}
    assert fields["meal"].values == ("full", "half")
    assert read_words(fields["size"], "2") == 1
    assert fields["home"].kind == "object"
    assert (fields["note"].kind, fields["note"].nullable) == ("text", True)
    assert read_words(fields["note"], "") is None
    assert fields["meals"].many
    assert read_words(fields["meals"], "HALF, 1") == ["half", "full"]


@pytest.mark.parametrize(
    ("node", "words", "value"),
    [
        ({"type": "integer"}, " 4 ", 4),
        ({"type": "number"}, "2,5", 2.5),
        ({"type": "boolean"}, "n", False),
        ({"const": 3}, "", 3),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, "B", "b"),
        ({"type": ["string", "null"]}, "", None),
        ({"type": "object", "additionalProperties": True}, '{"a": 1}', {"a": 1}),
        ({"allOf": [{"type": "integer"}]}, "1", 1),
        ({"$ref": "#/nowhere"}, "[1]", [1]),
    ],
)
def test_words_become_the_value_that_the_schema_wants(node, words, value):
    field = field_of(node)
    assert (field.values[0] if field.kind == "fixed" else read_words(field, words)) == value


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "integer"}, "1.5"),
        ({"type": "boolean"}, "perhaps"),
        ({"enum": ["a", "b"]}, "3"),
        ({"enum": ["a", "b"]}, "c"),
        ({}, "{"),
    ],
)
def test_words_that_mean_nothing_are_a_sentence_for_the_user(node, words):
    with pytest.raises(InvalidAnswer, match="Please"):
        read_words(field_of(node), words)


def test_a_value_is_checked_by_the_schema_itself_with_its_references():
    schema = Schema(schema_of(Guest))
    age, friend = schema.fields()
    assert schema.complaint(age, 20) == ""
    assert "18" in schema.complaint(age, 3)
    assert schema.complaint(friend, {"age": 30, "friend": None}) == ""
    assert schema.complaint(friend, {"age": "x"})


def test_a_field_that_is_left_out_has_no_value():
    [field] = fields_of({"type": "object", "properties": {"it": {"type": "string"}}})
    assert read_words(field, "  ") is MISSING
    assert "leave out" in hint_of(field)


def test_values_read_as_a_person_writes_them():
    value = {"a_b": [True, None, 2.5, "x"], "c": {}}
    assert label_of(value) == "A b: Yes, nothing, 2.5, x, C: {}"
