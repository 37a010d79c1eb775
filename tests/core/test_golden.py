"""What logs of released versions hold stays readable (docs/promises.md, P16).

A golden file that differs is not to be written anew: the change breaks the logs of the world.
"""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from golden_events import FOLDER, FULL, LEAST, QUESTIONS, golden, golden_state

from parlour.events import EVENT_TYPES, AnyEvent, decode_chunk, decode_event, encode_event
from parlour.questions import Question
from parlour.state import SNAPSHOT_VERSION, Window, decode_snapshot, encode_snapshot

EVENTS = golden()


def test_every_event_has_golden_files():
    assert {type(event) for event in FULL} == set(EVENT_TYPES) == set(get_args(AnyEvent))
    assert {type(event) for event in LEAST} == set(EVENT_TYPES)
    assert {type(full) for full, _ in QUESTIONS.values()} == set(get_args(Question))


def test_no_golden_file_has_lost_its_test():
    assert {path.name for path in (FOLDER / "v1").iterdir()} == set(EVENTS)


@pytest.mark.promise("P16")
@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_event_is_read_as_it_was_meant_and_written_as_it_was(name):
    data = (FOLDER / "v1" / name).read_bytes()

    assert decode_event(data) == EVENTS[name]
    assert decode_chunk(b"[" + data + b"]") == [EVENTS[name]]
    assert encode_event(EVENTS[name]) == data


@pytest.mark.parametrize("event", FULL, ids=lambda event: type(event).__name__)
def test_a_full_golden_event_shows_every_field(event):
    shown = msgspec.json.decode(encode_event(event))

    assert list(shown) == ["type", *type(event).__struct_fields__]


@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_full_golden_question_shows_every_field(kind):
    full, _ = QUESTIONS[kind]
    shown = msgspec.json.decode(msgspec.json.encode(full))

    assert list(shown) == ["kind", *type(full).__struct_fields__]
    assert shown["kind"] == kind


@pytest.mark.parametrize("event", LEAST, ids=lambda event: type(event).__name__)
def test_a_least_golden_event_shows_only_what_has_no_default(event):
    shown = msgspec.json.decode(encode_event(event))
    needed = [field.name for field in msgspec.structs.fields(event) if field.required]

    assert list(shown) == ["type", *needed]


def test_a_changed_shape_of_the_state_has_a_new_snapshot_version():
    """If this fails, let SNAPSHOT_VERSION grow: old snapshots are then refolded, not misread."""
    data = (FOLDER / f"snapshot-{SNAPSHOT_VERSION}.json").read_bytes()

    assert decode_snapshot(data, Window()) == golden_state()
    assert encode_snapshot(golden_state()) == data


def test_a_snapshot_of_another_version_is_not_read():
    data = (FOLDER / f"snapshot-{SNAPSHOT_VERSION}.json").read_bytes()
    current, other = f'"version":{SNAPSHOT_VERSION}', f'"version":{SNAPSHOT_VERSION + 1}'

    assert decode_snapshot(data.replace(current.encode(), other.encode()), Window()) is None
