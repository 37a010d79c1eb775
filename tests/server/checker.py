"""Compares what visitors saw and were told with what the store holds; names every difference."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from client import History

Json = dict[str, Any]
PUBLIC = frozenset(
    {
        "SessionOpened",
        "MessageAdded",
        "RoundStarted",
        "RoundFinished",
        "QuestionAsked",
        "QuestionAnswered",
        "AnswerRejected",
        "QuestionClosed",
        "SessionClosed",
    }
)
PRIVATE_FIELDS = {"SessionOpened": ("user", "command"), "RoundFinished": ("detail", "again")}
TOKEN = re.compile(r"token-[0-9a-f]+")


@dataclass
class Log:
    """A session as the store holds it; the record `seq` is `events[seq - 1]`."""

    user: str
    events: list[Json]


def shown(event: Json) -> Json | None:
    """What docs/wire.md lets users see of a stored event; None for what concerns only the app."""
    if event["type"] not in PUBLIC:
        return None
    hidden = PRIVATE_FIELDS.get(event["type"], ())
    return {name: value for name, value in event.items() if name not in hidden}


def violations(
    histories: Sequence[History],
    logs: Mapping[str, Log],
    ran: Sequence[str] | None = None,
    *,
    statuses: Collection[str] = ("done",),
) -> list[str]:
    """Everything that should not be; an empty list if all is well.

    `statuses` are the ways in which a round may have ended; `ran` are the notes of the app's steps,
    one at each run: every token that a step returned.
    """
    found: list[str] = []
    names = [history.name for history in histories if history.name]
    for history in histories:
        found += _of_commands(history, logs)
        found += _of_records(history, logs)
        found += _of_others(history, logs, [name for name in names if name != history.name])
    for session, log in logs.items():
        found += (f"session {session[:6]}: {fault}" for fault in _of_log(log.events, statuses))
        found += (f"session {session[:6]}: {fault}" for fault in _of_paths(log.events))
        if ran is not None:
            found += (f"session {session[:6]}: {fault}" for fault in _of_steps(log.events, ran))
    return found


def _of_commands(history: History, logs: Mapping[str, Log]) -> Iterator[str]:
    """Acknowledged means durable, and exactly once."""
    for command in history.sent:
        if command not in history.acks and command not in history.refused:
            yield f"{history.name}: {command} was never answered"
    for command, acks in history.acks.items():
        if len(set(acks)) != 1:
            yield f"{history.name}: {command} was acknowledged as {set(acks)}"
        session, seq = acks[0]
        events = logs[session].events if session in logs else []
        for fault in _of_command(command, seq, history.sent[command], events):
            yield f"{history.name}: {command} {fault}"
    for command in history.refused:
        if any(event.get("command") == command for log in logs.values() for event in log.events):
            yield f"{history.name}: {command} was refused and left a trace"


def _of_command(command: str, seq: int, sent: Json, events: Sequence[Json]) -> Iterator[str]:
    places = [place for place, event in enumerate(events, 1) if event.get("command") == command]
    if places != [seq]:
        yield f"was acknowledged at {seq} and stands at {places}"
        return
    event = events[seq - 1]
    if event["type"] != "MessageAdded":
        return
    rounds = [e for e in events if e["type"] == "RoundStarted" and e.get("source") == seq]
    if len(rounds) != 1:
        yield f"made {len(rounds)} rounds"
    if event.get("text", "") != sent.get("text", ""):
        yield f"stands there as {event.get('text')!r}"


def _of_records(history: History, logs: Mapping[str, Log]) -> Iterator[str]:
    """What was seen is what is stored: all of it, in order, once."""
    for session, records in history.seen.items():
        events = logs[session].events if session in logs else []
        seqs = [seq for seq, _ in records]
        if seqs != sorted(set(seqs)):
            yield f"{history.name}: records came twice or out of order: {seqs}"
        for seq, event in records:
            stored = shown(events[seq - 1]) if 0 < seq <= len(events) else None
            if stored != event:
                yield f"{history.name}: record {seq} was seen as {event} and is {stored}"
        place = history.places[session]
        if place > len(events):
            yield f"{history.name}: was told of {place} records, there are {len(events)}"
        expected = [seq for seq, event in enumerate(events[:place], 1) if shown(event) is not None]
        missing = set(expected) - set(seqs)
        if missing:
            yield f"{history.name}: has never seen the records {sorted(missing)}"


def _of_others(history: History, logs: Mapping[str, Log], others: Sequence[str]) -> Iterator[str]:
    """Nobody else's: no session, no name of another visitor anywhere."""
    for session, log in logs.items():
        if log.user != history.user:
            if session in history.seen:
                yield f"{history.name}: saw the session {session[:6]} of somebody else"
            continue
        for where, data in (("stored", log.events), ("seen", history.seen.get(session, []))):
            text = msgspec.json.encode(data).decode()
            for other in others:
                if other in text:
                    yield f"{history.name}: {other} is {where} in its session {session[:6]}"


def _of_log(events: Sequence[Json], statuses: Collection[str]) -> Iterator[str]:
    """Rounds one after the other, each begun and ended once, in the order of what they answer."""
    running = last_round = last_source = 0
    for seq, event in enumerate(events, 1):
        match event["type"]:
            case "RoundStarted":
                if running or event["round"] != last_round + 1:
                    yield f"round {event['round']} starts at {seq}, after round {last_round}"
                running = last_round = event["round"]
                source = event.get("source", 0) or last_source + 1
                if source <= last_source:
                    yield f"round {running} answers record {source} too late"
                last_source = event.get("source", 0) or last_source
            case "RoundFinished":
                if event["round"] != running or event["status"] not in statuses:
                    ended = f"round {event['round']} ended as {event['status']}"
                    yield f"{ended} at {seq}, while {running} ran"
                running = 0
            case "MessageAdded" if event["role"] == "bot" and not running:
                yield f"the bot spoke at {seq}, outside of a round"
    if running:
        yield f"round {running} has never ended"


def _of_paths(events: Sequence[Json]) -> Iterator[str]:
    """Nothing is journaled twice in a round."""
    paths = Counter(
        (_round_at(events, seq), event["path"])
        for seq, event in enumerate(events)
        if event["type"] in ("MessageAdded", "StepFinished", "QuestionAsked") and "path" in event
    )
    for (number, path), count in paths.items():
        if count > 1:
            yield f"round {number} has {path} {count} times"


def _round_at(events: Sequence[Json], index: int) -> int:
    return sum(event["type"] == "RoundStarted" for event in events[: index + 1])


def _of_steps(events: Sequence[Json], ran: Sequence[str]) -> Iterator[str]:
    """A recorded result was computed, and used once; one that is not recorded was not used."""
    recorded = [
        token
        for event in events
        if event["type"] == "StepFinished"
        for token in TOKEN.findall(str(event.get("value")))
    ]
    told = Counter(
        token
        for event in events
        if event["type"] == "MessageAdded" and event["role"] == "bot"
        for token in TOKEN.findall(event["text"])
    )
    runs = Counter(token for line in ran for token in TOKEN.findall(line))
    for token in recorded:
        if runs[token] != 1:
            yield f"the result {token} was computed {runs[token]} times"
        if told[token] != 1:
            yield f"the result {token} was told {told[token]} times"
    for token in set(told) - set(recorded):
        yield f"{token} was told and is not recorded"
