"""A conversation as Markdown."""

from __future__ import annotations

from msgspec import Raw

from parlour.events import (
    FileRef,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    Record,
    RoundStarted,
)
from parlour.questions import ChoiceQuestion, Option, TextQuestion
from parlour.transports.codecs.markdown import heading, passages

NOW = 1_763_726_400.0  # 2025-11-21 12:00 UTC


def told(*events) -> str:
    records = (Record(seq=seq, at=NOW, event=event) for seq, event in enumerate(events, 1))
    return passages(records, user="You", bot="Desk")


def test_the_heading_says_what_and_when():
    assert heading(" A trip\nto  Rome ", NOW) == "# A trip to Rome\n\n2025-11-21 12:00 UTC\n"


def test_what_was_said_asked_and_answered_stands_in_its_order():
    choice = ChoiceQuestion(options=(Option(value="a", label="Left"), Option(value="b", label="R")))
    assert told(
        RoundStarted(round=1, cause="open"),
        MessageAdded(role="bot", text="Hello **you**\n", path="reply#1"),
        MessageAdded(role="user", text="Hi", command="c1"),
        QuestionAsked(path="ask#1", text="Name?", question=TextQuestion()),
        QuestionAnswered(question=4, value=Raw(b'"Ada"'), text="Ada"),
        QuestionAsked(path="ask#2", text="Which?", question=choice),
    ) == (
        "\n**Desk** · 12:00\n\nHello **you**\n"
        "\n**You** · 12:00\n\nHi\n"
        "\n**Desk** · 12:00\n\nName?\n"
        "\n**You** · 12:00\n\nAda\n"
        "\n**Desk** · 12:00\n\nWhich?\n\n- Left\n- R\n"
    )


def test_files_are_named_and_their_names_are_no_markup():
    files = (FileRef(id="f1", name="a*b*\n[c].png"), FileRef(id="f2", name="d"))
    listed = "- 📎 a\\*b\\* \\[c\\].png\n- 📎 d\n"
    assert told(MessageAdded(role="user", text="two", files=files)).endswith(f"two\n\n{listed}")
    assert told(MessageAdded(role="user", text="", files=files)).endswith(f"12:00\n\n{listed}")
    answer = QuestionAnswered(question=1, value=Raw(b"[]"), files=files[1:])
    assert told(answer).endswith("12:00\n\n- 📎 d\n")
