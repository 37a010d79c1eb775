from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from parlour.errors import Refused
from parlour.events import (
    SETTINGS,
    CellWritten,
    CostAdded,
    FeedbackGiven,
    FileRef,
    MessageAdded,
    PartStreamed,
    ProgressShown,
    QuestionAsked,
    RoundFinished,
    SessionOpened,
    StepFinished,
    StepRaised,
    TextStreamed,
    UserVariableSet,
    VariableSet,
    encode_event,
    encode_events,
)
from parlour.questions import FormQuestion, Question
from parlour.settings import Limits
from parlour.transports.codecs import native
from parlour.transports.codecs.native import (
    AnswerFrame,
    AttachFrame,
    CloseFrame,
    ConfigureFrame,
    DetachFrame,
    HelloFrame,
    KeysFrame,
    OpenFrame,
    PingFrame,
    RateFrame,
    SayFrame,
    SignalFrame,
    StopFrame,
    decode_message,
    encode_records,
)
from strategies import DEEP, any_texts, events, texts, unknown_events

WIRE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
DOCUMENTED = set(
    re.findall(
        r"^\| `([A-Z]\w+)` \|",
        WIRE.partition("## Events that are sent")[2].partition("### ")[0],
        flags=re.MULTILINE,
    )
)

FRAMES = [
    ('{"t":"hello","versions":[1]}', HelloFrame(versions=[1])),
    ('{"t":"hello","versions":[2,1],"resume":"x"}', HelloFrame(versions=[2, 1], resume="x")),
    ('{"t":"open","id":"o"}', OpenFrame(id="o")),
    ('{"t":"attach","session":"s"}', AttachFrame(session="s")),
    ('{"t":"attach","session":"s","after":7}', AttachFrame(session="s", after=7)),
    ('{"t":"detach","session":"s"}', DetachFrame(session="s")),
    ('{"t":"say","session":"s","id":"c","text":"hi"}', SayFrame(session="s", id="c", text="hi")),
    (
        '{"t":"say","session":"s","id":"c","files":["f"],"later":[{}]}',
        SayFrame(session="s", id="c", files=["f"]),
    ),
    (
        '{"t":"answer","session":"s","id":"c","question":7,"text":"hi","files":["f"]}',
        AnswerFrame(session="s", id="c", question=7, text="hi", files=["f"]),
    ),
    ('{"t":"stop","session":"s","id":"c"}', StopFrame(session="s", id="c")),
    ('{"t":"stop","session":"s","id":"c","round":3}', StopFrame(session="s", id="c", round=3)),
    (
        '{"t":"signal","session":"s","id":"c","name":"n","data":{"a":1}}',
        SignalFrame(session="s", id="c", name="n", data=Raw(b'{"a":1}')),
    ),
    (
        '{"t":"signal","session":"s","id":"c","name":"n"}',
        SignalFrame(session="s", id="c", name="n"),
    ),
    ('{"t":"close","session":"s","id":"c"}', CloseFrame(session="s", id="c")),
    ('{"t":"ping"}', PingFrame()),
    (
        '{"t":"hello","versions":[1],"env":{"KEY":"k"}}',
        HelloFrame(versions=[1], env={"KEY": "k"}),
    ),
    (
        '{"t":"open","id":"o","profile":"desk","settings":{"a":1}}',
        OpenFrame(id="o", profile="desk", settings=Raw(b'{"a":1}')),
    ),
    (
        '{"t":"rate","session":"s","id":"c","message":7,"rating":"up","reason":"yes"}',
        RateFrame(session="s", id="c", message=7, rating="up", reason="yes"),
    ),
    (
        '{"t":"configure","session":"s","id":"c","settings":{"a":1}}',
        ConfigureFrame(session="s", id="c", settings=Raw(b'{"a":1}')),
    ),
    ('{"t":"keys","env":{"KEY":""}}', KeysFrame(env={"KEY": ""})),
]


# -- from the client ------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "frame"), FRAMES)
def test_a_documented_frame_is_read(line, frame):
    assert decode_message(line) == [frame]


@pytest.mark.parametrize("value", ["7", "1.5", "true", '"a"', "null", '["a","b"]', '{"a":[1]}'])
def test_an_answer_may_be_any_json_value(value):
    line = f'{{"t":"answer","session":"s","id":"c","question":7,"value":{value}}}'

    assert decode_message(line) == [
        AnswerFrame(session="s", id="c", question=7, value=Raw(value.encode()))
    ]


def test_an_answer_without_a_value_has_none():
    (frame,) = decode_message('{"t":"answer","session":"s","id":"c"}')

    assert isinstance(frame, AnswerFrame)
    assert frame.value is UNSET


def test_a_message_holds_many_frames_and_a_malformed_one_harms_no_other():
    frames = decode_message('{"t":"ping"}\n\n{"t":"pig"}\n{"t":"close","session":"s","id":"c"}\n')

    assert frames[0] == PingFrame()
    assert isinstance(frames[1], Refused)
    assert frames[2] == CloseFrame(session="s", id="c")
    assert len(frames) == 3


@pytest.mark.promise("P12")
def test_a_message_holds_so_many_frames_and_no_more():
    assert len(decode_message("\n".join(['{"t":"ping"}'] * 256))) == 256

    (refused,) = decode_message("\n".join(['{"t":"ping"}'] * 257))
    assert isinstance(refused, Refused)
    assert refused.code == "invalid"


hostile = st.sampled_from(
    [
        "null",
        "[]",
        '{"t":',
        '{"t":1}',
        '{"t":"' + "x" * 5000 + '"}',
        '{"t":"ping","t":"pig"}',
        '{"t":"say","session":"s"}',
        '{"t":"say","session":"s","id":1}',
        '{"t":"say","session":"\ud800","id":"c"}',
        '{"t":"say","session":"s","id":"c","text":"\\ud800"}',
        '{"t":"say","session":"s","id":"c","files":"f"}',
        '{"t":"hello","versions":["1"]}',
        '{"t":"attach","session":"s","after":-1}',
        '{"t":"attach","session":"s","after":1.5}',
        '{"t":"attach","session":"s","after":1e400}',
        '{"t":"attach","session":"s","after":9223372036854775808}',
        '{"t":"attach","session":"s","after":' + "9" * 5000 + "}",
        '{"t":"stop","session":"s","id":"c","round":-1}',
        '{"t":"answer","session":"s","id":"c","question":-1}',
        '{"t":"answer","session":"s","id":"c","value":NaN}',
        '{"t":"answer","session":"s","id":"c","value":' + "[" * DEEP + "]" * DEEP + "}",
        "[" * DEEP,
        '{"t":"ping","later":' + "[" * DEEP,
        '{"t":"ping","later":' + "[" * DEEP + "]" * DEEP + "}",
    ]
)


@given(hostile)
def test_what_is_no_frame_is_refused_briefly(line):
    (refused,) = decode_message(line)

    assert isinstance(refused, Refused)
    assert refused.code == "invalid"
    assert len(refused.message) < 300
    assert msgspec.json.decode(native.encode_refusal(refused))["code"] == "invalid"


@st.composite
def damaged(draw: st.DrawFn) -> str:
    line = draw(st.sampled_from([line for line, _ in FRAMES]))
    at = draw(st.integers(0, len(line)))
    cut = draw(st.integers(0, 5))
    return line[:at] + draw(any_texts) + line[at + cut :]


@given(st.text(st.characters(), max_size=60) | hostile | damaged())
@example("\n" * 300)
@example("\ud800")
def test_any_message_is_frames_and_refusals(message):
    for frame in decode_message(message):
        if isinstance(frame, Refused):
            assert frame.code == "invalid"
            native.encode_refusal(frame)
        else:
            msgspec.json.encode(frame)


# -- to the client --------------------------------------------------------------------------


def shown(several, first: int = 1):
    return msgspec.json.decode(encoded(several, first, 1763726400.1234))


def encoded(several, first: int = 1, at: float = 0.0):
    return encode_records("s1", first, at, several, encode_events(several))


def test_the_events_that_are_sent_are_those_that_are_documented():
    assert {kind.__name__ for kind in native.PUBLIC} == DOCUMENTED
    assert DOCUMENTED.isdisjoint(
        {"VariableSet", "UserVariableSet", "StepFinished", "StepRaised", "CellWritten", "CostAdded"}
    )


def test_every_frame_and_kind_of_question_is_documented():
    for line, _ in FRAMES:
        assert f'{{"t":"{msgspec.json.decode(line)["t"]}"' in WIRE
    for frame in (
        "hello",
        "records",
        "live",
        "delta",
        "part",
        "progress",
        "ack",
        "refused",
        "pong",
    ):
        assert f'{{"t":"{frame}"' in WIRE
    for kind in get_args(Question):
        assert f"\n| `{kind.__struct_config__.tag}` |" in WIRE


@given(st.lists(events | unknown_events, min_size=1, max_size=6), st.integers(1, 2**40))
def test_a_frame_covers_its_records_and_shows_those_that_are_public(several, first):
    frame = shown(several, first)

    assert list(frame) == ["t", "session", "after", "at", "records"]
    assert (frame["t"], frame["session"]) == ("records", "s1")
    assert frame["after"] == first - 1
    assert frame["at"] == 1763726400.123
    assert [event and event["type"] for event in frame["records"]] == [
        type(event).__name__ if type(event).__name__ in DOCUMENTED else None for event in several
    ]


@pytest.mark.promise("P2")
@given(st.lists(st.lists(events, min_size=1, max_size=3), min_size=1, max_size=5))
def test_frames_follow_each_other_without_a_gap(commits):
    place = 0
    for commit in commits:
        frame = shown(commit, place + 1)
        assert frame["after"] == place
        place += len(frame["records"])
    assert place == sum(map(len, commits))


@given(st.lists(events | unknown_events, min_size=1, max_size=6))
def test_a_frame_is_one_line_of_json_as_browsers_read_it(several):
    frame = encoded(several)

    assert "\n" not in frame
    json.loads(frame, parse_constant=pytest.fail)


def test_a_form_whose_schema_is_written_on_several_lines_is_one_frame():
    question = FormQuestion(schema=Raw(b'{\n  "type": "object"\n}'))
    asked = QuestionAsked(path="ask#1", text="a\nb", question=question)
    frame = encoded([asked])

    assert "\n" not in frame
    (event,) = msgspec.json.decode(frame)["records"]
    assert event["text"] == "a\nb"
    assert event["question"]["schema"] == {"type": "object"}


SECRET = "s3cret"
secrets = st.just(SECRET) | texts.map(lambda text: text + SECRET)
hidden = st.one_of(
    st.builds(SessionOpened, user=secrets, command=secrets),
    st.builds(VariableSet, name=secrets, value=st.just(Raw(b'"s3cret"')), kind=secrets),
    st.builds(UserVariableSet, name=secrets, value=st.just(Raw(b'"s3cret"')), path=secrets),
    st.builds(StepFinished, path=secrets, value=st.just(Raw(b'{"a":"s3cret"}'))),
    st.builds(StepRaised, path=secrets, error=secrets, reason=secrets),
    st.builds(CellWritten, path=secrets, code=secrets),
    st.builds(CostAdded, path=secrets, model=secrets, currency=secrets),
    st.builds(
        RoundFinished,
        round=st.integers(1, 9),
        status=st.sampled_from(["failed", "diverged"]),
        detail=secrets,
        again=st.booleans(),
    ),
    unknown_events.map(
        lambda event: msgspec.structs.replace(event, raw=Raw(b'{"type":"Later","a":"s3cret"}'))
    ),
)


@pytest.mark.promise("P13")
@given(st.lists(hidden, min_size=1, max_size=5))
def test_what_concerns_only_the_app_is_never_sent(several):
    assert SECRET not in encoded(several)


@pytest.mark.promise("P13")
@given(st.lists(events, min_size=1, max_size=6))
def test_no_frame_names_the_user_or_what_the_operator_is_told(several):
    for event in shown(several)["records"]:
        assert not {"user", "detail", "again"} & set(event or ())


def test_what_the_user_has_set_is_shown_and_the_keys_are_named_only():
    event = VariableSet(name=SETTINGS, value=Raw(b'{"units":"metric"}'), command="c1")

    assert shown([event])["records"] == [{"type": "SettingsChanged", "values": {"units": "metric"}}]
    assert native.encode_keys(["B", "A"]) == '{"t":"keys","names":["A","B"]}'


def test_a_rating_is_shown_without_what_the_app_makes_of_it():
    event = FeedbackGiven(message=7, rating="down", reason="Wrong.", command="c", answered=True)

    assert shown([event])["records"] == [
        {
            "type": "FeedbackGiven",
            "message": 7,
            "rating": "down",
            "reason": "Wrong.",
            "command": "c",
        }
    ]


def test_the_logs_own_bytes_are_sent():
    event = MessageAdded(role="bot", text="hi", files=(FileRef(id="f", name="n"),), path="reply#1")
    hidden = VariableSet(name="a", value=Raw(b"1"))
    bytes_ = encode_event(event).decode()

    assert encoded([event], 5, 1.0) == (
        f'{{"t":"records","session":"s1","after":4,"at":1.000,"records":[{bytes_}]}}'
    )
    assert encoded([hidden, event], 5, 1.0) == (
        f'{{"t":"records","session":"s1","after":4,"at":1.000,"records":[null,{bytes_}]}}'
    )


@given(any_texts.filter(lambda text: text.isascii()), texts, st.integers(0, 9))
def test_the_other_frames_are_as_documented(text, session, number):
    delta = TextStreamed(round=3, path="stream#1", offset=number, text=text)

    assert msgspec.json.decode(native.encode_delta(session, delta)) == {
        "t": "delta",
        "session": session,
        "round": 3,
        "path": "stream#1",
        "offset": number,
        "text": text,
    }
    part = PartStreamed(round=3, path="part:a#1", offset=number, text=text)
    assert msgspec.json.decode(native.encode_delta(session, part)) == {
        "t": "part",
        "session": session,
        "round": 3,
        "path": "part:a#1",
        "offset": number,
        "text": text,
    }
    shown = ProgressShown(round=3, done=2.5)
    assert msgspec.json.decode(native.encode_delta(session, shown)) == {
        "t": "progress",
        "session": session,
        "round": 3,
        "done": 2.5,
    }
    assert msgspec.json.decode(native.encode_ack(session, "c", number)) == {
        "t": "ack",
        "session": session,
        "id": "c",
        "seq": number,
    }


def test_the_end_of_a_round_is_sent_without_what_the_operator_is_told():
    plain = RoundFinished(round=1, status="failed", error="e1")
    again = RoundFinished(round=1, status="failed", error="e1", again=True)
    told = RoundFinished(round=1, status="failed", error="e1", detail="secret")

    (first, second, third) = shown([plain, again, told])["records"]
    assert first == second == third == msgspec.json.decode(encode_event(plain))


def test_a_repeated_command_is_acknowledged_as_such():
    assert msgspec.json.decode(native.encode_ack("s", "c", 3, repeated=True))["repeated"] is True


def test_a_refusal_says_when_to_try_again_if_that_is_of_use():
    assert msgspec.json.decode(native.encode_refusal(Refused("busy", "Later.", 2.0), "s", "c")) == {
        "t": "refused",
        "code": "busy",
        "message": "Later.",
        "session": "s",
        "id": "c",
        "retry_after": 2.0,
    }
    assert msgspec.json.decode(native.encode_refusal(Refused("closed", "Over."))) == {
        "t": "refused",
        "code": "closed",
        "message": "Over.",
    }


def test_hello_says_the_version_the_limits_and_how_to_come_back():
    limits = Limits(message_bytes=1, upload_bytes=2, files_per_message=3)
    frame = {
        "t": "hello",
        "version": 1,
        "user": "u",
        "limits": {"message_bytes": 1, "upload_bytes": 2, "files_per_message": 3},
    }

    assert msgspec.json.decode(native.encode_hello("u", limits, "")) == frame
    assert msgspec.json.decode(native.encode_hello("u", limits, "r")) == {**frame, "resume": "r"}


def test_live_and_pong_are_as_documented():
    assert msgspec.json.decode(native.encode_live("s", 9)) == {
        "t": "live",
        "session": "s",
        "upto": 9,
    }
    assert msgspec.json.decode(native.PONG) == {"t": "pong"}


def test_events_are_shown_alike_with_and_without_the_logs_own_bytes():
    some = [
        SessionOpened(user="ann", command="c"),
        MessageAdded(role="user", text="a\nb"),
        VariableSet(name="a", value=Raw(b"1")),
    ]
    data = native.encode_chunk(map(native.encode_event, some))

    assert native.encode_shown("s", 3, 1.5, some) == native.encode_records("s", 3, 1.5, some, data)
