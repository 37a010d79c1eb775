"""Intents: found by examples, refused where a sentence is none, asked back, filled."""

from __future__ import annotations

import subprocess
import sys

import pytest

import parlour
from parlour.agents.flow import Candidate, Flow, NgramClassifier
from parlour.agents.flow.intents import Intent

SENTENCES: dict[str, tuple[list[str], list[str]]] = {
    # Written for this test: examples, then sentences to be told apart.
    "order": (
        ["I would like a pizza", "can I order something to eat", "one margherita please",
         "I want to order food", "get me a large pizza"],
        ["please bring me a pizza", "could I order a meal", "I'd like to order two pizzas",
         "a margherita for me please"],
    ),
    "hours": (
        ["when do you open", "what are your opening hours", "are you open on sunday",
         "until when can I come", "at what time do you close"],
        ["are you open today", "what time do you open on monday", "when do you close tonight",
         "tell me your opening hours"],
    ),
    "track": (
        ["where is my order", "how long until my food arrives", "track my delivery",
         "has my pizza left yet", "my order is late"],
        ["where is my pizza now", "how long will the delivery take", "is my order on its way",
         "why is my food so late"],
    ),
    "pay": (
        ["can I pay by card", "which payment methods do you take", "do you accept cash",
         "I want to pay with paypal", "how can I pay"],
        ["do you take credit cards", "is paying with cash possible", "can I pay when it arrives",
         "what payment do you accept"],
    ),
}  # fmt: skip
STRANGERS = [
    "my tooth hurts", "the bicycle has a flat tyre", "who won the election in norway",
    "sing a song about the moon", "translate cat into spanish", "what is seven times eight",
    "book a flight to lisbon", "the cat is on the roof again",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return NgramClassifier().train({name: examples for name, (examples, _) in SENTENCES.items()})


def test_sentences_are_told_apart(model):
    asked = [(text, name) for name, (_, texts) in SENTENCES.items() for text in texts]
    right = [model.predict(text)[0].name == name for text, name in asked]

    assert sum(right) >= len(right) - 1


def test_what_is_none_of_the_intents_is_below_the_threshold(model):
    known = [text for _, texts in SENTENCES.values() for text in texts]
    kept = sum(model.predict(text)[0].confidence >= model.threshold for text in known)
    refused = sum(model.predict(text)[0].confidence < model.threshold for text in STRANGERS)

    assert kept >= len(known) - 2
    assert refused >= len(STRANGERS) - 1


def test_an_example_itself_is_certain_and_the_best_few_are_told(model):
    best = model.predict("When do you OPEN?")

    assert best[0] == Candidate("hours", 1.0)
    assert {found.name for found in best} == set(SENTENCES)
    assert [found.confidence for found in best] == sorted(
        (found.confidence for found in best), reverse=True
    )


def test_the_same_examples_give_the_same_model(model):
    again = NgramClassifier().train({name: given for name, (given, _) in SENTENCES.items()})

    for text in STRANGERS:
        assert again.predict(text) == model.predict(text)


def test_one_intent_is_enough():
    model = NgramClassifier().train({"book": ["I want a room", "book a room for two nights"]})

    assert model.predict("a room please, for two nights")[0].confidence >= model.threshold
    assert model.predict("who painted the mona lisa")[0].confidence < model.threshold
    assert NgramClassifier().train({}).predict("x") == ()


@pytest.mark.parametrize("text", ["", " ", "🙂" * 900, "\x00", "a" * 100_000])
def test_no_sentence_breaks_it(model, text):
    assert len(model.predict(text)) == len(SENTENCES)


def test_examples_are_learned_with_values_in_place_of_their_parameters():
    flow = Flow("f")
    flow.entity("city", ["Ulm", "Rome"])
    intent = flow.intent("i", ["go to {city:city}", "{n:int} nights"])

    assert isinstance(intent, Intent)
    assert intent.sentences() == (
        "go to Ulm",
        "go to Rome",
        "2 nights",
        "three nights",
        "10 nights",
    )


def hotel() -> Flow:
    flow = Flow("hotel")
    flow.entity("city", {"Paris": ["paname"], "Ulm": []})
    greet, booked = flow.states("greet", "booked", initial="greet")
    book = flow.intent(
        "book",
        ["I want a room", "book a room for {nights:int} nights in {city:city}"],
        ask={"city": "In which city?", "nights": "How many nights?"},
    )
    cancel = flow.intent("cancel", ["cancel that", "never mind", "forget it"])
    greet.when_intent(book).go_to(booked)
    greet.when_no_intent().stay(say="Sorry?")

    @booked.body
    def confirm(session, event, *, city, nights):
        found = session.predicted_intent
        session.reply(f"{nights} nights in {city}, {found.name}, {found.sentence}")

    booked.when_message().go_to(greet)
    flow.any.when_intent(cancel).go_to(greet, say="As you like.")
    return flow


def test_an_intent_brings_its_parameters():
    went = hotel().walk(["please book a room for 3 nights in paname"])

    assert went.said == ["3 nights in Paris, book, please book a room for 3 nights in paname"]


@pytest.mark.promise("P7")
def test_what_an_intent_lacks_is_asked_for_and_checked():
    went = hotel().walk(["I want a room", "Atlantis", "Pariss", "many", "4"])

    assert went.said == [
        "In which city? (Paris, Ulm)",
        "Please choose one of: Paris, Ulm. In which city? (Paris, Ulm)",
        "How many nights?",
        "Please give a number. How many nights?",
        "4 nights in Paris, book, I want a room",
    ]
    assert went.states == ["greet", "greet", "greet", "greet", "greet", "booked"]


def test_an_answer_that_is_another_wish_ends_the_asking():
    went = hotel().walk(["I want a room", "never mind", "I want a room"])

    asked = "In which city? (Paris, Ulm)"
    assert went.said == [asked, "As you like.", asked]
    assert went.taken == {"begin", "any.1"}


def test_a_message_of_no_intent_is_refused():
    assert hotel().walk(["who painted the mona lisa"]).said == ["Sorry?"]


def test_a_state_may_ask_back_which_intent_was_meant():
    def flow() -> Flow:
        made = Flow("f")
        a, b, c = made.states("a", "b", "c", initial="a")
        room = made.intent("room", ["I want a room", "book a room"], description="book a room")
        taxi = made.intent("taxi", ["I want a taxi", "order a taxi"], description="order a taxi")
        a.ask_back(below=0.999)
        a.when_intent(room).go_to(b)
        a.when_intent(taxi).go_to(c)
        a.when_no_intent().stay(say="Pardon?")
        for state in (b, c):
            state.when_message().go_to(a)
        return made

    assert flow().walk(["a room or a taxi", "order a taxi"]).states == ["a", "a", "c"]
    assert flow().walk(["a room or a taxi", "None of these"]).said[-1] == "Pardon?"
    assert flow().walk(["book a room"]).states == ["a", "b"]


def test_a_classifier_of_ones_own_may_take_its_time():
    class Slow:
        threshold = 0.5
        slow = True

        def train(self, intents):
            self.names = list(intents)
            return self

        async def predict(self, sentence):
            return [Candidate(name, float(name in sentence)) for name in self.names]

    flow = Flow("f", classifier=Slow())
    a, b = flow.states("a", "b", initial="a")
    a.when_intent(flow.intent("room", ["x"]), at_least=0.9).go_to(b)
    b.when_message().go_to(a)

    assert flow.walk(["a taxi", "a room"]).states == ["a", "a", "b"]


def test_nothing_heavy_is_imported_before_a_flow_runs():
    code = (
        "import sys, parlour\n"
        "flow = parlour.Flow('f'); a = flow.state('a', initial=True)\n"
        "a.when_intent(flow.intent('i', ['x {n:int}'])).stay(); parlour.App(flow)\n"
        "print(sorted({'sklearn', 'numpy', 'yaml', 'dateparser'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_missing_library_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)

    with pytest.raises(parlour.ParlourError, match=r"pip install 'parlour\[flow\]'"):
        NgramClassifier().train({"a": ["x y z"]})
