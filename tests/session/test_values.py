from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import math
import os
import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from parlour.errors import NotStorable
from parlour.session.values import KINDS, decode_value, digest, encode_value
from strategies import DEEP, any_texts, hostile_json, json_values

WHEN = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@dataclasses.dataclass
class Guest:
    name: str
    nights: list[dt.date] = dataclasses.field(default_factory=list)
    price: float = 0.0


class Room(msgspec.Struct):
    number: int
    free: bool = True


class Booking(pydantic.BaseModel):
    guest: str
    at: dt.datetime
    price: float = 0.0


class Colour(enum.Enum):
    RED = "red"


def kept(value: object) -> object:
    data, kind = encode_value(value)
    return decode_value(data, kind)


def test_what_json_has_comes_back_as_it_was():
    for value in (None, True, 0, -1, 2**70, 1.5, "", "ü", [], [1, [2]], {}, {"a": {"b": None}}):
        assert kept(value) == value
        assert type(kept(value)) is type(value)


@given(json_values)
def test_all_json_comes_back_as_it_was(value):
    assert kept(value) == value


offsets = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(
    lambda offset: dt.timezone(dt.timedelta(minutes=offset // dt.timedelta(minutes=1)))
)


@given(
    st.datetimes()
    | st.datetimes(timezones=offsets)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.binary(max_size=40)
)
@example(WHEN)
@example(dt.timedelta.max)
@example(dt.timedelta.min)
@example(Decimal("1.10"))
@example(Decimal("-Infinity"))
def test_types_that_json_lacks_come_back_without_being_declared(value):
    found = kept(value)

    assert found == value
    assert type(found) is type(value)
    assert str(found) == str(value)


def test_every_kind_is_a_type_that_comes_back():
    samples = [
        WHEN,
        dt.date(2026, 11, 21),
        dt.time(12),
        dt.timedelta(1),
        UUID(int=1),
        Decimal(1),
        b"1",
        bytearray(b"1"),
        memoryview(b"1"),
    ]

    assert {type(sample) for sample in samples} == set(KINDS)
    for sample in samples:
        assert kept(sample) == sample


def test_what_is_declared_comes_back_as_itself():
    guest = Guest("Ada", [dt.date(2026, 11, 21)], 2.5)
    booking = Booking(guest="Ada", at=WHEN)

    assert decode_value(*encode_value(guest), Guest) == guest
    assert decode_value(*encode_value(Room(7)), Room) == Room(7)
    assert decode_value(*encode_value(booking), Booking) == booking
    assert decode_value(*encode_value(Colour.RED), Colour) is Colour.RED
    assert decode_value(*encode_value((1, 2)), tuple[int, int]) == (1, 2)
    assert decode_value(*encode_value({1: "a"}), dict[int, str]) == {1: "a"}
    assert decode_value(*encode_value([Decimal("1.0")]), list[Decimal]) == [Decimal("1.0")]


def test_what_is_not_declared_comes_back_as_plain_json():
    assert kept(Guest("Ada", [dt.date(2026, 11, 21)])) == {
        "name": "Ada",
        "nights": ["2026-11-21"],
        "price": 0.0,
    }
    assert kept(Room(7)) == {"number": 7, "free": True}
    assert kept(Colour.RED) == "red"
    assert kept((1, 2)) == [1, 2]
    assert kept({1: "a"}) == {"1": "a"}
    assert kept({3}) == [3]
    assert kept([dt.date(2026, 11, 21)]) == ["2026-11-21"]


def test_a_kind_of_a_later_version_comes_back_as_plain_json():
    assert decode_value(Raw(b'"a/b"'), "path") == "a/b"


class Text(str):
    __slots__ = ()


class Wild:
    def model_dump(self, *, mode: str) -> object:
        raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (object(), "object"),
        (print, "builtin_function_or_method"),
        (int, "type"),
        (1j, "complex"),
        (iter(()), "tuple_iterator"),
        (Text("a"), "Text"),
        ([{"a": object()}], "object"),
        ({(1, 2): 3}, "tuple"),
        (Guest(name=object()), "object"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_type_and_the_cure(value, type_):
    with pytest.raises(NotStorable, match=f"of type {type_} .*session.local.*on_wake"):
        encode_value(value)


def test_what_cannot_be_stored_is_a_type_error_for_those_who_know_nothing_of_parlour():
    with pytest.raises(TypeError):
        encode_value(object())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda number: number,
        lambda number: [None, number],
        lambda number: {"a": {"b": (1, number)}},
        lambda number: {number},
        lambda number: Guest("Ada", price=number),
        lambda number: [Booking(guest="Ada", at=WHEN, price=number)],
    ],
)
def test_numbers_that_json_lacks_are_refused_wherever_they_are(wrap, number):
    with pytest.raises(NotStorable, match=f"{number} cannot be stored.*use None"):
        encode_value(wrap(number))


def test_none_and_the_word_null_are_no_such_numbers():
    for value in (None, [None], {"null": "null"}, {"a": [None, 1.5, (2, "null")]}):
        encode_value(value)


def test_a_list_that_holds_itself_or_is_nested_without_end_is_refused():
    own: list[object] = []
    own.append(own)
    deep: list[object] = []
    for _ in range(DEEP):
        deep = [deep]

    for value in (own, deep, [None, own]):
        with pytest.raises(NotStorable, match="a list that is nested too deeply, or holds itself"):
            encode_value(value)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a", ["\ud800"]]])
def test_text_that_unicode_cannot_hold_is_refused(value):
    with pytest.raises(NotStorable, match="surrogates"):
        encode_value(value)


def test_a_number_with_too_many_digits_is_refused():
    with pytest.raises(NotStorable, match="a int cannot be stored"):
        encode_value(10**5000)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Raw(b"{bad"), "malformed"),
        ([Raw(b"1e400")], "out of range"),
        ({"a": Raw(b'"\xff"')}, "cannot be stored"),
        (Raw(b'{"a":1,"a":2}'), "two keys that are both 'a'"),
        ({1: "a", "1": "b"}, "two keys that are both '1'"),
        ([{"b": {1.0: 1, "1.0": 2}}], "two keys that are both '1.0'"),
        (-(10**4299), "out of range"),
        (Decimal("sNaN"), "signalling NaN"),
        (WHEN.replace(tzinfo=dt.timezone(dt.timedelta(seconds=3208))), "convert it to UTC first"),
        (dt.time(1, tzinfo=dt.timezone(dt.timedelta(seconds=-1))), "convert it to UTC first"),
        ({"a": [[[[]]]] * 50 + [eval("[" * 90 + "]" * 90)]}, None),
        ({"a": eval("[" * 99 + "]" * 99)}, None),
        ({"a": eval("[" * 50 + "{'b':" * 50 + "1" + "}" * 50 + "]" * 50)}, "nested too deeply"),
        (Wild(), "could not be dumped .no such thing"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_no_reader_could_take_back_is_refused_when_it_is_written(value, words):
    if words is None:
        assert kept(value) == value
    else:
        with pytest.raises(NotStorable, match=words):
            encode_value(value)


@pytest.mark.parametrize("value", [Raw(b' {"a": [1, 2]} '), [Raw(b"1.0")], 2**64, -(2**64), 10**40])
def test_what_is_written_in_another_way_is_read_all_the_same(value):
    assert msgspec.json.encode(kept(value)) == msgspec.json.encode(
        msgspec.json.decode(msgspec.json.encode(value))
    )


@given(
    hostile_json | st.binary(max_size=20) | json_values.map(msgspec.json.encode),
    st.sampled_from([*KINDS.values(), "", "later"]),
    st.sampled_from([None, int, str, Guest, Room, Booking, Colour, list[int], dt.date, bytes]),
)
def test_whatever_is_stored_comes_back_or_is_refused(data, kind, type_):
    with contextlib.suppress(NotStorable):
        if type_ is None:
            decode_value(Raw(data), kind)
        else:
            decode_value(Raw(data), kind, type_)


def test_what_does_not_fit_the_declared_type_names_it():
    with pytest.raises(NotStorable, match="what is stored is no int"):
        decode_value(Raw(b'"a"'), "", int)
    with pytest.raises(NotStorable, match="what is stored is no Booking"):
        decode_value(Raw(b"{}"), "", Booking)
    with pytest.raises(NotStorable, match="what is stored is no datetime"):
        decode_value(Raw(b'"a"'), "datetime")
    with pytest.raises(NotStorable, match="what is stored is no JSON"):
        decode_value(Raw(b"1e400"), "")


# -- fingerprints ---------------------------------------------------------------------------


@given(st.lists(json_values, max_size=4))
def test_equal_arguments_have_equal_fingerprints(parts):
    assert digest(*parts) == digest(*parts)


def test_a_fingerprint_is_the_same_in_every_process():
    assert digest("book", 1, {"a": [None]}) == "8d2f38f18379f965"


def test_what_has_no_order_has_the_same_fingerprint_in_every_process():
    code = (
        "from parlour.session.values import digest;"
        "print(digest({'b', 'a', 'c', 'd'}, {'x': 1, 'y': frozenset('abcd')}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(found) == 1
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_other_arguments_have_other_fingerprints():
    found = [digest(), digest(""), digest("a"), digest("a", "b"), digest("ab"), digest(["a", "b"])]

    assert len(set(found)) == len(found)


class Angry:
    @property
    def model_dump(self) -> object:
        raise RuntimeError


def test_what_cannot_be_encoded_counts_by_its_type_alone():
    assert digest(object()) == digest(object())
    assert digest(object()) != digest(1j)
    assert digest(Angry()) == digest(Angry())


@given(any_texts)
def test_any_text_has_a_fingerprint(text):
    assert len(digest(text)) == 16
