"""The AG-UI dialect, without a server; every event is one of the package's own types."""

import datetime as dt

import pytest
from ag_ui.core import Event, RunFinishedInterruptOutcome
from pydantic import TypeAdapter
from told import NOTES, SESSION, asked, bot, feed, link, raw, sse, streamed, user

from parlour.errors import Refused
from parlour.events import (
    AnswerRejected,
    CostAdded,
    PartBegun,
    PartEnded,
    ProgressShown,
    QuestionAnswered,
    QuestionClosed,
    RoundFinished,
    RoundStarted,
    VariableDeleted,
    VariableSet,
)
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    TextQuestion,
)
from parlour.state import Said
from parlour.transports.codecs.agui import (
    AguiRun,
    Run,
    interrupt_id,
    is_shown,
    message_of,
    read_interrupt_id,
    said_messages,
    schema_of,
)
from parlour.transports.codecs.reply import Reply

START = RoundStarted(round=1, cause="message", source=3)
DONE = RoundFinished(round=1, status="done")
BEGUN = PartBegun(path="part:S#1", name="Search", input="hotels")
ENDED = PartEnded(path="part:S#1/end#1", output="found 3")
EVENTS = TypeAdapter(Event)


def run(*events, modern=True, reply=None, **more):
    heading = Run(thread="t", run="r", session=SESSION, link=link, modern=modern, **more)
    found = AguiRun(Reply(3) if reply is None else reply, heading)
    told = feed(found, 3, *events)
    for event in told:
        EVENTS.validate_python(event)
        assert None not in event.values()
    return told


def kinds(events):
    return [event["type"] for event in events]


def test_a_run_is_what_a_round_says_and_does():
    told = run(
        user(),
        START,
        streamed("Hel"),
        BEGUN,
        VariableSet(name="a/b", value=raw(1)),
        VariableSet(name="_own", value=raw(1)),
        VariableDeleted(name="a/b"),
        VariableDeleted(name="never"),
        CostAdded(path="c", input_tokens=3, output_tokens=4, model="m"),
        bot("Hello", path="stream#1", files=(NOTES,)),
        ENDED,
        bot("", path="reply#2", files=(NOTES,)),
        DONE,
        variables={"x": raw([1]), "_secret": raw("no")},
    )
    assert kinds(told) == [
        "RUN_STARTED",
        "STATE_SNAPSHOT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "STATE_DELTA",
        "STATE_DELTA",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert told[0]["protocolVersion"] == "1.0"
    assert told[1]["snapshot"] == {"x": [1]}
    assert told[4]["delta"] == [{"op": "add", "path": "/a~1b", "value": 1}]
    assert told[5]["delta"] == [{"op": "remove", "path": "/a~1b"}]
    assert told[-1]["outcome"] == {"type": "success"}
    assert told[-1]["usage"] == [{"model": "m", "inputTokens": 3, "outputTokens": 4}]


def test_an_older_client_is_told_no_outcome_it_breaks_at():
    stopped = RoundFinished(round=1, status="stopped")
    told = run(user(), START, BEGUN, stopped, modern=False)
    assert kinds(told)[-2:] == ["TOOL_CALL_RESULT", "RUN_FINISHED"]
    assert "outcome" not in told[-1]
    assert "protocolVersion" not in told[0]
    assert run(user(), START, stopped)[-1]["outcome"] == {"type": "cancelled"}


def test_a_failure_is_an_error_with_the_operators_number():
    failed = RoundFinished(round=1, status="failed", error="ab12", reason="It broke.")
    assert run(user(), START, failed)[-1] == {
        "type": "RUN_ERROR",
        "message": "It broke.",
        "code": "ab12",
    }
    diverged = RoundFinished(round=1, status="diverged")
    assert run(user(), START, diverged)[-1]["code"] == "diverged"
    broken = AguiRun(None, Run(thread="t", run="r", session=SESSION, link=link, modern=True))
    assert sse(broken.broken(Refused("unavailable", "Later.")))[0]["code"] == "unavailable"
    assert broken.over
    assert broken.record(1, 1.0, START) == ""
    assert broken.delta(streamed("x")) == ""


def test_a_question_interrupts_with_all_that_is_open():
    before = said_messages(SESSION, [Said(1, "user", "a"), Said(2, "bot", "b", (NOTES,))], link)
    told = run(
        user(),
        START,
        asked(question=ConfirmQuestion(), deadline=0.0, note="Once more."),
        asked={2: asked("Else?")},
        messages=before,
    )
    assert kinds(told)[-2:] == ["MESSAGES_SNAPSHOT", "RUN_FINISHED"]
    roles = [message["role"] for message in told[-2]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant"]
    outcome = RunFinishedInterruptOutcome.model_validate(told[-1]["outcome"])
    assert [each.id for each in outcome.interrupts] == ["ask-2", "ask-5"]
    assert outcome.interrupts[1].message == "Once more.\n\nWhich?"
    assert outcome.interrupts[1].reason == "confirmation"
    assert outcome.interrupts[1].expires_at == "1970-01-01T00:00:00+00:00"


def test_an_older_client_sees_the_question_in_words_too():
    told = run(user(), START, asked(question=ConfirmQuestion()), modern=False)
    assert told[-3]["delta"] == "Which?\n\n(Yes / No)"
    assert told[-1]["outcome"]["type"] == "interrupt"


def test_an_answer_that_does_not_fit_is_asked_for_again():
    open_ = {2: asked("City?")}
    rejected = AnswerRejected(question=2, text="x", reason="Not there.")
    told = run(rejected, asked=open_)
    assert told[-1]["outcome"]["interrupts"][0]["message"] == "Not there.\n\nCity?"
    answered = QuestionAnswered(question=2, value=raw("x"), text="x")
    closed = QuestionClosed(question=9, reason="timeout")
    told = run(answered, closed, ENDED, bot("thanks"), DONE, asked=open_)
    assert told[-1]["outcome"] == {"type": "success"}


def test_a_second_answer_that_does_not_fit_interrupts_as_well():
    answered = QuestionAnswered(question=1, value=raw("x"), text="x")
    rejected = AnswerRejected(question=2, text="x", reason="Not there.")
    told = run(answered, rejected, reply=Reply(3), asked={1: asked(), 2: asked("City?")})
    assert [each["id"] for each in told[-1]["outcome"]["interrupts"]] == ["ask-2"]


def test_progress_is_an_activity_that_replaces_itself():
    run_ = AguiRun(Reply(3), Run(thread="t", run="r", session=SESSION, link=link, modern=True))
    shown = ProgressShown(round=1, done=3, text="pages")
    assert run_.delta(shown) == ""
    run_.record(3, 1.0, user())
    run_.record(4, 1.0, START)
    event = sse(run_.delta(shown))[0]
    EVENTS.validate_python(event)
    assert (event["activityType"], event["replace"]) == ("progress", True)
    assert event["content"] == {"done": 3, "text": "pages"}


@pytest.mark.parametrize(
    ("more", "outcome"),
    [({}, "success"), ({"stopped": True}, "cancelled"), ({"asked": {2: asked()}}, "interrupt")],
    ids=str,
)
def test_a_run_with_nothing_new_says_how_things_stand(more, outcome):
    heading = Run(thread="t", run="r", session=SESSION, link=link, modern=True, **more)
    told = sse(AguiRun(None, heading).begin())
    assert kinds(told) == ["RUN_STARTED", "STATE_SNAPSHOT", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]
    assert told[-1]["outcome"]["type"] == outcome


def test_a_record_is_a_message_or_none():
    answered = QuestionAnswered(question=2, value=raw("x"), text="x")
    found = [message_of(SESSION, 1, event, link) for event in (user(), bot("b"), answered, DONE)]
    assert [message and message.role for message in found] == ["user", "assistant", "user", None]


def test_ids_of_interrupts_are_numbers_of_questions():
    assert read_interrupt_id(interrupt_id(7)) == 7
    for text in ("7", "ask-", "ask-x", "ask--1", "ask-²", "ask-" + "9" * 20, ""):
        assert read_interrupt_id(text) is None
    assert is_shown("a")
    assert not is_shown("_a")
    assert not is_shown("openai.deleted")


OPTIONS = (Option(value="p", label="Paris"), Option(value="r", label="Rome", description="old"))
ONE = {
    "type": "string",
    "oneOf": [
        {"const": "p", "title": "Paris"},
        {"const": "r", "title": "Rome", "description": "old"},
    ],
}


@pytest.mark.parametrize(
    ("question", "schema"),
    [
        (TextQuestion(), {"type": "string", "minLength": 1}),
        (
            TextQuestion(pattern="a|b", max_length=3),
            {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^(?:a|b)$"},
        ),
        (NumberQuestion(minimum=1), {"type": "number", "minimum": 1}),
        (NumberQuestion(integer=True), {"type": "integer"}),
        (ConfirmQuestion(), {"type": "boolean"}),
        (DateQuestion(minimum=dt.date(2026, 1, 2)), {"type": "string", "format": "date"}),
        (ChoiceQuestion(options=OPTIONS), ONE),
        (
            ChoiceQuestion(options=OPTIONS, many=True, maximum=2),
            {"type": "array", "items": ONE, "minItems": 0, "maxItems": 2},
        ),
        (FormQuestion(schema=raw({"type": "object"})), {"type": "object"}),
    ],
    ids=str,
)
def test_an_answer_has_a_schema(question, schema):
    assert schema_of(question) == schema
    assert schema_of(FileQuestion())["items"]["required"] == ["name", "data"]
