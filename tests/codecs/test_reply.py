"""What of a log answers one message."""

import pytest
from told import asked, bot, raw, streamed, user

from parlour.events import (
    AnswerRejected,
    CostAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    ProgressShown,
    QuestionAnswered,
    QuestionClosed,
    RoundFinished,
    RoundStarted,
    SessionClosed,
    TextStreamed,
    VariableSet,
)
from parlour.transports.codecs.reply import (
    Asked,
    Ended,
    Grew,
    Opened,
    Over,
    Rejected,
    Reply,
    Used,
    WorkBegan,
    WorkEnded,
)

START = RoundStarted(round=1, cause="message", source=3)
DONE = RoundFinished(round=1, status="done")


def told(reply, first, *events):
    pieces, seq = [], first
    for event in events:
        if isinstance(event, TextStreamed | ProgressShown):
            pieces += reply.delta(event)
        else:
            pieces += reply.record(seq, event)
            seq += 1
    return pieces


def whole(text, key="reply#1"):
    return [Opened(key), *([Grew(key, text)] if text else []), Ended(key, text)]


def test_a_reply_is_what_its_round_says():
    reply = Reply(3)
    pieces = told(
        reply, 1, bot("before"), DONE, user(), START, bot("yes"), bot(""), DONE, bot("after")
    )
    assert pieces == [*whole("yes"), *whole(""), Over("done")]
    assert reply.over
    assert reply.last == 7
    assert reply.source == 3


def test_a_message_that_waits_is_not_answered_by_the_round_before():
    reply = Reply(3)
    other = RoundStarted(round=2, cause="message", source=9)
    assert told(reply, 3, user(), bot("not this"), other, DONE) == []
    assert not reply.running
    assert told(reply, 7, START) == []
    assert reply.running


def test_a_round_that_takes_the_message_up_answers_it():
    reply = Reply(3)
    taken = MessagesTaken(path="", sources=(3,))
    assert told(reply, 3, user(), bot("no"), MessagesTaken(path="", sources=(1,))) == []
    assert told(reply, 6, taken, bot("yes"), DONE) == [*whole("yes"), Over("done")]


def test_a_round_that_begins_again_is_no_end():
    reply = Reply(3)
    again = RoundFinished(round=1, status="stopped", again=True)
    pieces = told(reply, 3, user(), START, streamed("half"), again, bot("x"), START, bot("y"), DONE)
    assert [piece for piece in pieces if isinstance(piece, Over)] == [Over("done")]
    assert Ended("stream#1", "half") in pieces
    assert Grew("reply#1", "x") not in pieces


def test_a_question_ends_the_reply():
    question = asked()
    pieces = told(Reply(3), 3, user(), START, streamed("Well"), question)
    assert pieces[-2:] == [Ended("stream#1", "Well"), Asked(5, question)]


def test_an_answer_goes_on_with_its_round_and_asks_what_else_is_open():
    answered = QuestionAnswered(question=2, value=raw("x"), text="x")
    assert told(Reply(5), 5, answered, bot("thanks"), DONE) == [*whole("thanks"), Over("done")]
    other = asked("And?")
    assert told(Reply(5, asked={2: asked(), 4: other}), 5, answered) == [Asked(4, other)]
    late = Reply(5, asked={2: asked(), 4: other})
    closed = QuestionClosed(question=4, reason="timeout")
    assert told(late, 5, user(), closed, answered) == []


def test_a_rejected_answer_is_told_why():
    rejected = AnswerRejected(question=2, text="x", reason="Please give a number.")
    assert told(Reply(5), 5, rejected) == [Rejected(2, "Please give a number.")]
    assert told(Reply(4), 4, user(), rejected) == []


def test_what_a_session_asks_when_it_opens_is_a_reply_to_nothing():
    reply = Reply(1, opening=True)
    question = asked("Name?")
    opens = RoundStarted(round=1, cause="open")
    assert told(reply, 1, user(), opens, question) == [Asked(3, question)]


def test_work_and_cost_are_told():
    begun = PartBegun(path="part:S#1", name="S")
    ended = PartEnded(path="part:S#1/end#1", status="failed", output="no")
    cost = CostAdded(path="c", input_tokens=3, output_tokens=4, model="m")
    pieces = told(
        Reply(3), 3, user(), START, begun, ended, cost, VariableSet(name="a", value=raw(1))
    )
    assert pieces == [
        WorkBegan("part:S#1", begun),
        WorkEnded("part:S#1", "S", "failed", "no"),
        Used(3, 4, "m"),
    ]


def test_a_closed_session_answers_no_more():
    assert told(Reply(3), 3, user(), SessionClosed()) == [Over("stopped")]


@pytest.mark.promise("P6")
def test_a_message_grows_once_however_its_pieces_come():
    reply = Reply(3)
    pieces = told(
        reply,
        3,
        user(),
        START,
        ProgressShown(round=1),
        streamed("Hel"),
        streamed("lo", 3),
        streamed("Hello", 0),  # as for who comes back
        streamed("Hel", 0),
        streamed("B", path="stream#2"),  # another one beside it comes whole
        bot("Hello you", path="stream#1"),
        DONE,
    )
    assert pieces == [
        Opened("stream#1"),
        Grew("stream#1", "Hel"),
        Grew("stream#1", "lo"),
        Grew("stream#1", " you"),
        Ended("stream#1", "Hello you"),
        Over("done"),
    ]
    assert reply.delta(streamed("more")) == []


def test_a_message_that_is_written_anew_is_told_whole_at_its_end():
    reply = Reply(3)
    pieces = told(reply, 3, user(), START, streamed("Hello"), streamed("Other"), streamed("!", 5))
    pieces += told(reply, 5, bot("Other!", path="stream#1"))
    assert pieces[2:] == [Grew("stream#1", "\n\nOther!"), Ended("stream#1", "Other!")]
    assert told(Reply(3), 3, user(), START, streamed("x", 4)) == []
