from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from parlour.events import (
    EVENT_TYPES,
    MessageAdded,
    QuestionAsked,
    UnknownEvent,
    decode_chunk,
    decode_event,
    encode_chunk,
    encode_event,
    encode_events,
    split_chunk,
)
from parlour.questions import ChoiceQuestion, Option, TextQuestion
from strategies import DEEP, events, hostile_json, mutated, unknown_events

some_events = events | unknown_events


@pytest.mark.promise("P16")
@given(some_events)
def test_what_is_decoded_from_an_encoded_event_equals_it(event):
    assert decode_event(encode_event(event)) == event


@pytest.mark.promise("P16")
@given(st.lists(some_events, max_size=6))
def test_a_chunk_gives_back_its_events_in_their_order(several):
    chunk = encode_chunk(map(encode_event, several))

    assert decode_chunk(chunk) == several
    assert encode_events(several) == chunk
    assert [decode_event(raw) for raw in split_chunk(chunk)] == several
    assert [bytes(raw) for raw in split_chunk(chunk)] == [encode_event(event) for event in several]


@given(events)
def test_an_events_bytes_are_one_json_object_that_names_its_type(event):
    plain = msgspec.json.decode(encode_event(event))

    assert plain["type"] == type(event).__name__


@pytest.mark.promise("P16")
@given(unknown_events)
def test_an_event_of_a_later_vocabulary_passes_through_unchanged(event):
    data = bytes(event.raw)

    found = decode_event(data)

    assert isinstance(found, UnknownEvent)
    assert found.type == event.type
    assert encode_event(found) == data


@pytest.mark.promise("P16")
def test_fields_of_a_later_version_are_ignored():
    found = decode_event(
        b'{"type":"MessageAdded","role":"bot","text":"hi","path":"p","mood":"merry"}'
    )

    assert found == MessageAdded(role="bot", text="hi", path="p")


@pytest.mark.parametrize("default", [b'"a"', b"7", b"1.5", b"true", b'["a","b"]', b'{"a":1}'])
def test_a_question_with_a_default_of_any_kind_is_read_again(default):
    question = ChoiceQuestion(options=(Option(value="a", label="A"),), default=Raw(default))
    asked = QuestionAsked(path="ask#1", text="Which?", question=question)

    assert decode_event(encode_event(asked)) == asked


def test_a_known_type_with_a_missing_field_is_no_unknown_event():
    with pytest.raises(msgspec.ValidationError, match="role"):
        decode_event(b'{"type":"MessageAdded","text":"hi"}')


def test_an_empty_chunk_has_no_events():
    assert decode_chunk(encode_chunk([])) == []


def test_every_event_is_frozen():
    asked = QuestionAsked(path="ask#1", text="?", question=TextQuestion())

    with pytest.raises(AttributeError):
        asked.text = "!"


def test_every_event_has_a_name_of_its_own():
    assert len({kind.__name__ for kind in EVENT_TYPES}) == len(EVENT_TYPES)


@given(st.binary(max_size=60) | hostile_json | mutated(some_events.map(encode_event)))
@example(b'{"type":"SignalReceived","name":"x","data":' + b"[" * DEEP + b"]" * DEEP + b"}")
@example(b'{"type":"Later","data":' + b"[" * DEEP + b"]" * DEEP + b"}")
@example(b'{"type":"TimerSet","path":"x","due":1e400}')
@example(b'{"type":"RoundStarted","cause":"open","round":' + b"9" * 5000 + b"}")
@example(b'{"type":"SessionOpened","user":"\xff"}')
@example(b'{"type":"Later\xff"}')
@example(b'{"type":"Later","type":"MessageAdded"}')
def test_bytes_are_an_event_or_raise_decode_error(data):
    for read in (decode_event, lambda data: decode_chunk(b"[" + data + b"]"), decode_chunk):
        try:
            found = read(data)
        except msgspec.DecodeError:
            continue
        for event in found if isinstance(found, list) else [found]:
            encode_event(event)


@given(st.binary(max_size=60) | hostile_json)
@example(b"[" + b"[" * DEEP)
def test_bytes_are_a_chunk_or_raise_decode_error(data):
    with contextlib.suppress(msgspec.DecodeError):
        split_chunk(data)
