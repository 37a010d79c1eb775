"""Timeouts, silence, and what goes on beside the conversation."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from parlour.agents.flow import Done, Failed, Flow, TimedOut

MINUTE = dt.timedelta(minutes=1)


def test_a_timeout_counts_from_entering_the_state():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.after(minutes=10).go_to(b)
    a.when_event("again").go_to(a)
    a.when_event("stay").stay()
    b.body(lambda session, event: session.reply(event.state))
    b.when_message().go_to(a)

    went = flow.walk(
        [9 * MINUTE, ("stay", None), ("again", None), 9 * MINUTE, 2 * MINUTE, "x", 11 * MINUTE]
    )

    assert went.states == ["a", "a", "a", "a", "a", "b", "a", "b"]
    assert went.said == ["a", "a"]
    assert TimedOut(state="a").state == "a"


def test_a_timer_of_a_state_that_was_left_does_nothing():
    flow = Flow("f")
    a, b, c = flow.states("a", "b", "c", initial="a")
    a.after(minutes=10).go_to(c)
    a.when_message().go_to(b)
    b.when_message().go_to(a)
    c.when_message().go_to(a)

    went = flow.walk([9 * MINUTE, "x", 5 * MINUTE, "y", 9 * MINUTE, MINUTE])

    assert went.states == ["a", "a", "b", "b", "a", "a", "c"]


def test_silence_is_counted_from_the_last_message():
    flow = Flow("f")
    a, b = flow.states("a", "b", initial="a")
    a.after(minutes=10, silence=True).go_to(b, say="Are you there?")
    a.fallback(lambda session: session.reply("yes"))
    b.when_message().go_to(a)

    went = flow.walk([9 * MINUTE, "x", 9 * MINUTE, "y", 9 * MINUTE, 2 * MINUTE])

    assert went.states == ["a"] * 6 + ["b"]
    assert went.said == ["yes", "yes", "Are you there?"]


def test_the_timers_of_the_states_around_go_on_while_those_within_change():
    flow = Flow("f")
    outer, away = flow.states("outer", "away", initial="outer")
    one, two = outer.states("one", "two", initial="one")
    outer.after(minutes=10).go_to(away)
    one.after(minutes=6).go_to(two)
    two.after(minutes=6).go_to(one)
    away.when_message().go_to(outer)

    assert flow.walk([7 * MINUTE, 4 * MINUTE]).states == ["one", "two", "away"]


def test_a_timeout_may_say_something_and_stay():
    flow = Flow("f")
    a = flow.state("a", initial=True)
    a.after(minutes=1).stay(say="one")
    a.after(minutes=2).stay(say="two")
    a.when_message().go_to(a)

    assert flow.walk([5 * MINUTE]).replies[1] == ["one", "two"]


def searching(find) -> Flow:
    flow = Flow("f")
    ask, search, found, sorry = flow.states("ask", "search", "found", "sorry", initial="ask")
    ask.when_event("city").do(lambda s, e: s.set("city", e.data)).go_to(search)
    search.say("Looking …")
    search.invoke(find, "city", "nights")
    search.when_done(find).go_to(found)
    search.when_failed("find").go_to(sorry)
    search.when_event("stop").go_to(ask)
    found.body(lambda session, event: session.reply(f"{event.name}: {event.value}"))
    sorry.body(lambda session, event: session.reply(f"{event.error}: {event.reason}"))
    for state in (found, sorry):
        state.when_message().go_to(ask)
    return flow


@pytest.mark.parametrize("plain", [True, False])
def test_what_a_state_invokes_comes_back_as_an_event(plain):
    async def find(city: str, nights: int | None) -> list[str]:
        return [city, str(nights)]

    async_find = find
    if plain:

        def find(city: str, nights: int | None) -> list[str]:
            return [city, str(nights)]

    went = searching(find if plain else async_find).walk([("city", "Ulm")])

    assert went.said == ["Looking …", "find: ['Ulm', 'None']"]
    assert Done(name="find").value is None


def test_what_fails_comes_back_as_an_event_too():
    async def find(city: str, nights: int | None) -> None:
        raise LookupError(f"nothing in {city}")

    went = searching(find).walk([("city", "Ulm"), "ok"])

    assert went.states == ["ask", "sorry", "ask"]
    assert went.said[-1] == "LookupError: nothing in Ulm"
    assert Failed(name="", error="", reason="").name == ""


def test_what_is_invoked_need_not_be_waited_for_in_the_same_state():
    gate = threading.Event()

    def slowly() -> str:
        gate.wait(10)
        return "late"

    flow = Flow("f")
    outer, end = flow.states("outer", "end", initial="outer", final="end")
    one, two = outer.states("one", "two", initial="one")
    outer.invoke(slowly)
    outer.when_done(slowly).go_to(end)

    def open_gate(session):
        gate.set()

    one.enter(open_gate)
    one.when_message().go_to(two)

    assert flow.walk([]).states == ["end"]
