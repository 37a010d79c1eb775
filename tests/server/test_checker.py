"""The checker of the storms must see each fault it is there for."""

import copy
from collections.abc import Callable

import pytest
from checker import Log, violations
from client import Client, History, Json, Violation

SESSION = "5" * 32
RAN = ["ada token-1"]


def _story() -> tuple[list[History], dict[str, Log]]:
    """Two visitors; the first has said two things and all is well."""
    events: list[Json] = [
        {"type": "SessionOpened", "user": "u1", "command": "ada.1"},
        {"type": "MessageAdded", "role": "user", "text": "ada one", "command": "ada.2"},
        {"type": "RoundStarted", "round": 1, "cause": "message", "source": 2},
        {"type": "StepFinished", "path": "step:draw#1", "value": "token-1"},
        {"type": "MessageAdded", "role": "bot", "text": "ada drew token-1", "path": "reply#1"},
        {"type": "RoundFinished", "round": 1, "status": "done", "detail": "hidden"},
        {"type": "MessageAdded", "role": "user", "text": "ada two", "command": "ada.3"},
        {"type": "RoundStarted", "round": 2, "cause": "message", "source": 7},
        {"type": "MessageAdded", "role": "bot", "text": "ada said two", "path": "reply#1"},
        {"type": "RoundFinished", "round": 2, "status": "done"},
    ]
    ada = History(name="ada", user="u1")
    eve = History(name="eve", user="u2")
    ada.sent = {
        "ada.1": {"t": "open"},
        "ada.2": {"t": "say", "session": SESSION, "text": "ada one"},
        "ada.3": {"t": "say", "session": SESSION, "text": "ada two"},
    }
    ada.acks = {
        "ada.1": [(SESSION, 1)],
        "ada.2": [(SESSION, 2), (SESSION, 2)],
        "ada.3": [(SESSION, 7)],
    }
    seen = copy.deepcopy(events)
    seen[0] = {"type": "SessionOpened"}
    del seen[5]["detail"]
    ada.seen = {SESSION: [(seq, event) for seq, event in enumerate(seen, 1) if seq != 4]}
    ada.places = {SESSION: 10}
    return [ada, eve], {SESSION: Log("u1", events)}


Doctor = Callable[[History, History, Log], object]


def _lost_acknowledgement(ada: History, eve: History, log: Log) -> None:
    del log.events[6:]
    ada.seen[SESSION] = ada.seen[SESSION][:5]
    ada.places[SESSION] = 6


def _swap(items: list[tuple[int, Json]]) -> None:
    items[1], items[2] = items[2], items[1]


DOCTORED: dict[str, tuple[Doctor, str]] = {
    "a lost acknowledgement": (_lost_acknowledgement, "ada.3 was acknowledged at 7"),
    "an acknowledgement that moves": (
        lambda ada, eve, log: ada.acks["ada.2"].append((SESSION, 7)),
        "ada.2 was acknowledged as",
    ),
    "a command without an answer": (
        lambda ada, eve, log: ada.sent.update({"ada.9": {"t": "say", "session": SESSION}}),
        "ada.9 was never answered",
    ),
    "a refused command in the log": (
        lambda ada, eve, log: ada.refused.update({"ada.3": {"code": "busy"}}),
        "ada.3 was refused and left a trace",
    ),
    "a record seen twice": (
        lambda ada, eve, log: ada.seen[SESSION].append(ada.seen[SESSION][-1]),
        "twice or out of order",
    ),
    "records out of order": (
        lambda ada, eve, log: _swap(ada.seen[SESSION]),
        "twice or out of order",
    ),
    "a gap": (lambda ada, eve, log: ada.seen[SESSION].pop(3), "never seen the records [5]"),
    "a record that is not stored": (
        lambda ada, eve, log: ada.seen[SESSION].append((11, {"type": "SessionClosed"})),
        "record 11 was seen as",
    ),
    "a changed text": (
        lambda ada, eve, log: log.events[8].update(text="ada said three"),
        "record 9 was seen as",
    ),
    "a message that is not what was said": (
        lambda ada, eve, log: ada.sent["ada.3"].update(text="ada three"),
        "stands there as 'ada two'",
    ),
    "a place beyond the log": (
        lambda ada, eve, log: ada.places.update({SESSION: 12}),
        "was told of 12 records",
    ),
    "a foreign text that is stored": (
        lambda ada, eve, log: log.events[8].update(text="eve said two"),
        "eve is stored in its session",
    ),
    "a foreign text that was seen": (
        lambda ada, eve, log: ada.seen[SESSION][3][1].update(text="eve said two"),
        "eve is seen in its session",
    ),
    "a foreign session": (
        lambda ada, eve, log: (
            eve.seen.update({SESSION: []}),
            eve.places.update({SESSION: 0}),
        ),
        "eve: saw the session",
    ),
    "a message that is stored twice": (
        lambda ada, eve, log: log.events.append(dict(log.events[6])),
        "ada.3 was acknowledged at 7 and stands at [7, 11]",
    ),
    "a message that made no round": (
        lambda ada, eve, log: log.events[7].update(source=0),
        "ada.3 made 0 rounds",
    ),
    "a message that made two rounds": (
        lambda ada, eve, log: log.events.extend(
            [
                {"type": "RoundStarted", "round": 3, "cause": "message", "source": 7},
                {"type": "RoundFinished", "round": 3, "status": "done"},
            ]
        ),
        "ada.3 made 2 rounds",
    ),
    "a round that never ends": (lambda ada, eve, log: log.events.pop(), "round 2 has never ended"),
    "a round that failed": (
        lambda ada, eve, log: log.events[9].update(status="failed"),
        "round 2 ended as failed",
    ),
    "a reply that is repeated": (
        lambda ada, eve, log: log.events.insert(9, dict(log.events[8])),
        "round 2 has reply#1 2 times",
    ),
    "a step's result used twice": (
        lambda ada, eve, log: log.events[8].update(text="ada drew token-1"),
        "token-1 was told 2 times",
    ),
    "a step's result that nobody computed": (
        lambda ada, eve, log: log.events[3].update(value="token-2"),
        "token-2 was computed 0 times",
    ),
    "a result that is told and not recorded": (
        lambda ada, eve, log: log.events[8].update(text="ada drew token-3"),
        "token-3 was told and is not recorded",
    ),
    "words outside of a round": (
        lambda ada, eve, log: log.events.append(dict(log.events[8])),
        "outside of a round",
    ),
}


def test_the_checker_has_nothing_to_say_about_an_honest_history() -> None:
    histories, logs = _story()
    assert violations(histories, logs, RAN) == []


@pytest.mark.parametrize("fault", DOCTORED)
def test_the_checker_sees(fault: str) -> None:
    doctor, complaint = DOCTORED[fault]
    histories, logs = _story()
    doctor(*histories, logs[SESSION])
    assert complaint in "\n".join(violations(histories, logs, RAN))


def _visitor() -> Client:
    client = Client("ws://nowhere.invalid/ws", name="ada")
    client.history.sent["c1"] = {"t": "open", "id": "c1"}
    client.take({"t": "hello", "version": 1, "user": "u1", "limits": {}})
    client.take({"t": "ack", "id": "c1", "session": SESSION, "seq": 1})
    client.take(_records(0, 1, [1]))
    started = {"type": "RoundStarted", "round": 1, "cause": "open"}
    client.take(_records(1, 2, []) | {"records": [[2, started]]})
    client.take({"t": "live", "session": SESSION, "upto": 2})
    return client


def _records(after: int, upto: int, seqs: list[int], text: str = "x") -> Json:
    event = {"type": "MessageAdded", "role": "bot", "text": text, "path": "stream#1"}
    return {
        "t": "records",
        "session": SESSION,
        "after": after,
        "upto": upto,
        "records": [[seq, event] for seq in seqs],
    }


def _delta(offset: int, text: str) -> Json:
    return {
        "t": "delta",
        "session": SESSION,
        "round": 1,
        "path": "stream#1",
        "offset": offset,
        "text": text,
    }


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([_records(3, 4, [4])], id="a gap"),
        pytest.param([_records(1, 3, [2, 3])], id="a repeat"),
        pytest.param([_records(2, 4, [4, 3])], id="disorder"),
        pytest.param([_records(2, 3, [3, 4])], id="more than it covers"),
        pytest.param([_records(2, 2, [])], id="nothing"),
        pytest.param([{"t": "live", "session": SESSION, "upto": 9}], id="live too far"),
        pytest.param([_delta(3, "abc")], id="a hole in a stream"),
        pytest.param([_delta(0, "abc"), _records(2, 3, [3], "abd")], id="another text in the end"),
        pytest.param([_records(2, 3, [3]), _delta(0, "x")], id="a ghost of a stream"),
        pytest.param([{"t": "ack", "id": "c9", "session": SESSION, "seq": 3}], id="a foreign ack"),
        pytest.param([{"t": "ack", "id": "c1", "session": SESSION, "seq": 3}], id="a moving ack"),
        pytest.param(
            [{"t": "refused", "id": "c1", "code": "busy", "message": ""}], id="a late refusal"
        ),
    ],
)
def test_the_visitor_does_not_put_up_with(frames: list[Json]) -> None:
    client = _visitor()
    *harmless, last = frames
    for frame in harmless:
        client.take(frame)
    with pytest.raises(Violation):
        client.take(last)


def test_the_visitor_puts_a_stream_together_and_lets_the_record_replace_it() -> None:
    client = _visitor()
    for frame in (_delta(0, "abc"), _delta(3, "def"), _delta(0, "ab"), _delta(2, "cdé")):
        client.take(frame)
    assert client.streams == {(SESSION, 1, "stream#1"): "abcdé"}
    client.take(_records(2, 3, [3], "abcdéf"))
    assert client.streams == {}
