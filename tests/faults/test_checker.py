"""The checker must see each fault it is there for, and explain it by as little as possible."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.case import Case, Log
from faults.checker import judge
from faults.history import History, Json
from faults.shrink import minimise, smallest

SESSION = "5" * 32
OTHER = "6" * 32
FIRST, SECOND = "token-" + "1" * 16, "token-" + "2" * 16
ADA, EVE = "visitor001", "visitor002"


def _events() -> list[Json]:
    return [
        {"type": "SessionOpened", "user": "u1", "command": "visitor001.1"},
        _user("draw 1", "visitor001.2"),
        _started(1, 2),
        {"type": "VariableSet", "name": "count", "value": 1, "path": "set:count#1"},
        {"type": "StepFinished", "path": "step:first#1", "value": FIRST},
        _bot(f"{ADA} drew first {FIRST}", "reply#1"),
        {"type": "RoundResumed", "round": 1},
        {"type": "StepFinished", "path": "step:second#1", "value": SECOND},
        _bot(f"{ADA} draw 1 done, drew {SECOND}, message 1", "reply#2"),
        _finished(1),
        _user("ask 2", "visitor001.3"),
        _started(2, 11),
        {"type": "VariableSet", "name": "count", "value": 2, "path": "set:count#1"},
        {"type": "QuestionAsked", "path": "ask#1", "text": f"{ADA}, what first?", "question": {}},
        {"type": "QuestionAnswered", "question": 14, "value": "x", "command": "visitor001.4"},
        _bot(f"{ADA} ask 2 done, wants x, message 2", "reply#1"),
        _finished(2),
        _user("fail 3", "visitor001.5"),
        _started(3, 18),
        {"type": "VariableSet", "name": "count", "value": 3, "path": "set:count#1"},
        _finished(3, status="failed", error="e1e1e1e1"),
        _user("tick 4", "visitor001.6"),
        _started(4, 22),
        {"type": "VariableSet", "name": "count", "value": 4, "path": "set:count#1"},
        _finished(4, status="stopped", command="visitor001.7"),
    ]


def _user(words: str, command: str) -> Json:
    return {"type": "MessageAdded", "role": "user", "text": f"{ADA} {words}", "command": command}


def _bot(text: str, path: str) -> Json:
    return {"type": "MessageAdded", "role": "bot", "text": text, "path": path}


def _started(number: int, source: int) -> Json:
    return {"type": "RoundStarted", "round": number, "cause": "message", "source": source}


def _finished(number: int, status: str = "done", **more: Any) -> Json:
    return {"type": "RoundFinished", "round": number, "status": status, **more}


def _ran(label: str, token: str) -> Json:
    line = {"what": "ran", "session": SESSION, "source": 2, "label": label}
    return {"at": 1.0, **line, "token": token}


class Story:
    """Two visitors; the first has said four things, and all is well."""

    def __init__(self) -> None:
        self.events = _events()
        self.ada, self.eve = History(), History()
        for history, name, user in ((self.ada, ADA, "u1"), (self.eve, EVE, "u2")):
            history.note("named", name=name)
            history.note("greeted", user=user)
        self.acked = [("visitor001.1", 1), ("visitor001.2", 2), ("visitor001.2", 2)]
        self.acked += [("visitor001.3", 11), ("visitor001.4", 15)]
        self.acked += [("visitor001.5", 18), ("visitor001.6", 22), ("visitor001.7", 25)]
        self.sent: list[Json] = [
            {"t": "open", "id": "visitor001.1"},
            self._said("visitor001.2", "draw 1"),
            self._said("visitor001.3", "ask 2"),
            {"t": "answer", "session": SESSION, "id": "visitor001.4", "question": 14},
            self._said("visitor001.5", "fail 3"),
            self._said("visitor001.6", "tick 4"),
            {"t": "stop", "session": SESSION, "id": "visitor001.7", "round": 4},
        ]
        hidden = ("VariableSet", "StepFinished", "RoundResumed")
        shown = copy.deepcopy(self.events)
        shown[0] = {"type": "SessionOpened"}
        self.seen = [None if event["type"] in hidden else event for event in shown]
        self.after = 0
        self.more: list[tuple[str, Json]] = []
        self.world = [
            _ran("first", FIRST),
            _ran("second", SECOND),
            _ran("second", "token-" + 16 * "3"),
        ]
        self.world[1:] = self.world[:0:-1]
        self.operator = "error e1e1e1e1 in session 55555555: the handler raised"
        self.campaign: list[Json] = []
        self.logs: dict[str, Log] = {}

    def _said(self, command: str, words: str) -> Json:
        return {"t": "say", "session": SESSION, "id": command, "text": f"{ADA} {words}"}

    def case(self) -> Case:
        for frame in self.sent:
            self.ada.note("sent", frame=frame)
        for command, seq in self.acked:
            self.ada.note("acknowledged", id=command, session=SESSION, seq=seq)
        self.ada.note("records", session=SESSION, after=self.after, records=self.seen)
        for what, said in self.more:
            self.ada.note(what, **said)
        for history in (self.ada, self.eve):
            history.note("ended")
        logs = {SESSION: Log("u1", self.events), **self.logs}
        return Case([self.ada, self.eve], logs, self.world, self.operator, self.campaign)


def _set(place: int, **fields: Any) -> Callable[[Story], None]:
    """Change a record in the log and where it was seen."""

    def doctor(story: Story) -> None:
        story.events[place - 1] = story.events[place - 1] | fields
        seen = story.seen[place - 1]
        if seen is not None:
            story.seen[place - 1] = seen | fields

    return doctor


def _insert(place: int, event: Json, *, shown: bool = True) -> Callable[[Story], None]:
    def doctor(story: Story) -> None:
        story.events.insert(place - 1, event)
        story.seen.insert(place - 1, event if shown else None)

    return doctor


def _refused(code: str, command: Json, **more: Any) -> Callable[[Story], None]:
    def doctor(story: Story) -> None:
        story.sent.append(command)
        frame = {"t": "refused", "id": command["id"], "code": code, **more}
        story.more.append(("refused", {"id": command["id"], "frame": frame}))

    return doctor


def _do(change: Callable[[Story], Any]) -> Callable[[Story], None]:
    def doctor(story: Story) -> None:
        change(story)

    return doctor


SAY = {"t": "say", "id": "visitor001.9", "session": SESSION, "text": f"{ADA} echo 9"}
ANSWER = {"t": "answer", "id": "visitor001.9", "session": SESSION, "question": 26}

DOCTORED: dict[str, tuple[Callable[[Story], None], str]] = {
    "a lost acknowledgement": (
        _do(lambda story: story.events.__delitem__(slice(21, None))),
        "P5 acknowledged and lost",
    ),
    "an acknowledgement that moves": (
        _do(lambda story: story.acked.append(("visitor001.3", 12))),
        "P4 acknowledged differently",
    ),
    "a command without an answer": (_do(lambda story: story.sent.append(SAY)), "P12 unanswered"),
    "a refused command in the log": (
        _do(
            lambda story: (
                story.acked.pop(),
                story.more.append(("refused", {"id": "visitor001.7", "frame": {"code": "closed"}})),
            )
        ),
        "P5 refused and kept",
    ),
    "a momentary refusal without a time": (_refused("busy", SAY), "P12 no time to come back"),
    "a session that is not known": (_refused("unknown_session", SAY), "P5 forgotten session"),
    "a session that is closed for nothing": (_refused("closed", SAY), "P5 closed for nothing"),
    "a question that was forgotten": (_refused("no_question", ANSWER), "P7 forgotten question"),
    "a record seen twice": (
        _do(
            lambda story: story.more.append(
                ("records", {"session": SESSION, "after": 24, "records": story.seen[24:]})
            )
        ),
        "P2 twice or out of order",
    ),
    "a gap": (_do(lambda story: story.seen.__setitem__(8, None)), "P6 never seen"),
    "a record that is not stored": (
        _do(lambda story: story.seen.append({"type": "SessionClosed"})),
        "P5 seen and lost",
    ),
    "a place beyond the log": (_do(lambda story: story.seen.append(None)), "P5 told of more"),
    "a changed text": (
        _do(lambda story: story.events[8].update(text=f"{ADA} draw 1 done, no, message 1")),
        "P2 seen otherwise",
    ),
    "an event that concerns nobody outside": (
        _do(lambda story: story.seen.__setitem__(6, {"type": "RoundResumed", "round": 1})),
        "P10 seen from inside",
    ),
    "a hole in the log": (
        _do(
            lambda story: story.logs.update({OTHER: Log("u2", {1: _events()[0], 3: _finished(1)})})
        ),
        "P2 gap in the log",
    ),
    "a message that is not what was said": (
        _do(lambda story: story.sent[1].update(text=f"{ADA} draw 7")),
        "P5 changed",
    ),
    "a foreign text that is stored": (_set(16, text=f"{EVE} ask 2"), "P1 foreign text"),
    "a foreign text that was seen": (
        _do(lambda story: (story.seen[15] or {}).update(text=f"{EVE} ask 2")),
        "P1 foreign text",
    ),
    "a foreign session": (
        _do(lambda story: story.eve.note("records", session=SESSION, after=0, records=[None])),
        "P1 foreign session",
    ),
    "a result of another": (
        _set(16, text=f"{ADA} ask 7 done, wants x, message 2"),
        "P1 another's result",
    ),
    "a message that is stored twice": (
        _insert(26, _user("tick 4", "visitor001.6")),
        "P4 twice",
    ),
    "a message that made no round": (_set(12, source=0), "P4 rounds of a message"),
    "a session that was opened twice": (
        _do(lambda story: story.logs.update({OTHER: Log("u1", _events()[:1])})),
        "P4 opened twice",
    ),
    "rounds out of turn": (_set(19, source=5), "P4 out of turn"),
    "two rounds at once": (_insert(5, _started(7, 2)), "P3 rounds overlap"),
    "words outside of a round": (
        _insert(11, _bot("late", "reply#9")),
        "P13 outside of a round",
    ),
    "a round that never ends": (_do(lambda story: story.events.pop()), "P13 never ended"),
    "a record after the end": (
        _insert(24, {"type": "SessionClosed"}),
        "P11 after the end",
    ),
    "a reply that is repeated": (
        _insert(7, _bot(f"{ADA} drew first {FIRST}", "reply#1")),
        "P8 path repeated",
    ),
    "a reply that is said again": (
        _insert(7, _bot(f"{ADA} drew first {FIRST}", "reply#3")),
        "P8 said again",
    ),
    "a question that nobody answered": (
        _do(lambda story: story.events.__setitem__(14, {"type": "Hidden"})),
        "P7 forgotten question",
    ),
    "a question that is answered twice": (
        _insert(16, {"type": "QuestionAnswered", "question": 14, "value": "y"}),
        "P7 answered twice",
    ),
    "a variable that is lost": (_set(13, value=1), "P5 variable lost"),
    "an honest round that failed": (_set(17, status="failed", error="e1e1e1e1"), "P13 wrong end"),
    "a divergence for nothing": (_set(17, status="diverged"), "P9 wrong end"),
    "a stop that does not stop": (_set(25, status="done"), "P14 wrong end"),
    "internals that are shown": (_set(21, reason="internal-detail"), "P13 internals shown"),
    "an error nobody can find": (_set(21, error="00000000"), "P13 no error id"),
    "a round without a result": (_set(16, text=f"{ADA} says nothing"), "P8 results"),
    "a round without an end to its records": (
        _do(
            lambda story: story.events.__setitem__(
                slice(20, 20), [{"type": "CostAdded"} for _ in range(200)]
            )
        ),
        "P12 more than its limit",
    ),
    "a step's result that nobody computed": (
        _do(lambda story: story.world.pop(0)),
        "P8 computed",
    ),
    "a step that ran after its result": (
        _do(lambda story: story.world.append(_ran("second", "token-" + "4" * 16))),
        "P8 ran again",
    ),
    "a step that ran too often": (
        _do(lambda story: [story.world.insert(0, _ran("second", "token-4")) for _ in range(2)]),
        "P8 ran too often",
    ),
    "a result that is told and not recorded": (
        _set(9, text=f"{ADA} draw 1 done, drew token-{'7' * 16}, message 1"),
        "P8 told, not recorded",
    ),
    "a step for a message that is not there": (
        _do(lambda story: story.world.append(_ran("first", "token-5") | {"source": 99})),
        "P5 acted too early",
    ),
    "a step that was to run once and ran twice": (
        _do(lambda story: story.world.extend([_ran("once", "token-8"), _ran("once", "token-9")])),
        "P8 more than once",
    ),
    "work that goes on after its end": (
        _do(
            lambda story: story.world.append(
                {"at": 1e12, "what": "tick", "session": SESSION, "source": 22}
            )
        ),
        "P14 goes on",
    ),
    "code that changed in silence": (
        _do(
            lambda story: story.world.append(
                {"what": "edit", "session": SESSION, "source": 11, "version": "2"}
            )
        ),
        "P9 silent divergence",
    ),
    "a wait in vain": (
        _do(lambda story: story.more.append(("starved", {"what": "visitor001.2 is answered"}))),
        "P12 starved",
    ),
    "a protest": (
        _do(
            lambda story: story.more.append(
                ("protest", {"text": "a delta came before live", "frame": {"session": SESSION}})
            )
        ),
        "P6 protest",
    ),
    "two servers on a store": (
        _do(lambda story: story.campaign.append({"note": "started", "where": "beside another"})),
        "P3 started",
    ),
    "a server that ends by itself": (
        _do(lambda story: story.campaign.append({"note": "died", "code": 1, "at": 1.0})),
        "P13 server ended",
    ),
    "an end that is none": (
        _do(
            lambda story: story.campaign.append(
                {"note": "terminated", "code": 1, "seconds": 1.0, "at": 1.0}
            )
        ),
        "P11 disorderly end",
    ),
    "a trace instead of a reason": (
        _do(
            lambda story: story.campaign.append(
                {"note": "refused to start", "code": 1, "said": "Traceback", "at": 1.0}
            )
        ),
        "P12 unclear refusal to start",
    ),
    "memory without an end": (
        _do(lambda story: story.campaign.append({"note": "measured", "resident": 10**10})),
        "P12 memory",
    ),
    "the same line ten thousand times": (
        _do(lambda story: setattr(story, "operator", story.operator + "\nno 1" * 10_000)),
        "P12 log flooded",
    ),
    "a task that fell on the floor": (
        _do(lambda story: setattr(story, "operator", story.operator + "Task was destroyed")),
        "P13 noise",
    ),
}


def test_the_checker_has_nothing_to_say_about_an_honest_storm() -> None:
    assert judge(Story().case()) == []


@pytest.mark.parametrize("fault", DOCTORED)
def test_the_checker_sees(fault: str) -> None:
    doctor, wanted = DOCTORED[fault]
    story = Story()
    doctor(story)
    case = story.case()
    findings = [f for f in judge(case) if f"{f.promise} {f.rule}" == wanted]
    assert findings, sorted({f"{f.promise} {f.rule}" for f in judge(case)})
    told = smallest(case, findings[0])
    assert told.startswith(wanted)
    # What is too much cannot be shown by little.
    assert len(told.splitlines()) <= (26 if wanted.endswith("limit") else 14), told


def test_a_counter_example_is_as_small_as_can_be() -> None:
    assert minimise(list(range(100)), lambda some: {3, 57, 58} <= set(some)) == [3, 57, 58]
    assert minimise([1], lambda some: True) == []
    assert minimise([1, 2], lambda some: len(some) == 2) == [1, 2]


def test_a_history_outlives_a_crash_of_the_harness(tmp_path: Path) -> None:
    file = tmp_path / "ada.jsonl"
    history = History.on_disk(ADA, file)
    history.note("greeted", user="u1")
    history.note("sent", frame={"t": "open", "id": "c1"})
    history.note("acknowledged", id="c1", session=SESSION, seq=1)
    history.note("records", session=SESSION, after=0, records=[{"type": "SessionOpened"}, None])
    history.close()
    with file.open("ab") as cut_off:
        cut_off.write(b'{"note":"acknowledged","id":"c')
    again = History.load(file)
    assert again.notes == history.notes
    assert (again.name, again.user, again.acks) == (ADA, "u1", {"c1": [(SESSION, 1)]})
    assert again.seen == {SESSION: [(1, {"type": "SessionOpened"})]}
    assert again.places == {SESSION: 2}
    assert not again.ended
