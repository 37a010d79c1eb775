"""A flow drawn and written down: Mermaid, pictures, YAML and back, coverage, the command."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from parlour.agents.flow import Flow, drawing
from parlour.errors import FlowInvalid
from parlour.testing import coverage, walk

PIZZA = Path(__file__).parents[2] / "examples" / "pizza.py"

SHEET = """
flow: hotel
fallback: Pardon?
entities:
  city: {Paris: [paname], Ulm: []}
  plate: {regex: "[A-Z]{2}-[0-9]+"}
intents:
  book:
    examples: ["I want a room", "a room for {nights:int} nights in {city:city}"]
    ask: {city: "In which city?"}
states:
  greet:
    initial: true
    say: Good evening!
    transitions:
      - {intent: book, go_to: ordering}
      - {no_intent: true, stay: true, say: "Sorry?"}
      - {event: vip, if: is_vip, go_to: done}
  ordering:
    defer: {paid: 60}
    states:
      choosing:
        initial: true
        body: choose
        transitions:
          - {variable: [age, ">=", 18], go_to: paying}
      paying:
        transitions:
          - {event: paid, go_to: done}
          - {event: help, call: help, remind: "So?"}
    transitions:
      - {after: 600, silence: true, go_to: greet}
  done:
    final: true
any:
  transitions:
    - {event: cancel, do: note, go_to: greet, say: As you like.}
flows:
  help:
    states:
      topic:
        initial: true
        say: Which topic?
        transitions:
          - {message: true, end: true}
renamed: {old: greet}
"""


def choose(session):
    session.reply(f"{session.state} in {session.predicted_intent.parameters['city']}")


def is_vip(session):
    return session.get("vip")


def note(session):
    session.set("cancelled", True)


FUNCTIONS = {"choose": choose, "is_vip": is_vip, "note": note}
STEPS = [
    "a room for 3 nights in paname",
    {"age": 20},
    ("help", None),
    "whatever",
    ("cancel", None),
    "a room in Ulm",
    dt.timedelta(minutes=11),
]


def test_a_flow_from_yaml_runs_like_one_from_code():
    went = walk(Flow.from_yaml(SHEET, FUNCTIONS), STEPS)

    assert went.states == [
        "greet", "choosing", "paying", "help:topic", "paying", "greet", "paying", "greet",
    ]  # fmt: skip
    assert "choosing in Paris" in went.said
    assert went.variables["cancelled"] is True


def test_what_is_exported_is_read_as_the_same_flow():
    flow = Flow.from_yaml(SHEET, FUNCTIONS)
    text = flow.to_yaml()
    again = Flow.from_yaml(text, FUNCTIONS)

    assert again.to_yaml() == text
    assert [(row.id, row.title) for row in again.table] == [
        (row.id, row.title) for row in flow.table
    ]
    assert walk(again, STEPS).said == walk(flow, STEPS).said


def test_a_file_is_read_and_named_in_mistakes(tmp_path):
    path = tmp_path / "bot.yaml"
    path.write_text("states:\n  a:\n    initial: true\n  b: {}\n", encoding="utf-8")

    with pytest.raises(FlowInvalid, match=r"bot.yaml:4: no way leads to the state 'b'"):
        Flow.from_yaml(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("states: [a]", "a mapping of names"),
        ("colour: red", "'colour' means nothing here"),
        ("states: {a: {initial: true, body: run}}", "there is no function 'run'"),
        ("states: {a: {initial: true, transitions: [{go_to: b}]}}", "there is no state 'b'"),
        ("states: {a: {initial: true, transitions: [{intent: i, stay: true}]}}", "no intent 'i'"),
        ("states: {a: {initial: true, transitions: [{event: x}]}}", "leads to one"),
        (
            "states: {a: {initial: true, transitions: [{event: x, file: [], stay: true}]}}",
            "at most",
        ),
        (
            "states: {a: {initial: true, transitions: [{event: x, call: y}]}}",
            "there is no flow 'y'",
        ),
        ("states: {a: {initial: true, transitions: [{after: soon, stay: true}]}}", "a number"),
        (
            "states: {a: {initial: true, transitions: [{error: [Nope], stay: true}]}}",
            "no exception",
        ),
        ("states: {a: {say: 7, initial: true}}", "here stands text"),
        ("states: {a: {", "no YAML"),
        ("!!python/object/apply:os.system [echo]", "a mapping of names"),
        ("", "a mapping of names"),
    ],
)
def test_a_mistake_in_a_sheet_is_told_with_its_line(text, complaint):
    with pytest.raises(FlowInvalid) as caught:
        Flow.from_yaml(text)

    assert complaint in str(caught.value)
    assert "flow.yaml" in str(caught.value)


def test_a_lambda_cannot_be_exported():
    flow = Flow("f")
    a = flow.state("a", initial=True)
    a.body(lambda session: None)
    a.when_message().stay()

    with pytest.raises(ValueError, match=r"test_sheets.py:\d+: a <lambda> has no name"):
        flow.to_yaml()


def test_the_diagram_has_every_state_and_every_transition():
    flow = Flow.from_yaml(SHEET, FUNCTIONS)
    text = flow.mermaid("paying")

    assert text.startswith("stateDiagram-v2\n")
    for state in ("greet", "ordering", "choosing", "paying", "done", "help__topic"):
        assert f"s_{state}" in text
    assert "s_greet --> s_greet : no intent (stays)" in text
    assert "s_greet --> s_done : vip [is_vip]" in text
    assert "s_choosing --> s_paying : [age >= 18]" in text
    assert "s_ordering --> s_greet : after 10 min of silence" in text
    assert "s_paying --> f_help : help (calls)" in text
    assert "class s_paying active" in text


def test_hostile_names_do_not_break_the_diagram():
    flow = Flow("f")
    a = flow.state('end "x" {y}', initial=True)
    a.when_event("a:b;c#d\n{e}").go_to(a)

    assert "<svg" in drawing.svg(flow)


def test_coverage_names_the_transitions_that_were_never_taken():
    flow = Flow.from_yaml(SHEET, FUNCTIONS)
    report = coverage(flow, walk(flow, STEPS[:4]))

    assert report.percent < 100
    assert "was never taken" in str(report)
    assert "any.1 cancel" in str(report)
    assert "greet.1" not in {row.id for row in report.missing}


def parlour(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parlour", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_command_draws_a_flow(tmp_path):
    picture = tmp_path / "pizza.png"
    done = parlour("flow", str(PIZZA), "--png", str(picture), "--mermaid", "--state", "basket")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stateDiagram-v2")
    assert "class s_basket active" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_tells_mistakes_and_what_is_no_flow(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import parlour\nflow = parlour.Flow('f')\nflow.state('a')\napp = parlour.App(flow)\n"
    )
    plain = tmp_path / "plain.py"
    plain.write_text("import parlour\napp = parlour.App()\n")

    assert "bad.py:2: 'f' does not say in which of its states it begins" in parlour(
        "flow", str(bad)
    ).stderr.replace("\n", " ")
    told = parlour("flow", str(plain))
    assert told.returncode != 0
    assert "is no flow" in told.stderr
