"""The one rule of order: events as they arrive, innermost state first, then as written."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest

import parlour
from parlour.agents.flow import Changed, Flow, Raised, Said, Signalled
from parlour.testing import walk


@dataclass
class Paid:
    amount: int = 0


def test_the_example_of_the_guide_reads_aloud_and_runs():
    flow = parlour.Flow("hotel")
    greet, ordering, done = flow.states("greet", "ordering", "done", initial="greet")
    book = flow.intent(
        "book", ["I want a room", "book a room for {nights:int} nights in {city:city}"]
    )

    @greet.body
    def hello(session):
        session.reply("Good evening!")

    greet.when_intent(book).go_to(ordering)
    greet.when_no_intent().stay(say="Sorry?")
    ordering.when(lambda session, event: session.get("age", 0) >= 18).go_to(done)
    ordering.after(minutes=10).go_to(greet)

    went = flow.walk(
        [
            "why is it raining",
            "I want a room",
            dt.timedelta(minutes=11),
            "I want a room",
            {"age": 20},
        ]
    )

    assert went.states == ["greet", "greet", "ordering", "greet", "ordering", "done"]
    assert went.said == ["Good evening!", "Sorry?", "Good evening!"]


def test_transitions_are_tried_in_the_order_written():
    flow = Flow("f")
    a, b, c = flow.states("a", "b", "c", initial="a")
    a.when_event("x").if_(lambda session: session.get("wanted")).go_to(b)
    a.when_event("x").go_to(c)
    b.when_event("y").go_to(a)
    c.when_event("y").go_to(a)

    went = flow.walk([("x", None), ("y", None), {"wanted": True}, ("x", None)])

    assert went.states == ["a", "c", "a", "a", "b"]


def test_the_innermost_state_comes_first_and_its_parents_handle_what_it_does_not():
    flow = Flow("f")
    outer = flow.state("outer", initial=True)
    first, second = outer.states("first", "second", initial="first")
    away = flow.state("away")
    first.when_event("x").go_to(second)
    outer.when_event("x").go_to(away)
    outer.when_event("y").stay(say="outer")
    flow.any.when_event("help").stay(say="help")
    away.when_event("x").go_to(outer)

    went = flow.walk([("y", None), ("help", None), ("x", None), ("x", None), ("x", None)])

    assert went.states == ["first", "first", "first", "second", "away", "first"]
    assert went.said == ["outer", "help"]


def test_bodies_run_from_outside_in_and_leaving_goes_from_inside_out():
    flow = Flow("f")
    outer, away = flow.states("outer", "away", initial="outer")
    inner, other = outer.states("inner", "other", initial="inner")
    for state in (outer, inner, other, away):
        state.enter(lambda session, name=state.name: session.reply(f"+{name}"))
        state.leave(lambda session, name=state.name: session.reply(f"-{name}"))
        state.say(state.name)
    inner.when_event("x").go_to(other)
    other.when_event("x").go_to(away)
    away.when_event("x").go_to(other)
    outer.when_event("again").go_to(outer)

    went = flow.walk([("x", None), ("x", None), ("x", None), ("again", None)])

    assert went.replies == [
        ["+outer", "outer", "+inner", "inner"],
        ["-inner", "+other", "other"],
        ["-other", "-outer", "+away", "away"],
        ["-away", "+outer", "outer", "+other", "other"],
        ["-other", "-outer", "+outer", "outer", "+inner", "inner"],
    ]


def test_going_to_the_state_itself_enters_it_anew_and_staying_does_not():
    flow = Flow("f")
    a = flow.state("a", initial=True)
    a.say("here")
    a.when_event("again").go_to(a)
    a.when_event("stay").stay(say="stays")

    assert flow.walk([("stay", None), ("again", None)]).replies == [["here"], ["stays"], ["here"]]


def test_everything_that_follows_an_event_happens_before_the_next_one():
    flow = Flow("f")
    a, b, c = flow.states("a", "b", "c", initial="a")

    @a.body
    async def first(session):
        session.reply("a")

    a.when_message().go_to(b)

    @b.body
    async def second(session):
        session.signal("inside", 1)
        session.set("ready", True)
        session.reply("b")

    b.when_variable("ready", "==", True).go_to(c)

    @c.body
    async def third(session):
        session.reply("c")

    c.when_event("inside").do(lambda session, event: session.reply(f"inside {event.data}")).stay()
    c.when_message().go_to(a)

    went = flow.walk(["x", "y"])

    assert went.replies == [["a"], ["b", "c", "inside 1"], ["a"]]
    assert went.states == ["a", "c", "a"]


def test_conditions_are_looked_at_after_each_event_and_each_variable_set_and_never_in_between():
    looked: list[str] = []
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a", final="b")

    def grown(session, event):
        looked.append(type(event).__name__)
        return session.get("age", 0) >= 18

    a.when(grown).go_to(b)
    b.say("grown up")

    went = flow.walk([dt.timedelta(days=3), "hello", {"age": 3}, {"age": 18}])

    assert looked == ["Began", "Said", "Said", "Changed", "Changed", "Changed"]
    assert went.states == ["a", "a", "a", "a", "b"]


def test_conditions_may_be_coroutines_and_negated_and_compare_variables():
    flow = Flow("f")
    a, b, c = flow.states("a", "b", "c", initial="a")

    async def open_(session):
        return session.get("open")

    a.when_event("x").unless(open_).stay(say="closed")
    a.when_event("x").if_variable("room", "in", ["sea", "garden"]).go_to(b)
    a.when_event("x").go_to(c)
    for state in (b, c):
        state.when_event("x").go_to(a)

    went = flow.walk(
        [("x", None), {"open": True}, ("x", None), ("x", None), {"room": "sea"}, ("x", None)]
    )

    assert went.states == ["a", "a", "a", "c", "a", "a", "b"]


def test_a_comparison_with_what_does_not_compare_holds_not():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.when_variable("age", ">", 18).go_to(b)
    a.when_message().stay(say="still here")

    assert flow.walk([{"age": "old"}, "x", {"age": 19}]).states == ["a", "a", "a", "b"]


def test_events_of_the_applications_own_classes_come_as_such():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    got: list[object] = []

    @b.body
    def thank(session, event, parameters):
        got.extend([event, parameters, session.event])

    a.when(Paid).if_(lambda session, event: event.amount >= 10).go_to(b)
    b.when("again").go_to(a)

    went = flow.walk([Paid(5), Paid(10), ("again", None), ("Paid", {"amount": 11})])

    assert went.states == ["a", "a", "b", "a", "b"]
    assert got[0] == Paid(10) == got[2]
    assert got[1] == {"amount": 10}
    assert got[3] == Paid(11)


@pytest.mark.promise("P13")
@pytest.mark.parametrize("data", [{"amount": "much"}, [1], "x", 7, {"amount": None}])
def test_an_event_that_does_not_fit_its_class_is_dropped_with_a_trace(data):
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.when(Paid).go_to(b)

    went = flow.walk([("Paid", data)])

    assert went.states == ["a", "a"]
    assert went.strides[1].dropped == ("signal Paid",)


def test_an_event_that_nobody_wants_is_dropped_with_a_trace_and_one_that_is_put_off_comes_later():
    flow = Flow("f")
    a, b, c, d = flow.states("a", "b", "c", "d", initial="a")
    a.when_message().go_to(b)
    b.defer(Paid)
    b.when_message().go_to(c)
    c.when(Paid).do(lambda session, event: session.reply(f"paid {event.amount}")).go_to(d)

    went = flow.walk([Paid(1), "x", Paid(2), Paid(3), "y"])

    assert went.strides[1].dropped == ("signal Paid",)
    assert went.states == ["a", "a", "b", "b", "b", "d"]
    assert went.strides[5].replies == ("paid 2",)


def test_an_event_that_was_put_off_too_long_is_not_wanted_any_more():
    flow = Flow("f")
    a, b, c = flow.states("a", "b", "c", initial="a")
    a.defer(Paid, for_=60)
    a.when_message().go_to(b)
    b.when(Paid).go_to(c)

    assert flow.walk([Paid(1), dt.timedelta(seconds=50), "x"]).states[-1] == "c"
    flow = flow_again = Flow("f")
    a, b, c = flow_again.states("a", "b", "c", initial="a")
    a.defer(Paid, for_=60)
    a.when_message().go_to(b)
    b.when(Paid).go_to(c)
    assert flow.walk([Paid(1), dt.timedelta(seconds=70), "x"]).states[-1] == "b"


@pytest.mark.promise("P12")
def test_only_so_many_events_are_put_off():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.defer("x")
    a.when_message().go_to(b)
    b.when_event("x").do(lambda session, event: session.reply(str(event.data))).stay()

    went = flow.walk([*[("x", number) for number in range(40)], "go"])

    assert went.strides[-1].replies == tuple(str(number) for number in range(8, 40))
    assert sum(bool(stride.dropped) for stride in went.strides) == 8


def test_a_fallback_answers_what_no_transition_wants_the_innermost_one_first():
    flow = Flow("f", fallback="flow")
    a, b, c = flow.states("a", "b", "c", initial="a")
    inner = a.state("inner", initial=True)
    a.fallback(lambda session: session.reply(f"outer {session.event.text}"))
    inner.when_event("x").go_to(b)
    b.fallback(lambda session: session.reply("b"))
    b.when_event("x").go_to(c)
    c.when_event("x").go_to(a)

    went = flow.walk(["1", ("x", None), "2", ("x", None), "3"])

    assert went.said == ["outer 1", "b", "flow"]
    assert went.strides[5].dropped == ("message",)


def test_bodies_get_what_they_ask_for():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    got: dict[str, object] = {}

    @a.body
    async def one(session):
        got["one"] = (type(session).__name__, type(session.event).__name__)

    @b.body
    def more(session, event, *, amount, currency="EUR"):
        got["more"] = (type(session).__name__, event.name, amount, currency)

    a.when_event("pay").do(lambda s, e, p: got.update(p)).go_to(b)

    b.when_message().go_to(a)

    flow.walk([("pay", {"amount": 3})])

    assert got["one"] == ("FlowSession", "Began")
    assert got["more"] == ("BlockingFlowSession", "pay", 3, "EUR")
    assert got["amount"] == 3


def test_a_session_tells_its_state_its_event_and_its_history():
    flow = Flow("f")
    a = flow.state("a", initial=True)
    got: list[object] = []

    @a.body
    async def hello(session: parlour.FlowSession) -> None:
        session.reply("hello")

    @a.fallback
    async def tell(session: parlour.FlowSession) -> None:
        got.extend(
            [session.state, session.event.text, session.chat_history, session.predicted_intent]
        )

    flow.walk(["hi"])

    assert got == ["a", "hi", [("hello", 0), ("hi", 1)], None]
    assert isinstance(Said(text=""), parlour.agents.flow.FlowEvent)


def test_files_are_told_by_their_type(tmp_path):
    flow = Flow("f")
    a, picture, paper = flow.states("a", "picture", "paper", initial="a")
    a.when_file("image/*").go_to(picture)
    a.when_file(".pdf").go_to(paper)
    for state in (picture, paper):
        state.when_file().do(lambda session, event: session.reply(event.files[0].name)).go_to(a)
    for name in ("a.png", "b.pdf", "c.txt"):
        (tmp_path / name).write_bytes(b"x")

    went = flow.walk([tmp_path / name for name in ("c.txt", "a.png", "c.txt", "b.pdf", "a.png")])

    assert went.states == ["a", "a", "picture", "a", "paper", "a"]
    assert "c.txt" in went.said


@pytest.mark.promise("P13")
def test_a_body_that_raises_is_answered_by_a_transition():
    flow = Flow("f")
    a, b, sorry = flow.states("a", "b", "sorry", initial="a")
    a.when_message().go_to(b)

    @b.body
    def fail(session):
        session.reply("trying")
        raise LookupError("no such room")

    b.when_error(ZeroDivisionError).go_to(a)
    b.when_error(LookupError).go_to(sorry)
    sorry.body(lambda session, event: session.reply(f"{event.error}: {event.reason}"))
    sorry.when_message().go_to(a)

    went = flow.walk(["x", "y"])

    assert went.states == ["a", "sorry", "a"]
    assert went.strides[1].replies == ("trying", "LookupError: no such room")
    assert isinstance(Raised(state="", error="", reason=""), Raised)


@pytest.mark.promise("P13")
def test_a_body_that_raises_where_nothing_answers_fails_its_round_and_the_flow_goes_on():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.when_message().go_to(b)
    b.body(lambda session: 1 / 0)
    b.when_message().go_to(a)

    went = flow.walk(["x", "y"])

    assert [stride.status for stride in went.strides] == ["done", "failed", "done"]
    assert went.states == ["a", "b", "a"]


@pytest.mark.promise("P13")
def test_a_flow_that_goes_round_in_circles_by_itself_ends_its_round():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.when_message().go_to(b)
    a.when(lambda session: session.get("on")).go_to(b)
    b.when(lambda session: session.get("on")).go_to(a)
    b.when_message().go_to(a)

    went = flow.walk(["x", {"on": True}, {"on": False}, "y"])

    assert [stride.status for stride in went.strides] == ["done", "done", "failed", "done", "done"]


def test_a_message_after_the_end_begins_anew_or_finds_the_session_closed():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a", final="b")
    a.say("hello")
    a.when_message().go_to(b)
    b.say("bye")
    assert flow.walk(["x", ("late", None), "y"]).replies == [
        ["hello"],
        ["bye"],
        [],
        ["hello", "bye"],
    ]

    flow = Flow("f", at_end="close")
    a, b = flow.states("a", "b", initial="a", final="b")
    a.when_message().go_to(b)
    with pytest.raises(parlour.Refused, match="closed"):
        walk(flow, ["x", "y"])


def test_texts_have_variables_and_parameters_in_them():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.when_event("go").go_to(b, say="{to}, {who}!")
    b.say("Hello {who}, {unknown}")
    b.when_message().go_to(a)

    assert flow.walk([{"who": "Ada {to}"}, ("go", {"to": "Ulm"})]).said == [
        "Ulm, Ada {to}!",
        "Hello Ada {to}, {unknown}",
    ]


def test_standard_events_can_be_named_by_their_classes():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.when_event(Said).go_to(b)
    b.when_event(Changed).go_to(a)

    assert flow.walk(["x", {"a": 1}]).states == ["a", "b", "a"]
    with pytest.raises(ValueError, match="after, when_done"):
        Flow("g").any.when_event(Raised)
    assert Signalled(name="x").data is None
