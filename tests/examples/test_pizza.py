"""The pizzeria takes an order, asks for what is missing, hands over to a colleague, and waits."""

from __future__ import annotations

import datetime as dt
import runpy
from pathlib import Path
from typing import Any

import pytest

import parlour
from parlour.testing import coverage, walk

PIZZA = Path(__file__).parents[2] / "examples" / "pizza.py"


@pytest.fixture(scope="module")
def pizzeria() -> dict[str, Any]:
    return runpy.run_path(str(PIZZA), run_name="pizza")


ORDER = ["two large diavola please", "that is all", "12 Mill Lane", "yes"]


def test_an_order_is_taken_baked_and_brought(pizzeria):
    went = walk(pizzeria["flow"], ORDER)

    assert went.states == ["welcome", "basket", "checkout", "checkout", "done"]
    assert "- 2 × large Diavola\n\n24 euros. Anything else?" in went.said
    assert went.said[-3:] == [
        "Order 101 is in the oven.",
        "It will be with you in 12 minutes.",
        "Enjoy your meal!",
    ]


def test_what_is_missing_is_asked_for_and_misspellings_are_understood(pizzeria):
    went = walk(pizzeria["flow"], ["I would like a pizza", "diavolla", "the biggest", "big"])

    assert went.said[1] == "Which pizza? (Margherita, Funghi, Diavola, Hawaii)"
    assert went.said[3].startswith("Please choose one of: small, medium, large.")
    assert "- 1 × large Diavola" in went.said[-1]


def test_a_colleague_takes_over_and_gives_back(pizzeria):
    says, leaves = pizzeria["ColleagueSays"], pizzeria["ColleagueLeaves"]
    went = walk(
        pizzeria["flow"],
        [
            "a small funghi please",
            "I want to talk to somebody",
            says("Hello!"),
            "no onions",
            leaves(),
        ],
    )

    assert went.states == [
        "welcome",
        "basket",
        "colleague:waiting",
        "colleague:waiting",
        "colleague:waiting",
        "basket",
    ]
    assert "Colleague: Hello!" in went.said
    assert went.variables["for_staff"] == "no onions"
    assert went.said[-1] == "I am back. What else would you like?"


def test_who_falls_silent_finds_the_order_put_away(pizzeria):
    went = walk(pizzeria["flow"], ["a small funghi please", dt.timedelta(minutes=16)])

    assert went.states[-1] == "welcome"
    assert went.variables["basket"] == []


def test_the_order_comes_with_its_picture():
    with parlour.local(str(PIZZA)) as running:
        session = running.get_session()
        session.send_message("3 large hawaii please")
        refs = session.state.files
        assert [(ref.name, ref.type) for ref in refs] == [("order.png", "image/png")]
        assert refs[0].size > 1000


def test_an_unhappy_customer_may_change_or_cancel(pizzeria):
    flow = pizzeria["flow"]
    changed = walk(flow, [*ORDER[:3], "no", "one more small funghi", "cancel my order"])

    assert changed.states == [
        "welcome", "basket", "checkout", "checkout", "basket", "basket", "welcome",
    ]  # fmt: skip
    assert "All right, nothing is ordered." in changed.said
    assert coverage(flow, changed, walk(flow, ORDER)).percent > 40
