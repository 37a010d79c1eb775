"""Hypothesis strategies for Parlour's vocabulary, made from its own declarations."""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, Raw, Struct, UnsetType

from parlour.events import EVENT_TYPES, Event, UnknownEvent
from parlour.questions import Question

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
"""What UTF-8 can hold: everything but lone surrogates."""

any_texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["", " ", "\ud800", "a\udcff", "\x00", "\u2028", "1e400", "9" * 5000, "NaN", "inf", "-inf"]
)
"""All that a Python string can hold."""

times = st.floats(0, 4e9)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)

raws = json_values.map(lambda value: Raw(msgspec.json.encode(value)))

DEEP = 100_000
hostile_json = st.sampled_from(
    [
        b"",
        b" ",
        b"nul",
        b"NaN",
        b"Infinity",
        b"-",
        b"1e400",
        b"-1e400",
        b"9" * 5000,
        b"9" * 4300,
        b"9" * 400,
        b"18446744073709551616",
        b"1.0",
        b"-0.0",
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\xff\xfe"',
        b'"\\u0000"',
        b"\xef\xbb\xbf1",
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP,
        b'{"a":1,"a":2}',
        b'["a","a"]',
        b"[[1]]",
        b"[{}]",
        b'{"":{}}',
        b"[1e400]",
        b'{"a":"\\ud800"}',
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    ]
)
"""JSON, or nearly, of the kinds that break readers."""


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values that a field declared as `hint` may have."""
    origin = get_origin(hint)
    if origin is Literal:
        return st.sampled_from(get_args(hint))
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(of_type(part) for part in get_args(hint)))
    if origin is tuple:
        return st.lists(of_type(get_args(hint)[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(texts, of_type(get_args(hint)[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return structs(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(0, 2**53),
        float: times,
        bool: st.booleans(),
        Raw: raws,
        type(None): st.none(),
        UnsetType: st.just(UNSET),
        dt.date: st.dates(),
    }
    return plain[hint]


def structs(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of a struct with any values in all its fields."""
    hints = typing.get_type_hints(kind)
    fields = {name: of_type(hints[name]) for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


questions: st.SearchStrategy[Any] = st.one_of(*(structs(kind) for kind in get_args(Question)))

events: st.SearchStrategy[Event] = st.one_of(*(structs(kind) for kind in EVENT_TYPES))

unknown_events = st.builds(
    lambda name, body: UnknownEvent(
        type=name, raw=Raw(msgspec.json.encode({"type": name, **body}))
    ),
    texts.map("Later{}".format),
    st.dictionaries(texts.filter(lambda key: key != "type"), json_values, max_size=3),
)


def prefixes(items: list[Any]) -> Iterator[list[Any]]:
    """All beginnings of a list, the empty and the whole one among them."""
    for end in range(len(items) + 1):
        yield items[:end]


def mutated(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Valid bytes with a few of them replaced, cut out or repeated."""

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(valid))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            change = draw(st.sampled_from(["cut", "set", "twice", "hostile"]))
            if change == "cut":
                del data[at : at + draw(st.integers(1, 8))]
            elif change == "set":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=3))
            elif change == "twice":
                data[at:at] = data[max(0, at - 8) : at]
            else:
                data[at:at] = draw(hostile_json)
        return bytes(data)

    return build()
