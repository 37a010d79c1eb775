"""A flow's mistakes are found before it runs: one error lists all, each with its line."""

from __future__ import annotations

import inspect

import pytest

import parlour
from parlour.agents.flow import Flow
from parlour.errors import FlowInvalid


def problems(flow: Flow) -> str:
    with pytest.raises(FlowInvalid) as caught:
        parlour.App(flow)
    return str(caught.value)


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_all_mistakes_are_told_at_once_each_with_its_line():
    flow = Flow("f")
    line = here()
    a = flow.state("a", initial=True)
    lonely = flow.state("lonely")
    a.when_event("x").go_to(a)
    a.when_event("x").go_to(a)
    lonely.when_event("x").go_to(a)
    a.when_event("y")

    found = problems(flow)

    assert "the flow 'f' has 3 mistakes" in found
    assert f"test_checks.py:{line + 2}: no way leads to the state 'lonely'" in found
    assert f"test_checks.py:{line + 4}: this can never be tried" in found
    assert f"of test_checks.py:{line + 3} comes first" in found
    assert f"test_checks.py:{line + 6}: the transition of 'a' on y leads nowhere" in found


def build(declare) -> Flow:
    flow = Flow("f")
    declare(flow)
    return flow


def _no_states(flow):
    pass


def _no_beginning(flow):
    flow.states("a", "b")


def _two_beginnings(flow):
    flow.state("a", initial=True)
    flow.state("b", initial=True)


def _dead_end(flow):
    a, b = flow.states("a", "b", initial="a")
    a.when_message().go_to(b)
    b.say("stuck")


def _twice(flow):
    flow.state("a", initial=True)
    flow.state("a")


def _bad_name(flow):
    flow.state("a.b", initial=True)


def _root_name(flow):
    flow.state("any", initial=True)


def _misspelt(flow):
    flow.states("a", "b", initial="c")


def _final_goes_on(flow):
    a, b = flow.states("a", "b", initial="a", final="b")
    a.when_message().go_to(b)
    b.when_message().go_to(a)


def _final_parent(flow):
    a = flow.state("a", initial=True, final=True)
    a.state("b", initial=True)


def _behind_automatic(flow):
    a, b = flow.states("a", "b", initial="a")
    a.go_to(b)
    a.when_message().go_to(b)
    b.when_message().go_to(a)


def _loop(flow):
    a, b = flow.states("a", "b", initial="a")
    a.go_to(b)
    b.go_to(a)


def _staying_condition(flow):
    a = flow.state("a", initial=True)
    a.when(lambda session: True).stay(say="for ever")


def _other_flow(flow):
    a = flow.state("a", initial=True)
    b = Flow("g").state("b", initial=True)
    a.when_message().go_to(b)


def _never_ends(flow):
    other = Flow("g")
    b = other.state("b", initial=True)
    b.when_message().stay()
    flow.state("a", initial=True).when_message().call(other)


def _no_examples(flow):
    flow.state("a", initial=True).when_intent(flow.intent("empty")).stay()


def _shared_example(flow):
    a = flow.state("a", initial=True)
    a.when_intent(flow.intent("one", ["Book a room"])).stay()
    a.when_intent(flow.intent("two", ["book  a room"])).stay()


def _twice_intent(flow):
    a = flow.state("a", initial=True)
    a.when_intent(flow.intent("one", ["x"])).stay()
    flow.intent("one", ["y"])


def _other_intent(flow):
    flow.state("a", initial=True).when_intent(Flow("g").intent("one", ["x"])).stay()


def _asks_for_nothing(flow):
    flow.state("a", initial=True).when_intent(flow.intent("one", ["x"], ask={"city": "?"})).stay()


def _two_kinds(flow):
    intent = flow.intent("one", ["{n:int} rooms", "at {n:date}"])
    flow.state("a", initial=True).when_intent(intent).stay()


def _twice_entity(flow):
    flow.entity("city", ["Ulm"])
    flow.regex("city", ".*")
    flow.state("a", initial=True).when_message().stay()


def _renamed_to_nothing(flow):
    flow.renamed("old", "new")
    flow.state("a", initial=True).when_message().stay()


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (_no_states, "has no states"),
        (_no_beginning, "does not say in which of its states it begins: a, b"),
        (_two_beginnings, "begins in a and b"),
        (_dead_end, "'b' is a dead end"),
        (_twice, "the state 'a' is there already: test_checks.py"),
        (_bad_name, "not 'a.b'"),
        (_root_name, "the state 'any' is there already"),
        (_misspelt, "there is no state 'c' among"),
        (_final_goes_on, "'b' is final, so this can never be tried"),
        (_final_parent, "is final and has states inside"),
        (_behind_automatic, "'a' goes on by itself"),
        (_loop, "a → b → a go on to each other for ever"),
        (_staying_condition, "would hold again at once"),
        (_other_flow, "'b' is a state of 'g'"),
        (_never_ends, "'g' is called but never ends"),
        (_no_examples, "the intent 'empty' has no examples"),
        (_shared_example, "is an example of 'two' and of 'one'"),
        (_twice_intent, "the intent 'one' is there already"),
        (_other_intent, "the intent 'one' is not one of 'f'"),
        (_asks_for_nothing, "asks for 'city', which no example has"),
        (_two_kinds, "'n' of the intent 'one' is int and date"),
        (_twice_entity, "the entity 'city' is there already"),
        (_renamed_to_nothing, "renamed to 'new', which is no state"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_mistake_is_found(declare, complaint):
    found = problems(build(declare))

    assert complaint in found
    assert "test_checks.py:" in found


def test_what_is_fine_is_not_complained_about():
    flow = Flow("f")
    outer, other, echo, end = flow.states("outer", "other", "echo", "end", initial="outer")
    first, second = outer.states("first", "second", initial="first")
    first.after(seconds=5).go_to(second)
    first.after(seconds=9).go_to(other)
    outer.when_event("x").if_(lambda session: True).go_to(echo)
    outer.when_event("x").go_to(end)
    other.when(lambda session: session.get("a")).go_to(echo)
    other.go_to(end)
    echo.fallback(lambda session: session.reply("echo"))

    parlour.App(flow)


def test_a_flow_that_runs_takes_no_more_declarations():
    flow = Flow("f")
    a = flow.state("a", initial=True)
    a.when_message().stay()
    parlour.App(flow)

    for declare in (
        lambda: flow.state("b"),
        a.when_message,
        lambda: a.body(print),
        lambda: a.say("x"),
        lambda: flow.intent("i", ["x"]),
    ):
        with pytest.raises(RuntimeError, match="before the App"):
            declare()


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (lambda a: a.body("x"), "is a function, not str"),
        (lambda a: a.body(lambda: None), "is called with"),
        (lambda a: a.body(lambda a, b, c, d: None), "is called with"),
        (lambda a: a.when(7), "is a function, not int"),
        (lambda a: a.after(), "say after how much time"),
        (lambda a: a.after(minutes=-1), "say after how much time"),
        (lambda a: a.when_variable("x", "~", 1), "compares nothing"),
        (lambda a: a.when_done("nothing"), "invokes no nothing"),
        (lambda a: a.invoke(lambda: 1), "needs another name"),
        (lambda a: (a.body(print), a.body(print)), "is print of"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_said(declare, complaint):
    a = Flow("f").state("a", initial=True)

    with pytest.raises((TypeError, ValueError), match=complaint):
        declare(a)


def test_a_generator_is_no_body():
    a = Flow("f").state("a", initial=True)

    with pytest.raises(TypeError, match="stream_from"):

        @a.body
        async def tokens(session):
            yield "x"


def test_what_may_not_be_meant_is_remarked():
    flow = Flow("f")
    a = flow.state("a", initial=True)
    a.when_message().stay()
    flow.intent("unused", ["go to {city:city}"])
    flow.renamed("a", "a")
    parlour.App(flow)

    remarks = " ".join(flow.remarks())

    assert "there is no entity 'city'" in remarks
    assert "nothing waits for the intent 'unused'" in remarks
    assert "'a' was renamed to 'a', but is still there" in remarks
