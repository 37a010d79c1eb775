"""Questions in words."""

import datetime as dt

import pytest
from told import asked, raw

from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    TextQuestion,
)
from parlour.transports.codecs.asking import in_words, options_of

OPTIONS = (Option(value="p", label="Paris"), Option(value="r", label="Rome", description="old"))
FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Your name"},
        "age": {"type": "integer"},
        "tags": {"type": ["string", "null"]},
        "other": True,
    },
}


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (TextQuestion(), "Which?"),
        (TextQuestion(default=raw("x")), "Which?\n\n(Else: x)"),
        (TextQuestion(default=raw("")), "Which?"),
        (ChoiceQuestion(options=OPTIONS), "Which?\n\n1. Paris\n2. Rome: old"),
        (
            ChoiceQuestion(options=OPTIONS, many=True),
            "Which?\n\n1. Paris\n2. Rome: old\n\n(Several: with commas between them.)",
        ),
        (ConfirmQuestion(default=raw(False)), "Which?\n\n(Yes / No)\n\n(Else: No)"),
        (NumberQuestion(), "Which?"),
        (NumberQuestion(integer=True, minimum=1), "Which?\n\n(a whole number from 1)"),
        (NumberQuestion(maximum=2.5, default=raw(2)), "Which?\n\n(up to 2.5)\n\n(Else: 2)"),
        (
            DateQuestion(minimum=dt.date(2026, 1, 2)),
            "Which?\n\n(a date like 2026-11-21 from 2026-01-02)",
        ),
        (FileQuestion(), "Which?\n\n(Send a file.)"),
        (FileQuestion(maximum=3, accept=(".pdf",)), "Which?\n\n(Send 1 to 3 files: .pdf.)"),
        (FileQuestion(minimum=2, maximum=2), "Which?\n\n(Send 2 files.)"),
        (
            FormQuestion(schema=raw(FORM)),
            "Which?\n\n- `name`: Your name (string)\n- `age`: (integer)\n- `tags`\n- `other`\n\n"
            "(Answer with a JSON object that has these fields.)",
        ),
    ],
    ids=str,
)
def test_a_question_says_how_to_answer_it(question, words):
    assert in_words(asked(question=question)) == words


def test_a_note_comes_first_and_options_are_what_can_be_pressed():
    assert in_words(asked(note="Too long.")) == "*Too long.*\n\nWhich?"
    assert [option.label for option in options_of(ConfirmQuestion())] == ["Yes", "No"]
    assert options_of(TextQuestion()) == ()
