from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from parlour.storable import MAX_DEPTH, read_json, text_size, twin_key
from strategies import DEEP, any_texts, hostile_json, json_values, texts


@given(texts)
def test_a_text_has_the_size_of_its_utf_8(text):
    assert text_size(text) == len(text.encode())


class Words(str):
    __slots__ = ()


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", None, 5, b"bytes", Words("a")])
def test_what_utf_8_cannot_hold_and_what_is_no_text_has_no_size(text):
    assert text_size(text) == -1


@given(json_values)
def test_json_is_read_as_it_was_written(value):
    assert read_json(msgspec.json.encode(value)) == value


@given(hostile_json | any_texts.map(lambda text: text.encode(errors="surrogatepass")))
def test_whatever_is_read_is_json_or_a_value_error(data):
    try:
        value = read_json(Raw(data))
    except ValueError:
        return
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@pytest.mark.parametrize("wrap", [b"[%s]", b'{"a":%s}', b'[0,%s,"]"]', b'{"]}\\"[{":%s}'])
def test_json_may_be_nested_so_deep_and_no_deeper(wrap):
    data = b"1"
    for _ in range(MAX_DEPTH):
        data = wrap % data
    read_json(data)

    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(wrap % data)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(b"[" * DEEP + b"]" * DEEP)


@given(st.lists(st.sampled_from(["[]", '"[[["', '{"a":[]}', '"\\\\"']), min_size=MAX_DEPTH))
def test_what_is_long_but_not_deep_is_read(items):
    data = f"[{','.join(items)}]"

    assert read_json(data.encode()) == json.loads(data)


def test_a_key_that_stands_twice_is_found_wherever_it_is():
    assert twin_key(b'{"a":1,"b":{"a":2}}') is None
    assert twin_key(b'{"a":1,"b":2,"a":3}') == "a"
    assert twin_key(b'[{"a":[{"b":1,"b":1}]}]') == "b"
