"""Flows that call flows: what is beneath waits, and goes on as its author chose."""

from __future__ import annotations

import datetime as dt

import pytest

from parlour.agents.flow import Flow


def shop(**back: object) -> Flow:
    help_ = Flow("help")
    topics, bye = help_.states("topics", "bye", initial="topics", final="bye")
    topics.say("Which topic?")
    topics.when_event("answer").go_to(bye)
    topics.when_event("deeper").call(size_guide())
    bye.say("Hope that helped.")
    flow = Flow("shop")
    browse, pay = flow.states("browse", "pay", initial="browse")
    browse.say("What would you like?")
    browse.reminder(lambda session: session.reply("You were browsing."))
    browse.when_event("pay").go_to(pay)
    pay.when_event("back").go_to(browse)
    flow.any.when_event("help").call(help_, **back)
    flow.any.when_event("cancel").go_to(browse)
    flow.any.when_event("hint").stay(say="A hint.")
    return flow


def size_guide() -> Flow:
    flow = Flow("sizes")
    table = flow.state("table", initial=True)
    table.say("S M L")
    table.when_event("done").end(say="That was it.")
    return flow


def test_a_digression_comes_back_without_running_the_body_again():
    went = shop().walk([("pay", None), ("help", None), ("answer", None), ("back", None)])

    assert went.states == ["browse", "pay", "help:topics", "pay", "browse"]
    assert went.replies[2:4] == [["Which topic?"], ["Hope that helped."]]


@pytest.mark.parametrize(
    ("back", "said"),
    [
        ({"back": "silent"}, []),
        ({"back": "remind"}, ["You were browsing."]),
        ({"remind": "So, what now?"}, ["So, what now?"]),
        ({"back": "again"}, ["What would you like?"]),
    ],
)
def test_the_author_chooses_how_it_goes_on(back, said):
    went = shop(**back).walk([("help", None), ("answer", None)])

    assert went.replies[2] == ["Hope that helped.", *said]
    assert went.states == ["browse", "help:topics", "browse"]


def test_digressions_stand_on_each_other_and_the_roots_beneath_still_answer():
    went = shop().walk(
        [("help", None), ("deeper", None), ("hint", None), ("done", None), ("answer", None)]
    )

    assert went.states == [
        "browse",
        "help:topics",
        "sizes:table",
        "sizes:table",
        "help:topics",
        "browse",
    ]
    assert went.said == [
        "What would you like?",
        "Which topic?",
        "S M L",
        "A hint.",
        "That was it.",
        "Hope that helped.",
    ]


def test_a_root_beneath_that_goes_elsewhere_ends_what_is_above():
    went = shop().walk([("pay", None), ("help", None), ("deeper", None), ("cancel", None)])

    assert went.states[-1] == "browse"
    assert went.strides[-1].replies == ("What would you like?",)


def test_a_flow_that_is_open_is_not_called_again():
    went = shop().walk([("help", None), ("help", None)])

    assert went.states == ["browse", "help:topics", "help:topics"]
    assert went.strides[2].dropped == ("signal help",)


def test_the_timers_of_what_is_beneath_go_on_and_act_when_it_is_back():
    inner = Flow("inner")
    wait, over = inner.states("wait", "over", initial="wait", final="over")
    wait.when_event("done").go_to(over)
    flow = Flow("f")
    a, late = flow.states("a", "late", initial="a")
    a.after(minutes=5).go_to(late)
    a.when_event("in").call(inner)
    late.when_message().go_to(a)

    went = flow.walk([("in", None), dt.timedelta(minutes=6), ("done", None)])

    assert went.states == ["a", "inner:wait", "inner:wait", "late"]


def test_a_session_in_a_digression_is_closed_with_the_timers_of_all():
    inner = Flow("inner")
    wait, over = inner.states("wait", "over", initial="wait", final="over")
    wait.after(minutes=1).go_to(over)
    flow = Flow("f")
    a = flow.state("a", initial=True)
    a.after(minutes=5).go_to(a)
    a.when_event("in").call(inner)
    a.when_event("out").go_to(a)

    went = flow.walk([("in", None), dt.timedelta(minutes=2), dt.timedelta(minutes=4)])

    assert went.states == ["a", "inner:wait", "a", "a"]
    assert went.strides[-1].taken == ("a.1",)
