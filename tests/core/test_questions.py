from __future__ import annotations

import contextlib
import datetime as dt
import math

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from parlour.errors import InvalidAnswer
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    OfferedFile,
    Option,
    TextQuestion,
    check_question,
    describe_answer,
    read_answer,
)
from strategies import DEEP, any_texts, hostile_json, json_values, questions

ROOMS = (
    Option(value="s", label="Single"),
    Option(value="d", label="Double, with view"),
    Option(value="2", label="Suite"),
)
ROOM = ChoiceQuestion(options=ROOMS)
ROOM_S = ChoiceQuestion(options=ROOMS, many=True, minimum=1, maximum=2)
PERSON = FormQuestion(
    schema=Raw(
        b'{"type":"object","required":["name"],"properties":'
        b'{"name":{"type":"string"},"age":{"type":"integer","minimum":0}}}'
    )
)
PNG = OfferedFile("f1", "photo.PNG", "image/png", 2000)
PDF = OfferedFile("f2", "paper.pdf", "application/pdf", 100)


def said(question, text: str) -> object:
    return msgspec.json.decode(read_answer(question, None, text))


def given_value(question, value: object) -> object:
    return msgspec.json.decode(read_answer(question, Raw(msgspec.json.encode(value)), ""))


def complaint(question, text: str = "", value: object = UNSET, files=()) -> str:
    raw = None if value is UNSET else Raw(msgspec.json.encode(value))
    with pytest.raises(InvalidAnswer) as caught:
        read_answer(question, raw, text, files)
    return str(caught.value)


# -- text -----------------------------------------------------------------------------------


def test_text_is_taken_as_it_was_written():
    assert said(TextQuestion(), "  Ada ") == "  Ada "
    assert given_value(TextQuestion(), "Ada") == "Ada"


def test_text_is_bounded_on_both_sides():
    question = TextQuestion(min_length=2, max_length=3)

    assert said(question, "abc") == "abc"
    assert complaint(question, " a ") == "Please write at least 2 characters."
    assert complaint(question, "abcd") == "Please write at most 3 characters."
    assert complaint(TextQuestion(), "  ") == "Please write something."
    assert said(TextQuestion(min_length=0), "") == ""


def test_a_pattern_has_to_match_the_whole_text():
    question = TextQuestion(pattern="[A-Z]{2}[0-9]+")

    assert said(question, "AB12") == "AB12"
    assert complaint(question, "AB12x") == "That does not have the expected form."


def test_what_is_no_text_is_no_answer_to_a_question_for_text():
    assert complaint(TextQuestion(), value=3) == "Please answer in words."


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_that_unicode_cannot_hold_is_no_answer(text):
    assert complaint(TextQuestion(), text) == "That answer is no valid Unicode."


# -- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3.0),
        (" -2.5 ", -2.5),
        ("2,5", 2.5),
        ("0,125", 0.125),
        ("1e3", 1000.0),
        ("+7", 7.0),
        ("٣", 3.0),
        (".5", 0.5),
    ],
)
def test_numbers_are_read_as_people_type_them(text, number):
    assert said(NumberQuestion(), text) == number


@pytest.mark.parametrize(("text", "number"), [("3", 3), (" -2 ", -2), ("+7", 7), ("٣", 3)])
def test_whole_numbers_are_read_as_people_type_them(text, number):
    found = said(NumberQuestion(integer=True), text)

    assert found == number
    assert isinstance(found, int)


@pytest.mark.parametrize("text", ["1,000", "-12,500", "999,999"])
def test_a_number_that_may_have_a_thousands_separator_is_not_guessed_at(text):
    assert "thousands" in complaint(NumberQuestion(), text)


@pytest.mark.parametrize(
    "text", ["", "many", "1_000", "0x10", "1.000,5", "1,000,000", "--1", "٣,x"]
)
def test_what_is_no_number_is_no_answer(text):
    assert complaint(NumberQuestion(), text) == "Please give a number."
    assert complaint(NumberQuestion(integer=True), text) == "Please give a whole number."


@pytest.mark.parametrize("text", ["inf", "-Infinity", "nan", "NaN", "1e400", "9" * 400, "9" * 5000])
def test_numbers_are_finite(text):
    assert complaint(NumberQuestion(), text) == "Please give a finite number."
    assert "number" in complaint(NumberQuestion(integer=True), text)


@pytest.mark.parametrize("value", [10**400, 10**308 * 9])
def test_numbers_that_no_float_holds_are_no_answer(value):
    assert complaint(NumberQuestion(), value=value) == "Please give a finite number."
    assert complaint(NumberQuestion(integer=True), value=value) == "Please give a finite number."


@pytest.mark.parametrize("value", ["3", True, False, [3], {}])
def test_values_of_other_kinds_are_no_numbers(value):
    assert complaint(NumberQuestion(), value=value) == "Please give a number."


def test_a_whole_number_may_come_as_a_float_without_a_fraction():
    found = given_value(NumberQuestion(integer=True), 3.0)

    assert found == 3
    assert isinstance(found, int)
    assert complaint(NumberQuestion(integer=True), value=3.5) == "Please give a whole number."


def test_large_whole_numbers_keep_all_their_digits():
    assert given_value(NumberQuestion(integer=True), 10**30 + 1) == 10**30 + 1


def test_numbers_are_bounded_on_both_sides():
    question = NumberQuestion(minimum=1, maximum=1234567)

    assert given_value(question, 1) == 1.0
    assert given_value(question, 1234567) == 1234567.0
    assert complaint(question, "0.9") == "Please give a number of at least 1."
    assert complaint(question, "1234568") == "Please give a number of at most 1234567."


# -- yes or no ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["yes", " Y ", "OK", "true", "1", "Oui", "klar"])
def test_yes_is_said_in_many_ways(text):
    assert said(ConfirmQuestion(yes="Klar"), text) is True


@pytest.mark.parametrize("text", ["no", " N ", "false", "0", "nein", "lieber nicht"])
def test_no_is_said_in_many_ways(text):
    assert said(ConfirmQuestion(no="Lieber nicht"), text) is False


def test_everything_else_is_neither_yes_nor_no():
    assert complaint(ConfirmQuestion(yes="Ja", no="Nein"), "maybe") == "Please answer Ja or Nein."
    assert complaint(ConfirmQuestion(), value="yes") == "Please answer Yes or No."
    assert complaint(ConfirmQuestion(), value=1) == "Please answer Yes or No."
    assert given_value(ConfirmQuestion(), False) is False


# -- dates ----------------------------------------------------------------------------------


def test_dates_are_those_of_iso_8601_within_bounds():
    question = DateQuestion(minimum=dt.date(2026, 1, 1), maximum=dt.date(2026, 12, 31))

    assert said(question, " 2026-11-21 ") == "2026-11-21"
    assert given_value(question, "20261121") == "2026-11-21"
    assert complaint(question, "2025-12-31") == "Please give a date not before 2026-01-01."
    assert complaint(question, "2027-01-01") == "Please give a date not after 2026-12-31."


@pytest.mark.parametrize("value", ["21.11.2026", "tomorrow", "2026-02-30", 20261121, ["2026"]])
def test_what_is_no_date_is_no_answer(value):
    assert complaint(DateQuestion(), value=value) == "Please give a date like 2026-11-21."


# -- choices --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("s", "s"), ("SINGLE", "s"), ("double, with VIEW", "d"), ("1", "s"), ("2", "2"), ("3", "2")],
)
def test_a_choice_is_made_by_value_label_or_place(text, value):
    assert said(ROOM, text) == value


@pytest.mark.parametrize("text", ["", "4", "0", "penthouse", "²", "9" * 5000])
def test_what_is_not_offered_cannot_be_chosen(text):
    assert complaint(ROOM, text) == "Please choose one of: Single, Double, with view, Suite."


@pytest.mark.parametrize("value", ["x", 1, None, ["s"], {"s": 1}])
def test_a_value_that_is_not_offered_cannot_be_chosen(value):
    assert "Please choose" in complaint(ROOM, value=value)


def test_several_are_chosen_in_the_order_in_which_they_are_offered():
    assert said(ROOM_S, "suite, 1,") == ["s", "2"]
    assert said(ROOM_S, "Double, with view") == ["d"]
    assert given_value(ROOM_S, ["2", "s"]) == ["s", "2"]


def test_the_number_of_choices_is_bounded():
    assert complaint(ROOM_S, value=[]) == "Please choose at least 1."
    assert complaint(ROOM_S, value=["s", "d", "2"]) == "Please choose at most 2."
    assert given_value(ChoiceQuestion(options=ROOMS, many=True), []) == []


@pytest.mark.parametrize("value", [["s", "s"], ["s", 1], ["x"], [["s"]], [{}]])
def test_each_is_chosen_at_most_once_and_only_if_offered(value):
    assert complaint(ROOM_S, value=value) == "Please choose from the options, each at most once."


def test_several_choices_come_as_a_list():
    assert complaint(ROOM_S, value="s") == "Please choose from the options."


# -- forms ----------------------------------------------------------------------------------


def test_a_form_is_filled_in_by_an_object_that_fits_its_schema():
    assert given_value(PERSON, {"name": "Ada", "age": 36}) == {"name": "Ada", "age": 36}
    assert said(PERSON, '{"name":"Ada"}') == {"name": "Ada"}


def test_a_complaint_about_a_form_names_the_field():
    assert complaint(PERSON, value={"name": "Ada", "age": -1}).startswith("age: ")
    assert '"name"' in complaint(PERSON, value={})
    assert complaint(PERSON, "Ada") == "Please fill in the form."


def test_a_complaint_about_a_long_answer_is_short():
    assert len(complaint(PERSON, value={"name": "Ada", "age": "x" * 50_000})) < 400


@pytest.mark.parametrize("depth", [300, DEEP])
def test_a_form_that_is_nested_too_deeply_is_no_answer(depth):
    text = '{"name":' + "[" * depth + "]" * depth + "}"

    assert complaint(PERSON, text)
    with pytest.raises(InvalidAnswer):
        read_answer(PERSON, Raw(text.encode()), "")


@pytest.mark.parametrize(
    "schema",
    [b'{"type":"zzz"}', b'{"$ref":"#/$defs/none"}', b'{"$ref":"http://127.0.0.1:9/x"}', b"3", b"["],
)
def test_a_form_without_a_usable_schema_cannot_be_answered_and_fetches_nothing(schema):
    question = FormQuestion(schema=Raw(schema))

    assert "no valid JSON schema" in complaint(question, value={})
    with pytest.raises(ValueError, match="valid JSON schema"):
        check_question(question)


DAY = dt.date(2026, 11, 21)
GOOD = Option(value="a", label="A")


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        (TextQuestion(min_length="1"), TypeError, "wrong type.*min_length"),
        (TextQuestion(max_length=10.5), TypeError, "wrong type.*max_length"),
        (TextQuestion(pattern=5), TypeError, "wrong type.*pattern"),
        (TextQuestion(pattern="\ud800"), TypeError, "cannot be stored.*plain text"),
        (TextQuestion(multiline=object()), TypeError, "cannot be stored.*plain text"),
        (TextQuestion(default=5), ValueError, "changes when it is stored"),
        (TextQuestion(default=Raw(b"5")), ValueError, "no answer to its own question"),
        (TextQuestion(default=Raw(b"{bad")), TypeError, "cannot be stored"),
        (TextQuestion(min_length=2, default=Raw(b'""')), ValueError, "at least 2 characters"),
        (TextQuestion(min_length=-1), ValueError, "minimum of 0 or more"),
        (TextQuestion(min_length=2, max_length=1), ValueError, "a maximum that is not less"),
        (NumberQuestion(minimum="5"), TypeError, "wrong type.*minimum"),
        (NumberQuestion(minimum=float("nan")), ValueError, "changes when it is stored"),
        (NumberQuestion(maximum=2**60 + 1), ValueError, "a float holds exactly"),
        (NumberQuestion(minimum=2, maximum=1), ValueError, "a minimum that is not greater"),
        (NumberQuestion(integer=True, minimum=0.2, maximum=0.8), ValueError, "no number"),
        (NumberQuestion(maximum=5, default=Raw(b"6")), ValueError, "at most 5"),
        (ConfirmQuestion(yes=None), TypeError, "wrong type.*yes"),
        (ConfirmQuestion(default=Raw(b"1")), ValueError, "no answer to its own question"),
        (DateQuestion(minimum="2026-11-21"), ValueError, "changes when it is stored"),
        (DateQuestion(maximum=DAY, minimum=DAY + dt.timedelta(1)), ValueError, "swap them"),
        (DateQuestion(minimum=DAY, default=Raw(b'"2026-11-20"')), ValueError, "not before"),
        (ChoiceQuestion(options=(5,)), TypeError, "wrong type.*options"),
        (ChoiceQuestion(options=[GOOD]), ValueError, "tuples where a tuple is declared"),
        (ChoiceQuestion(options=(Option(value=1, label="A"),)), TypeError, "options.*value"),
        (ChoiceQuestion(options=(Option(value="a", label=""),)), ValueError, "give each a label"),
        (ChoiceQuestion(options=(GOOD,), minimum=1, maximum=0), ValueError, "not less"),
        (ChoiceQuestion(options=(GOOD,), default=Raw(b'"b"')), ValueError, "choose one of"),
        (FileQuestion(accept=(5,)), TypeError, "wrong type.*accept"),
        (FileQuestion(minimum=2), ValueError, "how many files"),
        (FileQuestion(minimum=0, maximum=0), ValueError, "allows at least one"),
        (FileQuestion(max_bytes=0), ValueError, "one byte or more"),
        (FileQuestion(default=Raw(b"[]")), ValueError, "has no default"),
        (FormQuestion(schema={}), ValueError, "valid JSON schema"),
        (FormQuestion(schema=Raw(b"[" * 101 + b"]" * 101)), ValueError, "valid JSON schema"),
        (FormQuestion(schema=Raw(b"{}"), default=Raw(b"[" * 101 + b"]" * 101)), ValueError, "deep"),
    ],
)
def test_a_question_that_could_not_be_read_or_answered_is_its_authors_mistake(
    question, error, words
):
    with pytest.raises(error, match=words):
        check_question(question)


@pytest.mark.parametrize(
    "question",
    [
        TextQuestion(default=Raw(b'""')),
        TextQuestion(min_length=0, max_length=0),
        TextQuestion(pattern="[a-z]+", default=Raw(b'""')),
        NumberQuestion(integer=True, minimum=1.5, maximum=2.5),
        NumberQuestion(integer=True, minimum=1),
        NumberQuestion(minimum=1, maximum=1, default=Raw(b"1")),
        ConfirmQuestion(default=Raw(b"false")),
        DateQuestion(minimum=DAY, maximum=DAY, default=Raw(b'"2026-11-21"')),
        DateQuestion(minimum=DAY),
        ChoiceQuestion(options=(Option(value="", label="None"),), default=Raw(b'""')),
        ChoiceQuestion(options=(GOOD,), many=True, maximum=5, default=Raw(b"[]")),
        FileQuestion(minimum=0, maximum=3, max_bytes=1),
        FormQuestion(schema=Raw(b"{}"), default=Raw(b"{}")),
    ],
)
def test_a_question_that_somebody_could_answer_is_none(question):
    check_question(question)


# -- files ----------------------------------------------------------------------------------


def test_files_are_taken_by_their_media_type_or_ending():
    question = FileQuestion(accept=("image/*", ".PDF"), maximum=2)

    assert read_answer(question, None, "", [PNG, PDF]) == Raw(b'["f1","f2"]')
    assert read_answer(FileQuestion(accept=("application/PDF",)), None, "", [PDF]) == Raw(b'["f2"]')
    assert complaint(FileQuestion(accept=("image/png", ".gif")), files=[PDF]) == (
        "paper.pdf is not one of image/png, .gif."
    )


def test_the_number_and_the_size_of_files_are_bounded():
    assert complaint(FileQuestion()) == "Please attach a file."
    assert complaint(FileQuestion(minimum=2)) == "Please attach at least 2 files."
    assert complaint(FileQuestion(), files=[PNG, PDF]) == "Please attach at most 1."
    assert complaint(FileQuestion(max_bytes=1999), files=[PNG]) == (
        "photo.PNG is larger than 1,999 bytes."
    )


# -- defaults -------------------------------------------------------------------------------

DEFAULTS = [
    (TextQuestion(default=Raw(b'"Ada"'), min_length=2), "Ada"),
    (NumberQuestion(default=Raw(b"3")), 3),
    (ConfirmQuestion(default=Raw(b"false")), False),
    (DateQuestion(default=Raw(b'"2026-11-21"')), "2026-11-21"),
    (ChoiceQuestion(options=ROOMS, default=Raw(b'"s"')), "s"),
    (ChoiceQuestion(options=ROOMS, many=True, default=Raw(b'["s"]')), ["s"]),
    (FormQuestion(schema=PERSON.schema, default=Raw(b'{"name":"Ada"}')), {"name": "Ada"}),
]


@pytest.mark.parametrize(("question", "default"), DEFAULTS)
def test_an_empty_answer_means_the_default(question, default):
    assert said(question, "") == default
    assert said(question, " \n") == default
    assert given_value(question, None) == default


def test_an_empty_value_means_the_default_except_where_it_may_be_chosen():
    nothing = ChoiceQuestion(options=(*ROOMS, Option(value="", label="None")), default=Raw(b'"s"'))

    assert given_value(DEFAULTS[0][0], "") == "Ada"
    assert given_value(nothing, "") == ""


def test_words_count_where_a_value_is_null():
    assert read_answer(NumberQuestion(default=Raw(b"3")), Raw(b"null"), "4") == Raw(b"4.0")


# -- a question nobody could answer ---------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        (TextQuestion(pattern="("), "no regular expression"),
        (ChoiceQuestion(options=()), "at least one option"),
        (ChoiceQuestion(options=(ROOMS[0], ROOMS[0])), "same value"),
        (ChoiceQuestion(options=ROOMS, many=True, minimum=4), "cannot want 4"),
    ],
)
def test_a_question_that_nobody_could_answer_is_its_authors_mistake(question, problem):
    with pytest.raises(ValueError, match=problem):
        check_question(question)


def test_a_question_that_can_be_answered_is_none():
    for question in (TextQuestion(pattern="a+"), NumberQuestion(), ROOM, PERSON):
        check_question(question)


def test_a_pattern_that_is_no_regular_expression_any_more_refuses_all_answers():
    assert "no regular expression" in complaint(TextQuestion(pattern="("), "a")


# -- how an answer reads --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "value", "text"),
    [
        (TextQuestion(), b'"Ada"', "Ada"),
        (NumberQuestion(), b"2.5", "2.5"),
        (NumberQuestion(integer=True), b"2", "2"),
        (ConfirmQuestion(yes="Ja", no="Nein"), b"true", "Ja"),
        (ConfirmQuestion(yes="Ja", no="Nein"), b"false", "Nein"),
        (DateQuestion(), b'"2026-11-21"', "2026-11-21"),
        (ROOM, b'"s"', "Single"),
        (ROOM_S, b'["s","2"]', "Single, Suite"),
        (ROOM, b'"from a default"', "from a default"),
        (PERSON, b'{"first_name":"Ada","age":36}', "First name: Ada\nAge: 36"),
        (PERSON, b"[1]", "[1]"),
    ],
)
def test_an_answer_reads_as_the_user_would_put_it(question, value, text):
    assert describe_answer(question, Raw(value)) == text


def test_an_answer_of_files_reads_as_their_names():
    assert describe_answer(FileQuestion(maximum=2), Raw(b"[]"), [PNG, PDF]) == (
        "photo.PNG, paper.pdf"
    )


# -- whatever is answered -------------------------------------------------------------------

offered = st.lists(
    st.builds(OfferedFile, id=any_texts, name=any_texts, type=any_texts, size=st.integers(0, 99)),
    max_size=3,
)
answers = st.none() | hostile_json | st.binary(max_size=20) | json_values.map(msgspec.json.encode)
PLAIN = st.sampled_from(
    [
        TextQuestion(),
        NumberQuestion(),
        NumberQuestion(integer=True, minimum=0, maximum=5),
        ConfirmQuestion(),
        DateQuestion(),
        ROOM,
        ROOM_S,
        PERSON,
        FormQuestion(schema=Raw(b"true")),
        FileQuestion(),
    ]
)


@given(PLAIN | questions, answers, any_texts, offered)
@example(NumberQuestion(), b"9" * 400, "", [])
@example(TextQuestion(), None, "\ud800", [])
@example(TextQuestion(), b'"\xff"', "", [])
@example(PERSON, b'{"name":"\xff"}', "", [])
@example(PERSON, b"[" * DEEP, "", [])
@example(PERSON, None, '{"name":"\ud800"}', [])
@example(FormQuestion(schema=Raw(b"true")), b"[" * 500 + b"]" * 500, "", [])
def test_every_answer_fits_or_is_refused_with_a_sentence(question, value, text, files):
    with contextlib.suppress(InvalidAnswer):
        found = read_answer(question, None if value is None else Raw(value), text, files)
        decoded = msgspec.json.decode(found)
        describe_answer(question, found, files).encode()
        assert not isinstance(decoded, float) or math.isfinite(decoded)


@given(PLAIN, answers)
def test_what_was_accepted_is_accepted_again(question, value):
    if isinstance(question, FileQuestion):
        return
    with contextlib.suppress(InvalidAnswer):
        found = read_answer(question, None if value is None else Raw(value), "")
        assert read_answer(question, found, "") == found


@pytest.mark.parametrize(
    ("question", "text", "code", "values"),
    [
        (TextQuestion(), "", "words", {}),
        (TextQuestion(min_length=3), "a", "longer", {"low": "3"}),
        (TextQuestion(max_length=3), "abcd", "shorter", {"high": "3"}),
        (TextQuestion(pattern="x"), "y", "pattern", {}),
        (NumberQuestion(), "x", "number", {}),
        (NumberQuestion(integer=True), "1.5", "whole", {}),
        (NumberQuestion(), "1,000", "thousands", {}),
        (NumberQuestion(minimum=2), "1", "at_least", {"low": "2"}),
        (NumberQuestion(maximum=2.5), "3", "at_most", {"high": "2.5"}),
        (ConfirmQuestion(), "perhaps", "confirm", {"yes": "Yes", "no": "No"}),
        (DateQuestion(), "x", "date", {}),
        (FileQuestion(), "", "file", {}),
        (FileQuestion(minimum=2, maximum=2), "", "files_least", {"low": "2"}),
    ],
)
def test_why_an_answer_is_none_is_said_by_a_code_too(question, text, code, values):
    with pytest.raises(InvalidAnswer) as invalid:
        read_answer(question, None, text)

    assert (invalid.value.code, invalid.value.values) == (code, values)
    assert str(invalid.value)
