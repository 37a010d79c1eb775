from __future__ import annotations

import contextlib
import math

import msgspec
import pytest
from golden_events import FULL, golden_state
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from parlour.errors import IllegalEvent, Refused
from parlour.events import (
    EVENT_TYPES,
    SETTINGS,
    Answer,
    AnswerRejected,
    Assign,
    CellWritten,
    ChangeNoticed,
    Close,
    ComponentShown,
    CostAdded,
    Event,
    EventDropped,
    FeedbackGiven,
    FileRef,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    PlaceTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Rate,
    ReminderCame,
    ReminderCancelled,
    ReminderSet,
    Rename,
    RoundFinished,
    RoundResumed,
    RoundStarted,
    RoundSurvived,
    Say,
    SessionClosed,
    SessionForked,
    SessionOpened,
    Signal,
    SignalReceived,
    StepFinished,
    StepRaised,
    StepStarted,
    Stop,
    TimerFired,
    TimerSet,
    TitleSet,
    UnknownEvent,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
    WorkCancelled,
    WorkEnded,
    WorkStarted,
    encode_event,
)
from parlour.questions import ConfirmQuestion, FileQuestion, NumberQuestion, TextQuestion
from parlour.settings import Limits
from parlour.state import (
    MOVES,
    PHASE_AFTER,
    Phase,
    Rules,
    State,
    Window,
    check_variable,
    decide,
    decode_snapshot,
    encode_snapshot,
    evolve,
    evolve_all,
    finish_round,
    fold,
    next_round,
    open_session,
    overdue,
    view_at,
)
from strategies import DEEP, hostile_json, mutated

NOW = 1000.0
RULES = Rules(limits=Limits())
ALL = Rules(limits=Limits(), causes=frozenset({"open", "message", "signal", "stop", "close"}))


def after(*events: Event | UnknownEvent) -> State:
    return fold((event, NOW) for event in events)


OPENED = SessionOpened(user="u1", command="open")
IDLE = after(OPENED)
RUNNING = after(OPENED, RoundStarted(round=1, cause="open"))
CLOSED = after(OPENED, SessionClosed())
ASKING = fold(
    [(QuestionAsked(path="ask#1", text="How many?", question=NumberQuestion()), NOW)], RUNNING
)
IN_PHASE = {Phase.NEW: State(), Phase.IDLE: IDLE, Phase.RUNNING: RUNNING, Phase.CLOSED: CLOSED}


def refusal(state: State, command, rules: Rules = RULES, now: float = NOW) -> str:
    with pytest.raises(Refused) as caught:
        decide(state, command, rules, now)
    return caught.value.code


def going(state: State, *events: Event | UnknownEvent) -> State:
    return fold(((event, NOW) for event in events), state)


# -- the table of moves ---------------------------------------------------------------------


def test_every_event_has_its_move():
    assert set(MOVES) == set(EVENT_TYPES)
    assert set(PHASE_AFTER) <= set(MOVES)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", FULL, ids=lambda event: type(event).__name__)
def test_an_event_is_illegal_in_every_phase_that_the_table_does_not_name(phase, event):
    state = IN_PHASE[phase]
    if phase in MOVES[type(event)].phases:
        return

    with pytest.raises(IllegalEvent, match=f"{type(event).__name__} cannot follow"):
        evolve(state, event)


REMINDING = going(RUNNING, ReminderSet(path="remind:a#1", name="a", due=NOW, data=Raw(b"[1]")))
WORKING = going(RUNNING, WorkStarted(path="work:a#1", name="a", data=Raw(b"[1]")))
LEGAL = [
    (State(), OPENED),
    (IDLE, MessageAdded(role="user", text="hi")),
    (IDLE, SignalReceived(name="ping")),
    (IDLE, FeedbackGiven(message=1, rating="up")),
    (IDLE, RoundStarted(round=1, cause="open")),
    (IDLE, VariableSet(name="a", value=Raw(b"1"))),
    (IDLE, VariableDeleted(name="a")),
    (IDLE, SessionClosed()),
    (RUNNING, MessageAdded(role="user", text="hi")),
    (RUNNING, MessageAdded(role="bot", text="hi", path="reply#1")),
    (RUNNING, SignalReceived(name="ping")),
    (RUNNING, FeedbackGiven(message=1, rating="up", answered=True)),
    (RUNNING, ComponentShown(path="show:map#1", name="map")),
    (RUNNING, RoundResumed(round=1)),
    (RUNNING, RoundSurvived(round=1)),
    (RUNNING, RoundFinished(round=1, status="done")),
    (RUNNING, VariableSet(name="a", value=Raw(b"1"), path="set#1")),
    (RUNNING, VariableDeleted(name="a", path="delete#1")),
    (RUNNING, UserVariableSet(name="a", value=Raw(b"1"), path="user.set#1")),
    (RUNNING, StepStarted(path="step#1", digest="00")),
    (RUNNING, StepFinished(path="step#1")),
    (RUNNING, StepRaised(path="step#1", error="E", reason="")),
    (RUNNING, CellWritten(path="code#1", code="1")),
    (RUNNING, QuestionAsked(path="ask#1", text="?", question=TextQuestion())),
    (ASKING, QuestionAnswered(question=3, value=Raw(b"1"))),
    (ASKING, AnswerRejected(question=3, text="x", reason="No.")),
    (ASKING, QuestionClosed(question=3, reason="timeout")),
    (RUNNING, TimerSet(path="sleep#1", due=1.0)),
    (going(RUNNING, TimerSet(path="sleep#1", due=1.0)), TimerFired(path="sleep#1")),
    (RUNNING, MessagesTaken(path="take#1")),
    (RUNNING, CostAdded(path="cost#1")),
    (REMINDING, ReminderCame(name="a")),
    (going(REMINDING, RoundFinished(round=1, status="done")), ReminderCame(name="a")),
    (RUNNING, ReminderSet(path="remind#1", name="a", due=1.0)),
    (RUNNING, ReminderCancelled(path="unremind#1", name="a")),
    (IDLE, ChangeNoticed()),
    (RUNNING, ChangeNoticed()),
    (RUNNING, WorkStarted(path="work#1", name="a")),
    (WORKING, WorkCancelled(path="unwork#1", work=3)),
    (WORKING, WorkEnded(work=3)),
    (going(WORKING, RoundFinished(round=1, status="done")), WorkEnded(work=3)),
    (RUNNING, PlaceTaken(path="place#1", place=Raw(b"1"))),
    (RUNNING, EventDropped(path="drop#1", name="a")),
    (RUNNING, PartBegun(path="part:a#1", name="a")),
    (RUNNING, PartEnded(path="part:a#1/end#1")),
    (IDLE, SessionForked(origin="a", seq=1)),
    (RUNNING, SessionForked(origin="a", seq=2)),
    (IDLE, TitleSet(title="a")),
    (RUNNING, TitleSet(title="a", path="title#1")),
    (CLOSED, TitleSet(title="a", command="c1")),
]


@pytest.mark.parametrize(("state", "event"), LEGAL, ids=lambda item: type(item).__name__)
def test_a_legal_event_leads_to_the_phase_that_the_table_names(state, event):
    following = evolve(state, event)

    assert following.seq == state.seq + 1
    assert following.phase is PHASE_AFTER.get(type(event), state.phase)


def test_events_that_are_recorded_together_are_held_to_the_same_table():
    events = [RoundStarted(round=1, cause="open"), RoundFinished(round=1, status="done")]

    assert evolve_all(IDLE, events, NOW) == going(IDLE, *events)
    with pytest.raises(IllegalEvent, match="RoundFinished cannot follow record 3"):
        evolve_all(IDLE, [*events, events[-1]], NOW)


def test_every_legal_move_has_its_example():
    assert {(state.phase, type(event)) for state, event in LEGAL} == {
        (phase, kind) for kind, move in MOVES.items() for phase in move.phases
    }


@pytest.mark.promise("P16")
@pytest.mark.parametrize("phase", Phase)
def test_an_unknown_event_is_counted_and_changes_nothing_else(phase):
    state = IN_PHASE[phase]

    following = evolve(state, UnknownEvent(type="Later", raw=Raw(b'{"type":"Later"}')))

    assert following.seq == state.seq + 1
    assert following.phase is state.phase
    assert following.round is state.round


# -- events that do not fit what went before ------------------------------------------------


@pytest.mark.parametrize(
    ("state", "event", "complaint"),
    [
        (IDLE, MessageAdded(role="bot", text="hi", path="reply#1"), "outside a round"),
        (IDLE, RoundStarted(round=1, cause="message", source=7), "waits not"),
        (RUNNING, RoundFinished(round=2, status="done"), "round 2 cannot end"),
        (RUNNING, MessageAdded(role="bot", text="hi"), "effect without a path"),
        (RUNNING, CostAdded(path=""), "effect without a path"),
        (RUNNING, QuestionAnswered(question=3, value=Raw(b"1")), "question 3 is not open"),
        (RUNNING, AnswerRejected(question=3, text="", reason=""), "question 3 is not open"),
        (RUNNING, QuestionClosed(question=3, reason="timeout"), "question 3 is not open"),
        (RUNNING, TimerFired(path="sleep#1"), "sleep#1 is not set"),
        (RUNNING, TimerSet(path="sleep#1", due=math.inf), "inf is no time"),
        (RUNNING, TimerSet(path="sleep#1", due=math.nan), "nan is no time"),
        (
            RUNNING,
            QuestionAsked(path="ask#1", text="?", question=TextQuestion(), deadline=math.inf),
            "inf is no time",
        ),
        (ASKING, MessageAdded(role="bot", text="hi", path="ask#1"), "ask#1"),
        (ASKING, StepFinished(path="ask#1"), "ask#1"),
        (RUNNING, ReminderSet(path="remind#1", name="a", due=math.nan), "nan is no time"),
        (RUNNING, ReminderCame(name="a"), "no reminder 'a'"),
        (RUNNING, WorkEnded(work=3), "work 3 is not under way"),
    ],
)
def test_an_event_that_does_not_fit_what_went_before_is_illegal(state, event, complaint):
    with pytest.raises(IllegalEvent, match=complaint):
        evolve(state, event)


def test_a_step_that_has_ended_cannot_end_again():
    state = going(RUNNING, StepStarted(path="step#1", digest="00"), StepFinished(path="step#1"))

    with pytest.raises(IllegalEvent, match="step#1"):
        evolve(state, StepRaised(path="step#1", error="E", reason=""))


def test_a_question_that_was_answered_cannot_be_answered_again():
    state = going(ASKING, QuestionAnswered(question=3, value=Raw(b"1")))

    with pytest.raises(IllegalEvent, match="question 3 is not open"):
        evolve(state, QuestionAnswered(question=3, value=Raw(b"2")))


def test_a_round_cannot_be_finished_where_none_runs():
    with pytest.raises(IllegalEvent, match="needs a running round"):
        finish_round(IDLE, "done")


# -- what a log means -----------------------------------------------------------------------


def test_variables_that_others_change_in_a_round_are_kept_apart_from_its_journal():
    state = going(
        RUNNING,
        VariableSet(name="a", value=Raw(b"1"), path="set#1"),
        VariableSet(name="b", value=Raw(b"2"), command="c1"),
        VariableDeleted(name="a", command="c2"),
    )

    assert state.round is not None
    assert list(state.round.journal) == ["set#1"]
    assert [item.seq for item in state.round.outside] == [4, 5]
    assert list(state.variables) == ["b"]
    assert (state.recent.seq("c1"), state.recent.seq("c2")) == (4, 5)
    assert state.round.base.variables == {}


@pytest.mark.parametrize(
    ("said", "called"),
    [
        ("  When does\n\tit rain?  ", "When does it rain?"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 79 + "…"),
        ("word " * 30, "word " * 15 + "word…"),
        ("x " + "y" * 100, "x " + "y" * 77 + "…"),
        ("", "b.png"),
    ],
)
def test_a_session_is_called_by_the_first_words_the_user_said(said, called):
    message = MessageAdded(role="user", text=said, files=(FileRef(id="f", name="b.png"),))

    assert going(IDLE, message).name.text == called
    later = MessageAdded(role="user", text="later")
    assert going(IDLE, message, later).name.text == called
    assert going(RUNNING, MessageAdded(role="bot", text="hi", path="reply#1")).name.text == ""


def test_words_of_an_answer_make_room_for_those_of_a_message():
    asked = QuestionAsked(path="ask#2", text="?", question=TextQuestion())
    answered = going(ASKING, QuestionAnswered(question=3, value=Raw(b'"Ada"'), text="Ada"))
    again = going(answered, asked, QuestionAnswered(question=5, value=Raw(b'"x"'), text="x"))
    assert answered.name.text == again.name.text == "Ada"
    assert going(again, MessageAdded(role="user", text="A trip")).name.text == "A trip"


def test_a_title_counts_more_than_words_until_it_is_taken_back():
    titled = going(IDLE, TitleSet(title="Rome", command="c1"))
    assert titled.recent.seq("c1") == 2
    talking = going(titled, MessageAdded(role="user", text="Hello"))
    assert talking.name.text == "Rome"
    assert going(talking, TitleSet(title="")).name.text == "Hello"


def test_a_title_that_somebody_gives_in_a_round_is_not_in_its_journal():
    state = going(
        RUNNING, TitleSet(title="mine", path="title#1"), TitleSet(title="yours", command="c1")
    )
    assert state.round is not None
    assert list(state.round.journal) == ["title#1"]
    assert [item.seq for item in state.round.outside] == [4]
    assert (state.name.text, state.round.base.name.text) == ("yours", "")


def test_any_session_may_be_renamed_in_one_line():
    for state in (IDLE, RUNNING, CLOSED):
        events = decide(state, Rename(id="c1", title=" a\nlong \u202e title\x00"), ALL, NOW)
        assert events == [TitleSet(title="a long title", command="c1")]
    assert decide(IDLE, Rename(id="c1", title=" "), ALL, NOW) == []
    titled = going(IDLE, TitleSet(title="a"))
    assert decide(titled, Rename(id="c1", title="a"), ALL, NOW) == []
    assert decide(titled, Rename(id="c1", title=""), ALL, NOW) == [TitleSet(title="", command="c1")]
    assert refusal(IDLE, Rename(id="c1", title="a" * 201), ALL) == "too_large"
    assert refusal(IDLE, Rename(id="c1", title="\ud800"), ALL) == "invalid"
    assert refusal(IDLE, Rename(id="", title="a"), ALL) == "invalid"
    assert refusal(State(), Rename(id="c1", title="a"), ALL) == "unknown_session"


def test_files_of_users_bots_and_answers_are_all_found_in_the_session():
    first, second, third = (FileRef(id=name, name=name) for name in "abc")
    state = going(
        IDLE,
        MessageAdded(role="user", text="", files=(first,)),
        RoundStarted(round=1, cause="message", source=2),
        MessageAdded(role="bot", text="", files=(second,), path="reply#1"),
        QuestionAsked(path="ask#1", text="?", question=FileQuestion()),
        QuestionAnswered(question=5, value=Raw(b'["c"]'), files=(third,)),
    )

    assert state.files == (first, second, third)
    assert state.view.files == state.files


def test_a_round_that_gets_further_is_no_longer_counted_as_stuck():
    state = going(RUNNING, RoundResumed(round=1), RoundResumed(round=1))
    assert state.round is not None
    assert state.round.resumptions == 2

    state = going(state, MessageAdded(role="bot", text="hi", path="reply#1"))
    assert state.round is not None
    assert state.round.resumptions == 0


def test_what_a_round_was_answering_comes_before_all_else_when_it_is_to_be_done_again():
    state = going(
        IDLE,
        MessageAdded(role="user", text="first"),
        RoundStarted(round=1, cause="message", source=2),
        MessageAdded(role="user", text="second"),
    )
    state = going(state, *finish_round(state, "diverged", again=True))

    assert [item.said.text for item in state.queue] == ["first", "second"]
    assert next_round(state) == [RoundStarted(round=2, cause="message", source=2)]


def test_a_round_may_answer_what_has_not_waited_longest():
    state = going(
        IDLE,
        MessageAdded(role="user", text="first"),
        MessageAdded(role="user", text="second"),
        RoundStarted(round=1, cause="message", source=3),
    )

    assert state.round is not None
    assert state.round.source is not None
    assert state.round.source.said.text == "second"
    assert [item.said.text for item in state.queue] == ["first"]


def test_a_round_without_a_source_that_is_to_be_done_again_starts_at_once():
    assert finish_round(RUNNING, "diverged", again=True) == [
        RoundFinished(round=1, status="diverged"),
        RoundStarted(round=2, cause="open"),
    ]


def test_messages_that_a_round_has_taken_start_no_round():
    state = going(
        RUNNING,
        MessageAdded(role="user", text="one"),
        MessageAdded(role="user", text="two"),
        MessagesTaken(path="take#1", sources=(3,)),
    )

    assert [item.said.text for item in state.queue] == ["two"]


def test_a_question_with_no_deadline_is_never_due():
    assert ASKING.due is None
    assert overdue(ASKING, math.inf) == []
    assert IDLE.due is None
    assert overdue(IDLE, math.inf) == []


def test_deadlines_and_timers_are_due_at_their_time_and_not_before():
    state = going(
        RUNNING,
        QuestionAsked(path="ask#1", text="?", question=TextQuestion(), deadline=20.0),
        TimerSet(path="sleep#1", due=10.0),
    )

    assert state.due == 10.0
    assert overdue(state, 9.0) == []
    assert overdue(state, 10.0) == [TimerFired(path="sleep#1")]
    assert overdue(state, 20.0) == [
        QuestionClosed(question=3, reason="timeout"),
        TimerFired(path="sleep#1"),
    ]


def test_a_long_message_alone_is_still_at_hand():
    state = fold(
        ((MessageAdded(role="user", text=text), NOW) for text in ("short", "x" * 9000)),
        evolve(State(window=Window(bytes=100)), OPENED),
    )

    assert [said.text[0] for said in state.heard.messages] == ["x"]


@pytest.mark.promise("P12")
@pytest.mark.parametrize("most", [0, 10])
def test_the_messages_at_hand_are_bounded_however_long_the_conversation(most):
    state = evolve(State(window=Window(messages=most, bytes=10_000)), OPENED)
    for number in range(500):
        state = going(state, MessageAdded(role="user", text=str(number)))
        state = going(state, *next_round(state))
        state = going(state, *finish_round(state, "done"))

    assert most <= len(state.heard.messages) < most + 32
    assert state.heard.messages[-1].text == "499"


@pytest.mark.promise("P4")
def test_so_many_of_the_newest_commands_are_remembered_as_the_window_says():
    state = State(window=Window(commands=20))
    state = evolve(state, OPENED)
    for number in range(100):
        state = evolve(state, VariableSet(name="a", value=Raw(b"1"), command=f"c{number}"))

    for number in range(90, 100):
        assert state.recent.seq(f"c{number}") == number + 2
    assert state.recent.seq("c0") is None
    assert state.recent.seq("") is None


_happenings = st.lists(
    st.tuples(
        st.sampled_from(["reply", "set", "delete", "title", "ask", "sleep"]),
        st.booleans(),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(_happenings)
def test_what_a_handler_could_read_at_any_record_of_its_round_is_known_afterwards(happenings):
    window = Window(messages=4)
    states = [
        fold([(OPENED, NOW), (RoundStarted(round=1, cause="open"), NOW)], State(window=window))
    ]
    for count, (what, by_handler, pick) in enumerate(happenings):
        path, name = (f"{what}#{count}" if by_handler else ""), f"v{pick}"
        events: list[Event] = []
        if what == "set":
            events = [VariableSet(name=name, value=Raw(b"%d" % count), path=path)]
        elif what == "delete":
            events = [VariableDeleted(name=name, path=path)]
        elif what == "title":
            events = [TitleSet(title=f"title {count}" if pick else "", path=path)]
        elif what == "reply":
            role = "bot" if by_handler else "user"
            events = [MessageAdded(role=role, text=f"said {count}" * 200 * pick, path=path)]
        elif what == "sleep":
            events = [TimerSet(path=f"sleep#{count}", due=NOW)]
        else:
            seq = states[-1].seq + 1
            asked = QuestionAsked(path=f"ask#{count}", text="?", question=TextQuestion())
            answered = QuestionAnswered(
                question=seq,
                value=Raw(b'"a"'),
                text="a",
                files=(FileRef(id=f"f{count}", name="a"),),
            )
            events = [asked, answered] if by_handler else [asked]
        for event in events:
            states.append(going(states[-1], event))

    running = states[-1].round
    assert running is not None
    for state in states:
        found = view_at(running, state.seq, window)
        assert found.variables == state.view.variables
        assert found.files == state.view.files
        kept = min(len(found.history), window.messages)
        assert found.history[-kept:] == state.view.history[-kept:]


def test_the_newest_commands_are_remembered_and_old_ones_forgotten():
    window = Window(commands=64)
    state = fold([(OPENED, NOW)], State(window=window))
    for number in range(500):
        state = going(state, SignalReceived(name="ping", command=f"c{number}"))

    assert [state.recent.seq(f"c{number}") for number in range(468, 500)] == list(range(470, 502))
    assert state.recent.seq("c0") is None
    assert sum(map(len, (state.recent.new, state.recent.young, state.recent.old))) <= 64 + 16


# -- what a command causes ------------------------------------------------------------------


def test_a_new_session_begins_with_a_round_if_the_app_wants_one():
    assert open_session("u1", "open", frozenset({"message"})) == [OPENED]
    assert open_session("u1", "open", frozenset({"open"})) == [
        OPENED,
        RoundStarted(round=1, cause="open"),
    ]


def test_a_session_that_does_not_exist_takes_no_commands():
    assert refusal(State(), Say(id="c1", text="hi")) == "unknown_session"


@pytest.mark.parametrize(
    "command",
    [
        Say(id="c1", text="hi"),
        Answer(id="c1"),
        Stop(id="c1"),
        Signal(id="c1", name="ping"),
        Assign(id="c1", name="a", value=None),
        Close(id="c1"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_closed_session_and_one_that_is_closing_take_no_commands(command):
    closing = going(IDLE, RoundStarted(round=1, cause="close"))

    assert refusal(CLOSED, command, ALL) == "closed"
    assert refusal(closing, command, ALL) == "closed"


@pytest.mark.parametrize(
    "command",
    [
        Say(id=5, text="a"),
        Say(id="c1", text=5),
        Say(id="c1", text="a", files=("x",)),
        Say(id="c1", text="a", files=(FileRef(id="f", name=5),)),
        Say(id="c1", text="a", files=(FileRef(id="f", name="x", size=1.5),)),
        Answer(id="c1", question=3.0, text="a"),
        Answer(id="c1", value=5),
        Signal(id="c1", name=5),
        Signal(id="c1", name="a", data=b"1"),
        Signal(id="c1", name="a", data=Raw(b"[" * 101 + b"]" * 101)),
        Assign(id="c1", name=[], value=None),
        Assign(id="c1", name="a", value=b"1"),
        Assign(id="c1", name="a", value=Raw(b"{bad")),
        Assign(id="c1", name="a", value=Raw(b"1"), kind=5),
        Close(id="c1", reason="bored"),
    ],
    ids=repr,
)
def test_a_command_of_wrong_types_is_refused_as_invalid(command):
    assert refusal(IDLE, command, ALL) == "invalid"


@pytest.mark.parametrize("id_", ["", "x" * 129, "a\nb", "\x00", "\ud800", "\u2028"])
def test_a_command_needs_a_printable_id(id_):
    assert refusal(IDLE, Say(id=id_, text="hi")) == "invalid"


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\ud800", "a\udfff"])
def test_a_message_needs_text_that_can_be_written(text):
    assert refusal(IDLE, Say(id="c1", text=text)) == "invalid"


def test_a_message_may_be_a_file_alone():
    file = FileRef(id="f1", name="a")

    assert decide(IDLE, Say(id="c1", files=(file,)), RULES, NOW) == [
        MessageAdded(role="user", text="", files=(file,), command="c1")
    ]


@pytest.mark.promise("P12")
def test_messages_answers_files_and_signals_are_bounded():
    limits = Limits(
        message_bytes=10, files_per_message=1, files_per_session=2, value_bytes=5, queued_messages=1
    )
    rules = Rules(limits=limits, causes=ALL.causes)
    files = tuple(FileRef(id=name, name=name) for name in "abc")
    full = going(IDLE, MessageAdded(role="user", text="", files=files[:2]))
    waiting = going(RUNNING, MessageAdded(role="user", text="hi"))

    assert decide(IDLE, Say(id="c1", text="ü" * 5), rules, NOW)
    assert refusal(IDLE, Say(id="c1", text="ü" * 6), rules) == "too_large"
    assert refusal(IDLE, Say(id="c1", text="x" * 11), rules) == "too_large"
    assert refusal(IDLE, Say(id="c1", text="hi", files=files[:2]), rules) == "too_large"
    assert refusal(full, Say(id="c1", text="hi", files=files[2:]), rules) == "too_large"
    assert refusal(ASKING, Answer(id="c1", text="x" * 11), rules) == "too_large"
    assert refusal(ASKING, Answer(id="c1", value=Raw(b"1" * 11)), rules) == "too_large"
    assert refusal(IDLE, Signal(id="c1", name="a", data=Raw(b"123456")), rules) == "too_large"
    assert refusal(waiting, Say(id="c1", text="hi"), rules) == "busy"
    assert refusal(waiting, Signal(id="c1", name="a"), rules) == "busy"


def test_a_refusal_for_want_of_room_says_when_to_try_again():
    waiting = going(RUNNING, *(MessageAdded(role="user", text="hi") for _ in range(32)))

    with pytest.raises(Refused) as caught:
        decide(waiting, Say(id="c1", text="hi"), RULES, NOW)

    assert caught.value.code == "busy"
    assert caught.value.retry_after


def test_an_app_without_on_message_takes_none():
    rules = Rules(limits=Limits(), causes=frozenset({"open"}))

    assert refusal(IDLE, Say(id="c1", text="hi"), rules) == "unhandled"
    assert refusal(IDLE, Signal(id="c1", name="a"), rules) == "unhandled"


@pytest.mark.parametrize("incoming", ["queue", "steer"])
def test_a_message_waits_while_a_round_runs(incoming):
    rules = Rules(limits=Limits(), incoming=incoming)

    assert decide(RUNNING, Say(id="c1", text="hi"), rules, NOW) == [
        MessageAdded(role="user", text="hi", command="c1")
    ]


def test_a_message_is_refused_while_a_round_runs_if_the_app_wants_it_so():
    assert refusal(RUNNING, Say(id="c1", text="hi"), Rules(limits=Limits(), incoming="refuse")) == (
        "busy"
    )


def test_a_message_ends_the_running_round_if_the_app_wants_it_so():
    rules = Rules(limits=Limits(), incoming="interrupt")

    events = decide(RUNNING, Say(id="c1", text="hi"), rules, NOW)
    state = going(RUNNING, *events)

    assert RoundFinished(round=1, status="stopped") in events
    assert next_round(state) == [RoundStarted(round=2, cause="message", source=4)]


def test_what_is_said_while_a_question_is_open_answers_the_oldest():
    state = going(ASKING, QuestionAsked(path="ask#2", text="Sure?", question=ConfirmQuestion()))

    assert decide(state, Say(id="c1", text="7"), RULES, NOW) == [
        QuestionAnswered(question=3, value=Raw(b"7.0"), text="7", command="c1")
    ]
    assert decide(state, Answer(id="c1", text="7"), RULES, NOW) == [
        QuestionAnswered(question=3, value=Raw(b"7.0"), text="7", command="c1")
    ]


def test_what_is_said_after_the_time_of_a_question_answers_the_next_or_is_a_message():
    late = going(
        RUNNING,
        QuestionAsked(path="ask#1", text="?", question=TextQuestion(), deadline=NOW - 1),
    )
    then = going(
        late, QuestionAsked(path="ask#2", text="?", question=TextQuestion(), deadline=NOW + 1)
    )

    assert decide(then, Say(id="c1", text="hi"), RULES, NOW) == [
        QuestionAnswered(question=4, value=Raw(b'"hi"'), text="hi", command="c1")
    ]
    assert decide(late, Say(id="c1", text="hi"), RULES, NOW) == [
        MessageAdded(role="user", text="hi", command="c1")
    ]


def test_an_answer_by_value_is_shown_in_words():
    state = going(
        RUNNING, QuestionAsked(path="ask#1", text="?", question=ConfirmQuestion(yes="Ja"))
    )

    assert decide(state, Answer(id="c1", question=3, value=Raw(b"true")), RULES, NOW) == [
        QuestionAnswered(question=3, value=Raw(b"true"), text="Ja", command="c1")
    ]


def test_an_answer_of_files_keeps_them():
    file = FileRef(id="f1", name="a.png")
    state = going(RUNNING, QuestionAsked(path="ask#1", text="?", question=FileQuestion()))

    assert decide(state, Answer(id="c1", files=(file,)), RULES, NOW) == [
        QuestionAnswered(
            question=3, value=Raw(b'["f1"]'), text="a.png", files=(file,), command="c1"
        )
    ]


@pytest.mark.parametrize("value", [b'"many"', b"[", b'"\xff"', b""])
def test_a_wrong_answer_is_recorded_and_the_question_stands(value):
    events = decide(ASKING, Answer(id="c1", question=3, value=Raw(value)), RULES, NOW)
    state = going(ASKING, *events)

    assert [type(event) for event in events] == [AnswerRejected]
    assert state.round is not None
    assert list(state.round.questions) == [3]
    assert state.recent.seq("c1") == 4


def test_only_the_beginning_of_a_wrong_answer_is_kept():
    events = decide(ASKING, Answer(id="c1", text="x" * 5000), RULES, NOW)

    assert isinstance(events[0], AnswerRejected)
    assert len(events[0].text) == 1000


def test_answers_to_questions_that_are_not_open_are_refused():
    late = going(
        RUNNING, QuestionAsked(path="ask#1", text="?", question=TextQuestion(), deadline=NOW)
    )

    assert refusal(IDLE, Answer(id="c1", text="x")) == "no_question"
    assert refusal(RUNNING, Answer(id="c1", text="x")) == "no_question"
    assert refusal(ASKING, Answer(id="c1", question=2, text="x")) == "no_question"
    assert refusal(late, Answer(id="c1", question=3, text="x")) == "no_question"
    assert refusal(late, Answer(id="c1", text="x")) == "no_question"


def test_stop_ends_the_running_round_and_no_other():
    assert decide(RUNNING, Stop(id="c1"), RULES, NOW) == [
        RoundFinished(round=1, status="stopped", command="c1")
    ]
    assert decide(RUNNING, Stop(id="c1", round=1), ALL, NOW) == [
        RoundFinished(round=1, status="stopped", command="c1"),
        RoundStarted(round=2, cause="stop"),
    ]
    assert refusal(RUNNING, Stop(id="c1", round=2)) == "not_running"
    assert refusal(IDLE, Stop(id="c1")) == "not_running"


def test_the_round_after_a_stop_can_be_stopped_and_is_not_followed_by_another():
    state = going(IDLE, RoundStarted(round=1, cause="stop"))

    assert decide(state, Stop(id="c1"), ALL, NOW) == [
        RoundFinished(round=1, status="stopped", command="c1")
    ]


def test_a_signal_waits_for_its_round_like_a_message():
    events = decide(IDLE, Signal(id="c1", name="ping", data=Raw(b"[1]")), ALL, NOW)

    assert events == [SignalReceived(name="ping", data=Raw(b"[1]"), command="c1")]
    assert next_round(going(IDLE, *events)) == [RoundStarted(round=1, cause="signal", source=2)]


@pytest.mark.parametrize("name", ["", "x" * 129, "\ud800"])
def test_signals_and_variables_need_a_name(name):
    assert refusal(IDLE, Signal(id="c1", name=name), ALL) == "invalid"
    assert refusal(IDLE, Assign(id="c1", name=name, value=Raw(b"1")), ALL) == "invalid"


@given(st.binary(max_size=20) | hostile_json)
def test_a_signal_carries_json_or_is_refused(data):
    with contextlib.suppress(Refused):
        events = decide(IDLE, Signal(id="c1", name="ping", data=Raw(data)), ALL, NOW)
        assert events == [SignalReceived(name="ping", data=Raw(data), command="c1")]
        msgspec.json.decode(data)


def test_a_variable_set_from_outside_is_set_and_deleted():
    events = decide(IDLE, Assign(id="c1", name="a", value=Raw(b'"1.10"'), kind="decimal"), ALL, NOW)
    assert events == [VariableSet(name="a", value=Raw(b'"1.10"'), kind="decimal", command="c1")]

    state = going(IDLE, *events)
    assert decide(state, Assign(id="c2", name="a", value=None), ALL, NOW) == [
        VariableDeleted(name="a", command="c2")
    ]
    assert decide(IDLE, Assign(id="c2", name="a", value=None), ALL, NOW) == []


@pytest.mark.promise("P12")
def test_variables_are_bounded_each_and_all_together():
    limits = Limits(value_bytes=10, variables_bytes=20)
    state = going(IDLE, VariableSet(name="a", value=Raw(b"123456789")))

    check_variable(state, "b", Raw(b"123456789"), limits)
    with pytest.raises(Refused, match="workspace") as caught:
        check_variable(state, "b", Raw(b"12345678901"), limits)
    assert caught.value.code == "too_large"
    with pytest.raises(Refused, match="delete some"):
        check_variable(state, "bc", Raw(b"1234567890"), limits)


def test_a_variable_may_be_set_again_where_there_is_no_room_for_another():
    limits = Limits(value_bytes=10, variables_bytes=10)
    state = going(IDLE, VariableSet(name="a", value=Raw(b"123456789")))

    check_variable(state, "a", Raw(b"987654321"), limits)
    with pytest.raises(Refused, match="delete some"):
        check_variable(state, "a", Raw(b"9876543210"), limits)


def test_closing_ends_what_runs_and_lets_the_app_say_goodbye():
    assert decide(IDLE, Close(id="c1"), RULES, NOW) == [SessionClosed(command="c1")]
    assert decide(RUNNING, Close(id="c1"), ALL, NOW) == [
        RoundFinished(round=1, status="stopped"),
        RoundStarted(round=2, cause="close", command="c1"),
    ]
    assert decide(IDLE, Close(id="c1", reason="expired"), ALL, NOW) == [
        SessionClosed(reason="expired", command="c1")
    ]


def test_the_round_of_closing_closes_the_session_however_it_ends():
    state = going(IDLE, RoundStarted(round=1, cause="close", command="c1"))

    assert finish_round(state, "failed", error="e1")[-1] == SessionClosed()
    assert state.recent.seq("c1") == 2


def test_what_waits_when_a_session_closes_waits_no_longer():
    state = going(RUNNING, MessageAdded(role="user", text="hi"))
    state = going(state, *decide(state, Close(id="c1"), RULES, NOW))

    assert state.phase is Phase.CLOSED
    assert state.queue == ()
    assert next_round(state) == []


# -- snapshots ------------------------------------------------------------------------------


@given(st.binary(max_size=60) | hostile_json | mutated(st.just(encode_snapshot(golden_state()))))
@example(b'{"version":1,"state":' + b"[" * DEEP)
@example(b'{"version":1,"state":{"later":' + b"[" * DEEP + b"]" * DEEP + b"}}")
@example(b'{"version":1,"state":{"user":"\xff"}}')
def test_a_damaged_snapshot_is_read_or_left(data):
    found = decode_snapshot(data, Window())

    assert found is None or isinstance(found, State)


def test_a_snapshot_takes_the_window_of_who_reads_it():
    found = decode_snapshot(encode_snapshot(IDLE), Window(messages=3))

    assert found is not None
    assert found.window == Window(messages=3)


# -- what outlives a round ------------------------------------------------------------------


def test_a_reminder_comes_when_it_is_due_and_waits_for_its_round():
    idle = going(REMINDING, RoundFinished(round=1, status="done"))

    assert idle.due == NOW
    assert overdue(idle, NOW - 1) == []
    came = going(idle, *overdue(idle, NOW))
    assert came.due is None
    assert came.reminders == {}
    assert (came.queue[0].cause, came.queue[0].name) == ("reminder", "a")
    assert came.queue[0].data == Raw(b"[1]")
    assert next_round(came) == [RoundStarted(round=2, cause="reminder", source=5)]


def test_reminders_come_in_the_order_of_their_times():
    state = going(
        RUNNING,
        ReminderSet(path="remind#1", name="a", due=3.0),
        ReminderSet(path="remind#2", name="b", due=2.0),
        ReminderSet(path="remind#3", name="c", due=9.0),
    )

    assert state.due == 2.0
    assert overdue(state, 4.0) == [ReminderCame(name="b"), ReminderCame(name="a")]


def test_a_reminder_is_replaced_by_one_of_its_name_and_can_be_cancelled():
    state = going(REMINDING, ReminderSet(path="remind:a#2", name="a", due=5.0))

    assert state.due == 5.0
    assert going(state, ReminderCancelled(path="unremind#1", name="a")).due is None


def test_a_question_and_a_reminder_are_due_at_the_earlier_time():
    asked = QuestionAsked(path="ask#1", text="?", question=TextQuestion(), deadline=7.0)
    state = going(REMINDING, asked)

    assert state.due == 7.0
    assert going(RUNNING, asked, ReminderSet(path="r#1", name="a", due=6.0)).due == 6.0


def test_work_that_ends_waits_for_its_round_with_its_result():
    ended = WorkEnded(work=3, value=Raw(b"7"))
    state = going(WORKING, ended)

    assert state.work == {}
    assert (state.queue[0].cause, state.queue[0].name) == ("work", "a")
    assert state.queue[0].data == Raw(encode_event(ended))


def test_nothing_is_due_or_done_after_the_end():
    state = going(
        REMINDING,
        WorkStarted(path="work#1", name="a"),
        RoundFinished(round=1, status="done"),
        SessionClosed(),
    )

    assert (state.reminders, state.work, state.due) == ({}, {}, None)


def test_the_place_of_a_round_is_the_one_it_began_at():
    moved = PlaceTaken(path="place#1", place=Raw(b'"b"'), source="a", target="b")
    state = going(RUNNING, moved)

    assert state.place == Raw(b'"b"')
    assert state.round is not None
    assert state.round.place == Raw(b"null")
    next_one = going(
        state, RoundFinished(round=1, status="done"), RoundStarted(round=2, cause="open")
    )
    assert next_one.round is not None
    assert next_one.round.place == Raw(b'"b"')


CHANGES = Rules(limits=Limits(), causes=frozenset({"change"}))


def test_a_variable_set_from_outside_is_noticed_once_by_an_agent_that_wants_to_know():
    command = Assign(id="c1", name="a", value=Raw(b"1"))

    assert len(decide(IDLE, command, RULES, NOW)) == 1
    noticed = decide(IDLE, command, CHANGES, NOW)
    assert noticed[1:] == [ChangeNoticed()]
    waiting = going(RUNNING, *noticed)
    assert waiting.queue[0].cause == "change"
    more = decide(waiting, Assign(id="c2", name="a", value=None), CHANGES, NOW)
    assert more == [VariableDeleted(name="a", command="c2")]


# -- what users think, and what they set ----------------------------------------------------


FEEDBACK = Rules(limits=Limits(queued_messages=1), causes=frozenset({"message", "feedback"}))


def test_a_rating_is_recorded_and_waits_for_a_round_only_where_the_app_wants_it():
    rate = Rate(id="c1", message=1, rating="down", reason="Wrong.")

    assert decide(IDLE, rate, ALL, NOW) == [
        FeedbackGiven(message=1, rating="down", reason="Wrong.", command="c1")
    ]
    events = decide(IDLE, rate, FEEDBACK, NOW)
    following = going(IDLE, *events)
    assert next_round(following) == [RoundStarted(round=1, cause="feedback", source=following.seq)]
    assert following.recent.seq("c1") == following.seq
    with pytest.raises(Refused, match="Too much is waiting"):
        decide(following, msgspec.structs.replace(rate, id="c2"), FEEDBACK, NOW)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"message": 0}, "invalid"),
        ({"message": 10_000}, "invalid"),
        ({"message": "1"}, "invalid"),
        ({"rating": "great"}, "invalid"),
        ({"reason": "\ud800"}, "invalid"),
        ({"reason": "x" * 8193}, "too_large"),
    ],
)
def test_a_rating_that_is_none_is_refused(fields, code):
    rate = Rate(**{"id": "c1", "message": 1, "rating": "up"} | fields)

    with pytest.raises(Refused) as refused:
        decide(IDLE, rate, ALL, NOW)
    assert refused.value.code == code


def test_a_session_begins_with_its_profile_and_what_was_set():
    assert open_session(
        "u1", "open", frozenset({"open"}), profile="desk", settings=Raw(b'{"a":1}')
    ) == [
        SessionOpened(user="u1", command="open", profile="desk"),
        VariableSet(name=SETTINGS, value=Raw(b'{"a":1}')),
        RoundStarted(round=1, cause="open"),
    ]
    assert going(State(), SessionOpened(user="u1", profile="desk")).profile == "desk"
