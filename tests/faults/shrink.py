"""The smallest counter-example of a finding: what is left when nothing more can be left out. Pure.

First only the session and the visitors that the finding is about, then piece by piece (delta
debugging): whatever may go without the finding going is not part of the story. What mentions the
finding's own words stays, for a finding about something missing is else proved by nothing at all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from faults.case import Case, Log
from faults.checker import RULES
from faults.finding import Finding, Rule
from faults.history import History, Json

T = TypeVar("T")
MOST_LINES = 24
MOST_TRIES = 2000
IDENTITY = frozenset({"named", "greeted"})
"""Notes that say who somebody is; they always stay."""


@dataclass(frozen=True)
class _Piece:
    """A note of a history, a record of a log or a line of the world."""

    where: str
    index: int
    data: Json

    @property
    def text(self) -> str:
        return msgspec.json.encode(self.data).decode()


def smallest(case: Case, finding: Finding) -> str:
    """The finding and its story, to be read by a person."""
    rule = _rule_of(case, finding)
    if rule is None or not finding.session:
        return str(finding)
    near = _near(case, finding)
    if not _still(near, rule, finding):
        near = case
    pieces = _pieces(near)
    fixed = [piece for piece in pieces if _mentions(piece, finding)]
    free = [piece for piece in pieces if not _mentions(piece, finding)]
    left = minimise(free, lambda some: _still(_with(near, fixed + some), rule, finding))
    pieces = sorted(fixed + left, key=pieces.index)
    lines = [f"  {piece.where:<24} {piece.text[:300]}" for piece in pieces[:MOST_LINES]]
    if len(pieces) > MOST_LINES:
        lines.append(f"  … and {len(pieces) - MOST_LINES} more")
    return "\n".join([str(finding), *lines])


def minimise(items: list[T], wanted: Callable[[list[T]], bool]) -> list[T]:
    """A part of `items` for which `wanted` holds, and for none of its parts with one item less.

    After many tries whatever has been reached is good enough.
    """
    size = max(1, len(items) // 2)
    tries = 0
    while True:
        place, smaller = 0, False
        while place < len(items):
            tries += 1
            if tries > MOST_TRIES:
                return items
            without = items[:place] + items[place + size :]
            if len(without) < len(items) and wanted(without):
                items, smaller = without, True
            else:
                place += size
        if size == 1 and not smaller:
            return items
        size = max(1, size // 2)


def _rule_of(case: Case, finding: Finding) -> Rule | None:
    return next((rule for rule in RULES if _still(case, rule, finding)), None)


def _still(case: Case, rule: Rule, finding: Finding) -> bool:
    wanted = finding.promise, finding.rule, finding.about, finding.session
    try:
        return any((f.promise, f.rule, f.about, f.session) == wanted for f in rule(case))
    except KeyError:
        # What is left makes no sense any more.
        return False


def _mentions(piece: _Piece, finding: Finding) -> bool:
    return any(word in piece.text for word in finding.keep)


def _near(case: Case, finding: Finding) -> Case:
    """Only what has to do with the session of the finding."""
    session = finding.session
    histories: list[History] = []
    for history in case.histories:
        mine = [note for note in history.notes if _concerns(note, session, history)]
        if any(note["note"] not in (*IDENTITY, "ended") for note in mine):
            histories.append(_replayed(mine))
    return replace(
        case,
        histories=histories,
        logs={session: case.logs[session]} if session in case.logs else {},
        world=[line for line in case.world if line["session"] == session],
    )


def _concerns(note: Json, session: str, history: History) -> bool:
    if note["note"] in (*IDENTITY, "ended"):
        return True
    if session in msgspec.json.encode(note).decode():
        return True
    frame = note.get("frame", {})
    command = note.get("id", frame.get("id", ""))
    return any(acked == session for acked, _ in history.acks.get(command, ()))


def _pieces(case: Case) -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, history in enumerate(case.histories):
        where = f"{history.name}/{number}"
        pieces += [
            _Piece(where, index, note)
            for index, note in enumerate(history.notes)
            if note["note"] not in IDENTITY
        ]
    for session, log in case.logs.items():
        pieces += [_Piece(f"log {session[:6]}", seq, event) for seq, event in log.items()]
    pieces += [_Piece("world", index, line) for index, line in enumerate(case.world)]
    return pieces


def _with(case: Case, pieces: Iterable[_Piece]) -> Case:
    """The case made of these pieces only."""
    kept: dict[str, set[int]] = {}
    for piece in pieces:
        kept.setdefault(piece.where, set()).add(piece.index)
    histories = [
        _replayed(
            [
                note
                for index, note in enumerate(history.notes)
                if note["note"] in IDENTITY or index in kept.get(f"{history.name}/{number}", ())
            ]
        )
        for number, history in enumerate(case.histories)
    ]
    logs: Mapping[str, Log] = {
        session: log.without(set(log.events) - kept.get(f"log {session[:6]}", set()))
        for session, log in case.logs.items()
    }
    world = [line for index, line in enumerate(case.world) if index in kept.get("world", ())]
    return replace(case, histories=histories, logs=logs, world=world)


def _replayed(notes: list[Json]) -> History:
    history = History()
    for note in notes:
        history.add(note)
    return history
