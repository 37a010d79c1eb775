"""What visitors sent, were told and saw, against what the store holds: P1, P2, P4 to P7, P12."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from faults.case import Case, Log
from faults.finding import Finding
from faults.history import History, Json

PUBLIC = frozenset(
    {
        "ComponentShown",
        "FeedbackGiven",
        "SessionOpened",
        "SettingsChanged",
        "MessageAdded",
        "RoundStarted",
        "RoundFinished",
        "QuestionAsked",
        "QuestionAnswered",
        "AnswerRejected",
        "QuestionClosed",
        "MessagesTaken",
        "SessionClosed",
    }
)
PRIVATE_FIELDS = {"SessionOpened": ("user", "command"), "RoundFinished": ("detail", "again")}
MOMENTARY = frozenset({"busy", "overloaded", "unavailable"})
_PROTESTS = (
    ("somebody else", "P1"),
    ("acknowledg", "P4"),
    ("delta", "P6"),
    ("streamed", "P6"),
)
_STARVED = (
    ("question", "P7"),
    ("is answered", "P12"),
    ("is live", "P6"),
    ("shown", "P6"),
    ("begins", "P4"),
)


def shown(event: Json) -> Json | None:
    """What docs/wire.md lets users see of a stored event; None for what concerns only the app."""
    if event["type"] not in PUBLIC:
        return None
    hidden = PRIVATE_FIELDS.get(event["type"], ())
    return {name: value for name, value in event.items() if name not in hidden}


@dataclass
class _Command:
    """All that the tabs of a visitor know of one command."""

    id: str
    visitor: str
    sent: Json
    acks: list[tuple[str, int]] = field(default_factory=list)
    refusals: list[Json] = field(default_factory=list)
    pending: bool = False
    unanswered: bool = False


def _commands(case: Case) -> list[_Command]:
    found: dict[str, _Command] = {}
    for history in case.histories:
        for id_, sent in history.sent.items():
            command = found.setdefault(id_, _Command(id_, history.name, sent))
            command.acks += history.acks.get(id_, [])
            if id_ in history.refused:
                command.refusals.append(history.refused[id_])
            elif id_ not in history.acks:
                command.pending = True
                command.unanswered = command.unanswered or history.ended
    return list(found.values())


def commands_count_once(case: Case) -> Iterator[Finding]:
    """P4, P5: what was acknowledged stands in the log, there, once; all were told the same."""
    places = _places(case)
    for command in _commands(case):
        told = set(command.acks)
        session = command.acks[0][0] if command.acks else command.sent.get("session", "")
        keep = frozenset({f'"{command.id}"'})
        where = f"{command.visitor}: {command.id}"
        if command.unanswered:
            text = f"{where} was never answered"
            yield Finding("P12", "unanswered", text, command.id, session, keep)
        if len(told) > 1:
            text = f"{where} was acknowledged as {sorted(told)}"
            yield Finding("P4", "acknowledged differently", text, command.id, session, keep)
        stands = places.get(command.id, [])
        if not told and command.refusals and not command.pending and stands:
            text = f"{where} was refused and left a trace at {stands}"
            yield Finding("P5", "refused and kept", text, command.id, session, keep)
        if len(stands) > 1:
            text = f"{where} stands at {[seq for _, seq in stands]}"
            yield Finding("P4", "twice", text, command.id, session, keep)
        elif told and stands != [command.acks[0]]:
            seqs = [seq for _, seq in stands]
            text = f"{where} was acknowledged at {command.acks[0][1]} and stands at {seqs}"
            rule = ("P4", "elsewhere") if stands else ("P5", "acknowledged and lost")
            yield Finding(*rule, text, command.id, session, keep)
        elif told:
            yield from _of_message(command, case.logs[session], session, keep)


def _places(case: Case) -> dict[str, list[tuple[str, int]]]:
    places: dict[str, list[tuple[str, int]]] = {}
    for session, log in case.logs.items():
        for seq, event in log.items():
            if event.get("command"):
                places.setdefault(event["command"], []).append((session, seq))
    return places


def _of_message(
    command: _Command, log: Log, session: str, keep: frozenset[str]
) -> Iterator[Finding]:
    """A message makes one round and says what was said."""
    seq = command.acks[0][1]
    event = log.get(seq) or {}
    if event.get("type") != "MessageAdded":
        return
    where = f"{command.visitor}: {command.id}"
    started = [
        at
        for at, other in log.items()
        if other["type"] == "RoundStarted" and other.get("source") == seq
    ]
    closed = any(other["type"] == "SessionClosed" for _, other in log.items())
    keep |= {f'"source":{seq}'}
    if len(started) > 1 or (not started and not closed):
        text = f"{where} made {len(started)} rounds"
        yield Finding("P4", "rounds of a message", text, command.id, session, keep)
    if event.get("text", "") != command.sent.get("text", ""):
        text = f"{where} stands there as {event.get('text')!r}"
        yield Finding("P5", "changed", text, command.id, session, keep)


def refusals_are_fair(case: Case) -> Iterator[Finding]:
    """P5, P7, P12: nothing that exists is unknown; who is to come back is told when."""
    for history in case.histories:
        for note in history.of("refused"):
            frame, command = note["frame"], note["id"]
            session, code = history.sent[command].get("session", ""), frame["code"]
            keep = frozenset({f'"{command}"'})
            where = f"{history.name}: {command} was refused as {code}"
            if code in MOMENTARY and not frame.get("retry_after", 0) > 0:
                text = f"{where} without a time to come back"
                yield Finding("P12", "no time to come back", text, command, session, keep)
            if code == "unknown_session" and session in case.logs:
                text = f"{where}, and the session was opened by the same user"
                if case.logs[session].user == history.user:
                    yield Finding("P5", "forgotten session", text, command, session, keep)
            if session not in case.logs:
                continue
            if code == "closed" and not any(
                event["type"] == "SessionClosed" for _, event in case.logs[session].items()
            ):
                text = f"{where}, and the session is open"
                yield Finding("P5", "closed for nothing", text, command, session, keep)
            if code == "no_question":
                yield from _forgotten(case, history, command, where)


def _forgotten(case: Case, history: History, command: str, where: str) -> Iterator[Finding]:
    """A question may be over: answered, closed, or ended with its round. Else it was forgotten."""
    sent = history.sent[command]
    log, question = case.logs[sent["session"]], sent["question"]
    if not question:
        return  # whichever is open, and none was
    over = any(
        event.get("question") == question
        and event["type"] in ("QuestionAnswered", "QuestionClosed")
        for _, event in log.items()
    )
    rounds = [r for r in log.rounds() if any(seq == question for seq, _ in r.records)]
    if not over and not any(r.status in ("failed", "stopped", "diverged") for r in rounds):
        text = f"{where}, and question {question} was never over"
        keep = frozenset({f'"{command}"', f'"question":{question}'})
        yield Finding("P7", "forgotten question", text, command, sent["session"], keep)


def records_are_seen_as_they_are(case: Case) -> Iterator[Finding]:
    """P2, P5, P6, P10: what was seen is what is stored: all that is public, in order, once."""
    for history in case.histories:
        for session, records in history.seen.items():
            log = case.logs.get(session) or Log(history.user, {})
            yield from _of_seen(history, session, records, log)
            yield from _of_unseen(history, session, records, log)


def _of_seen(
    history: History, session: str, records: list[tuple[int, Json]], log: Log
) -> Iterator[Finding]:
    seqs = [seq for seq, _ in records]
    if seqs != sorted(set(seqs)):
        often = [seq for seq, times in Counter(seqs).items() if times > 1]
        text = f"{history.name}: records came twice or out of order: {often or seqs}"
        yield Finding("P2", "twice or out of order", text, history.name, session)
    for seq, event in records:
        stored = log.get(seq)
        if stored is not None and shown(stored) == event:
            continue
        text = f"{history.name}: record {seq} was seen as {event} and is {stored}"
        rule = ("P2", "seen otherwise")
        if event["type"] not in PUBLIC:
            rule = ("P10", "seen from inside")
        elif stored is None:
            rule = ("P5", "seen and lost")
        yield Finding(*rule, text, f"{history.name} {seq}", session)


def _of_unseen(
    history: History, session: str, records: list[tuple[int, Json]], log: Log
) -> Iterator[Finding]:
    place = history.places.get(session, 0)
    if place > log.head:
        text = f"{history.name}: was told of {place} records, there are {log.head}"
        yield Finding("P5", "told of more", text, history.name, session)
    seen = {seq for seq, _ in records}
    public = [seq for seq, event in log.items() if seq <= place and shown(event) is not None]
    missing = [seq for seq in public if seq not in seen]
    if missing:
        text = f"{history.name}: has never seen the records {missing}"
        yield Finding("P6", "never seen", text, history.name, session)


def logs_are_dense(case: Case) -> Iterator[Finding]:
    """P2: 1, 2, 3 … without a gap."""
    for session, log in case.logs.items():
        expected = 1
        for seq, _ in log.items():
            if seq != expected:
                text = f"the log jumps from {expected - 1} to {seq}"
                yield Finding("P2", "gap in the log", text, str(seq), session)
            expected = seq + 1


def visitors_are_content(case: Case) -> Iterator[Finding]:
    """P2, P4, P6, P7, P12, P13: nobody protested, nobody waited in vain."""
    for history in case.histories:
        for note in history.notes:
            if note["note"] == "protest":
                session = note["frame"].get("session", "")
                promise = next((p for sign, p in _PROTESTS if sign in note["text"]), "P2")
                about = f"{history.name} {note['text']}"
                yield Finding(promise, "protest", f"{history.name}: {note['text']}", about, session)
            elif note["note"] == "starved":
                promise = next((p for sign, p in _STARVED if sign in note["what"]), "P13")
                text = f"{history.name} waited in vain until {note['what']}"
                yield Finding(promise, "starved", text, text)


def sessions_are_ones_own(case: Case) -> Iterator[Finding]:
    """P1, P4: no session, no name of another visitor anywhere; one session for each opening."""
    names = sorted({history.name for history in case.histories if history.name})
    anyone = re.compile("|".join(re.escape(name) for name in names) or "(?!)")
    mine = {history.user: history.name for history in case.histories if history.user}
    for session, log in case.logs.items():
        name = mine.get(log.user)
        text = msgspec.json.encode([event for _, event in log.items()]).decode()
        for other in set(anyone.findall(text)) - {name} if name is not None else ():
            told = f"{other} is stored in a session of {name}"
            yield Finding("P1", "foreign text", told, other, session, frozenset({other}))
    for history in case.histories:
        for session, records in history.seen.items():
            if session in case.logs and case.logs[session].user != history.user:
                told = f"{history.name}: saw the session of somebody else"
                yield Finding("P1", "foreign session", told, history.name, session)
            text = msgspec.json.encode(records).decode()
            for other in set(anyone.findall(text)) - {history.name}:
                told = f"{history.name}: {other} is seen in its session"
                yield Finding("P1", "foreign text", told, other, session, frozenset({other}))
    openings = Counter(
        (log.user, event.get("command", ""))
        for log in case.logs.values()
        for _, event in log.items()
        if event["type"] == "SessionOpened"
    )
    for (_, command), count in openings.items():
        if count > 1 and command:
            yield Finding("P4", "opened twice", f"{command} made {count} sessions", command)


RULES = (
    commands_count_once,
    refusals_are_fair,
    records_are_seen_as_they_are,
    logs_are_dense,
    visitors_are_content,
    sessions_are_ones_own,
)
