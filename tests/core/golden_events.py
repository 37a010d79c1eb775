"""One event of every shape with all its fields, one with only those it must have.

`python tests/core/golden_events.py` writes the golden files that are missing. A file that has been
released is never written again: it is what the logs of the world hold.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from msgspec import Raw

from parlour.events import (
    AnswerRejected,
    Button,
    CellWritten,
    ChangeNoticed,
    ComponentShown,
    CostAdded,
    Event,
    EventDropped,
    FeedbackGiven,
    FileRef,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartCost,
    PartEnded,
    PlaceTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    ReminderCame,
    ReminderCancelled,
    ReminderSet,
    RoundFinished,
    RoundResumed,
    RoundStarted,
    RoundSurvived,
    SessionClosed,
    SessionForked,
    SessionOpened,
    SignalReceived,
    StepFinished,
    StepRaised,
    StepStarted,
    TimerFired,
    TimerSet,
    TitleSet,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
    WorkCancelled,
    WorkEnded,
    WorkStarted,
    encode_event,
)
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    Question,
    TextQuestion,
)
from parlour.state import SNAPSHOT_VERSION, State, encode_snapshot, fold

FOLDER = Path(__file__).parent / "golden"

_FILES = (
    FileRef(id="f1", name="Straße 7.png", type="image/png", size=123),
    FileRef(id="f2", name="b"),
)
_SHOWN = (
    FileRef(id="f3", name="c.png", type="image/png", size=9, alt="A chart", width=640, height=480),
    FileRef(id="f4", name="t.csv", type="text/csv", size=9, view="table", rows=70_000),
)
_BUTTON = Button(label="Book it", signal="book", data=Raw(b'{"room":7}'))

FULL: tuple[Event, ...] = (
    SessionOpened(user="u1", command="c1", profile="desk"),
    MessageAdded(
        role="bot",
        text="Hallo 👋\n",
        files=_FILES,
        path="reply#1",
        command="c2",
        cut=True,
        actions=(_BUTTON, Button(label="No", signal="no")),
    ),
    SignalReceived(name="ping", data=Raw(b'{"a":[1,null]}'), command="c3"),
    FeedbackGiven(message=7, rating="down", reason="Wrong.", command="c11", answered=True),
    ComponentShown(path="show:map#1", name="map", data=Raw(b'{"zoom":3}'), text="A map"),
    RoundStarted(round=2, cause="message", source=5, command="c4"),
    RoundResumed(round=2),
    RoundSurvived(round=2),
    RoundFinished(
        round=2,
        status="diverged",
        error="e1",
        reason="Sorry.",
        command="c5",
        again=True,
        detail="reply#1 against set:a#1",
    ),
    VariableSet(name="when", value=Raw(b'"2026-11-21"'), kind="date", path="set#1", command="c6"),
    VariableDeleted(name="when", path="delete#1", command="c7"),
    UserVariableSet(name="who", value=Raw(b'"1.10"'), kind="decimal", path="user.set#1"),
    StepStarted(path="step:pay#1", digest="0011223344556677"),
    StepFinished(
        path="step:pay#1", digest="0011223344556677", value=Raw(b'"PT1S"'), kind="timedelta"
    ),
    StepRaised(path="step:pay#2", digest="8899aabbccddeeff", error="OSError", reason="broken"),
    CellWritten(path="code:plot#1", code="print('ä')\n1 + 1"),
    QuestionAsked(
        path="ask#1",
        text="Name?",
        question=TextQuestion(
            default=Raw(b'"Ada"'), min_length=2, max_length=20, pattern="[A-Z].*", multiline=True
        ),
        deadline=1763726400.5,
        note="That is too short.",
    ),
    QuestionAnswered(
        question=12, value=Raw(b'["f1"]'), text="two files", files=_FILES, command="c8"
    ),
    AnswerRejected(
        question=12, text="x", reason="No.", command="c9", code="at_least", values={"low": "3"}
    ),
    QuestionClosed(question=12, reason="timeout"),
    TimerSet(path="sleep#1", due=1763726400.25),
    TimerFired(path="sleep#1"),
    MessagesTaken(path="take#1", sources=(7, 9)),
    CostAdded(
        path="cost#1", input_tokens=10, output_tokens=20, amount=0.5, currency="EUR", model="m"
    ),
    ReminderSet(path="remind:nudge#1", name="nudge", due=1763726400.25, data=Raw(b"[1]")),
    ReminderCancelled(path="unremind#1", name="nudge"),
    ReminderCame(name="nudge"),
    ChangeNoticed(),
    WorkStarted(path="work:search#1", name="search", data=Raw(b'["Ulm"]')),
    WorkCancelled(path="unwork#1", work=30),
    WorkEnded(work=30, value=Raw(b'"1.10"'), kind="decimal", error="OSError", reason="broken"),
    PlaceTaken(
        path="place:ordering#1",
        place=Raw(b'{"stack":[1]}'),
        source="greet",
        target="ordering",
        by="book",
    ),
    EventDropped(path="drop#1", name="paid", state="greet", reason="nobody wants it here"),
    PartBegun(path="part:Search#1", name="Search", kind="tool", input="rooms"),
    PartEnded(
        path="part:Search#1/end#1",
        status="failed",
        output="Nothing found.",
        cost=PartCost(input_tokens=10, output_tokens=20, amount=0.5, currency="EUR"),
    ),
    SessionClosed(reason="expired", command="c10"),
    SessionForked(origin="a1b2", seq=7),
    TitleSet(title="Reise nach Köln", path="title#1", command="c11"),
)

LEAST: tuple[Event, ...] = (
    SessionOpened(user="u1"),
    MessageAdded(role="user", text=""),
    SignalReceived(name="ping"),
    FeedbackGiven(message=7),
    ComponentShown(path="show:map#1", name="map"),
    RoundStarted(round=1, cause="open"),
    RoundResumed(round=1),
    RoundSurvived(round=1),
    RoundFinished(round=1, status="done"),
    VariableSet(name="a", value=Raw(b"1")),
    VariableDeleted(name="a"),
    UserVariableSet(name="a", value=Raw(b"null"), path="user.set#1"),
    StepStarted(path="step#1", digest="00"),
    StepFinished(path="step#1"),
    StepRaised(path="step#1", error="E", reason=""),
    CellWritten(path="code#1", code=""),
    QuestionAsked(path="ask#1", text="?", question=TextQuestion()),
    QuestionAnswered(question=3, value=Raw(b"true")),
    AnswerRejected(question=3, text="", reason="No."),
    QuestionClosed(question=3, reason="withdrawn"),
    TimerSet(path="sleep#1", due=0.0),
    TimerFired(path="sleep#1"),
    MessagesTaken(path="take#1"),
    CostAdded(path="cost#1"),
    ReminderSet(path="remind:a#1", name="a", due=0.0),
    ReminderCancelled(path="unremind#1", name="a"),
    ReminderCame(name="a"),
    ChangeNoticed(),
    WorkStarted(path="work:a#1", name="a"),
    WorkCancelled(path="unwork#1", work=3),
    WorkEnded(work=3),
    PlaceTaken(path="place#1", place=Raw(b"null")),
    EventDropped(path="drop#1", name="a"),
    PartBegun(path="part:Search#1", name="Search"),
    PartEnded(path="part:Search#1/end#1"),
    SessionClosed(),
    SessionForked(origin="a1b2", seq=1),
    TitleSet(title=""),
)

OLDER: dict[str, Event] = {
    "AnswerRejected.without-code.json": AnswerRejected(
        question=12, text="x", reason="No.", command="c9"
    ),
    "SessionOpened.without-profile.json": SessionOpened(user="u1", command="c1"),
}
"""Shapes of releases that had fewer fields."""

_OPTION = Option(value="a", label="A", description="the first")

QUESTIONS: dict[str, tuple[Question, Question]] = {
    "text": (
        TextQuestion(default=Raw(b'"x"'), min_length=2, max_length=3, pattern="x+", multiline=True),
        TextQuestion(),
    ),
    "number": (
        NumberQuestion(default=Raw(b"2"), integer=True, minimum=1.0, maximum=3.5),
        NumberQuestion(),
    ),
    "confirm": (ConfirmQuestion(default=Raw(b"false"), yes="Ja", no="Nein"), ConfirmQuestion()),
    "date": (
        DateQuestion(
            default=Raw(b'"2026-11-21"'),
            minimum=dt.date(2026, 1, 1),
            maximum=dt.date(2026, 12, 31),
        ),
        DateQuestion(),
    ),
    "choice": (
        ChoiceQuestion(default=Raw(b'["a"]'), options=(_OPTION,), many=True, minimum=1, maximum=1),
        ChoiceQuestion(options=(Option(value="a", label="A"),)),
    ),
    "file": (
        FileQuestion(
            default=Raw(b"[]"), accept=("image/*", ".pdf"), minimum=0, maximum=2, max_bytes=9
        ),
        FileQuestion(),
    ),
    "form": (
        FormQuestion(default=Raw(b"{}"), schema=Raw(b'{"type":"object"}')),
        FormQuestion(schema=Raw(b"true")),
    ),
}


def golden() -> dict[str, Event]:
    """All events that have a golden file, by the file's name."""
    found: dict[str, Event] = {}
    for how, events in (("full", FULL), ("least", LEAST)):
        found |= {f"{type(event).__name__}.{how}.json": event for event in events}
    found |= OLDER
    for kind, (full, least) in QUESTIONS.items():
        for how, question in (("full", full), ("least", least)):
            found[f"QuestionAsked.{kind}.{how}.json"] = QuestionAsked(
                path="ask#1", text="?", question=question
            )
    said = MessageAdded(
        role="bot", text="Hallo 👋\n", files=_FILES, path="reply#1", command="c2", cut=True
    )
    found["MessageAdded.without-actions.json"] = said
    found["MessageAdded.attachments.json"] = MessageAdded(
        role="bot", text="Here.", files=_SHOWN, path="reply#1"
    )
    return found


def golden_state() -> State:
    """A session in mid-round, with something in every field of its state."""
    started = StepStarted(path="step:pay#1", digest="00")
    log: list[Event] = [
        SessionOpened(user="u1", command="c1", profile="desk"),
        VariableSet(name="when", value=Raw(b'"2026-11-21"'), kind="date", command="c2"),
        MessageAdded(role="user", text="hello", files=_FILES, command="c3"),
        RoundStarted(round=1, cause="message", source=3),
        MessageAdded(role="bot", text="hi", path="reply#1"),
        MessageAdded(role="user", text="and then?", command="c4"),
        SignalReceived(name="ping", data=Raw(b"[1]"), command="c5"),
        started,
        StepFinished(path="step:pay#1", digest="00", value=Raw(b"1")),
        VariableSet(name="a", value=Raw(b"1"), command="c6"),
        VariableDeleted(name="when", command="c7"),
        TitleSet(title="A title", command="c8"),
        TimerSet(path="sleep#1", due=9.5),
        QuestionAsked(path="ask#1", text="Which?", question=QUESTIONS["choice"][0], deadline=8.5),
        RoundResumed(round=1),
        ReminderSet(path="remind:nudge#1", name="nudge", due=10.5, data=Raw(b"[1]")),
        ReminderSet(path="remind:late#1", name="late", due=11.5),
        ReminderCame(name="late"),
        WorkStarted(path="work:search#1", name="search", data=Raw(b'["Ulm"]')),
        PlaceTaken(path="place:a#1", place=Raw(b'{"at":"a"}'), target="a"),
    ]
    return fold((event, 1763726400.0 + place) for place, event in enumerate(log))


def write_missing() -> None:
    """Write the golden files that there are none of yet."""
    files = {f"v1/{name}": encode_event(event) for name, event in golden().items()}
    files[f"snapshot-{SNAPSHOT_VERSION}.json"] = encode_snapshot(golden_state())
    for name, data in files.items():
        path = FOLDER / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print("wrote", name)


if __name__ == "__main__":
    write_missing()
