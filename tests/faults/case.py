"""All that is known of a storm when it is over: what the checker judges, and nothing else."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from faults.history import History, Json, whole_lines
from faults.script import SAYING


class Log:
    """A session as the store holds it: each record by its seq."""

    def __init__(self, user: str, events: Iterable[Json | None] | Mapping[int, Json]) -> None:
        self.user = user
        self.events: dict[int, Json] = (
            dict(events)
            if isinstance(events, Mapping)
            else {seq: event for seq, event in enumerate(events, 1) if event is not None}
        )
        self.head = max(self.events, default=0)

    def items(self) -> Iterator[tuple[int, Json]]:
        """The records in order."""
        return iter(sorted(self.events.items()))

    def get(self, seq: int) -> Json | None:
        return self.events.get(seq)

    def without(self, seqs: Iterable[int]) -> "Log":
        gone = set(seqs)
        log = Log(self.user, {s: e for s, e in self.events.items() if s not in gone})
        log.head = self.head
        return log

    def rounds(self) -> "list[RoundLog]":
        """The rounds in order, each with its records."""
        rounds: list[RoundLog] = []
        running: RoundLog | None = None
        for seq, event in self.items():
            if event["type"] == "RoundStarted":
                running = RoundLog(event["round"], event.get("source", 0), self)
                rounds.append(running)
            if running is not None:
                running.records.append((seq, event))
                if event["type"] == "RoundFinished":
                    running.end = event
                    running = None
        return rounds


@dataclass
class RoundLog:
    """One round's records, others' commands among them; `end` is None while it runs."""

    number: int
    source: int
    log: Log
    records: list[tuple[int, Json]] = field(default_factory=list)
    end: Json | None = None

    @property
    def status(self) -> str:
        return "" if self.end is None else self.end["status"]

    @property
    def saying(self) -> tuple[str, str, str] | None:
        """Name, kind and number of the saying it answers, if it is one of the script's."""
        said = self.log.get(self.source)
        match = SAYING.match((said or {}).get("text", ""))
        return None if match is None else (match[1], match[2], match[3])

    def of(self, *types: str) -> list[tuple[int, Json]]:
        return [(seq, event) for seq, event in self.records if event["type"] in types]

    @property
    def replies(self) -> list[tuple[int, Json]]:
        return [(seq, event) for seq, event in self.of("MessageAdded") if event["role"] == "bot"]


@dataclass
class Case:
    """Histories, logs, what was done to the world, what the operator was told, what was done."""

    histories: Sequence[History]
    logs: Mapping[str, Log]
    world: Sequence[Json] = ()
    operator: str = ""
    campaign: Sequence[Json] = ()

    @staticmethod
    def keep_logs(database: Path, path: Path) -> None:
        """Write the logs of all sessions of a store to a file that `load` reads."""
        uri = f"file:{database}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db, path.open("wb") as file:
            for session, user in db.execute("SELECT id, user FROM session"):
                file.write(msgspec.json.encode({"session": session, "user": user}) + b"\n")
            rows = db.execute("SELECT session, first, count, data FROM log ORDER BY session, first")
            for session, first, count, data in rows:
                line = {"session": session, "first": first, "count": count}
                events = msgspec.json.decode(data)
                file.write(msgspec.json.encode(line | {"events": events}) + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Case":
        """The storm whose folder that is."""
        users: dict[str, str] = {}
        events: dict[str, dict[int, Json]] = {}
        for line in whole_lines(folder / "logs.jsonl"):
            if "user" in line:
                users[line["session"]] = line["user"]
                continue
            for seq, event in enumerate(line["events"], line["first"]):
                there = events.setdefault(line["session"], {})
                # Two chunks for one place are seen by the records that are missing elsewhere.
                there[seq] = event
        world = folder / "server" / "world.txt"
        return cls(
            histories=[History.load(path) for path in sorted((folder / "histories").iterdir())],
            logs={session: Log(user, events.get(session, {})) for session, user in users.items()},
            world=list(whole_lines(world)) if world.exists() else [],
            operator=(folder / "operator.txt").read_text(encoding="utf-8"),
            campaign=list(whole_lines(folder / "campaign.jsonl")),
        )

    def count(self, kind: str = "") -> int:
        """How many records there are, of a kind."""
        return sum(kind in ("", e["type"]) for log in self.logs.values() for _, e in log.items())

    def strikes(self) -> set[str]:
        return {note["kind"] for note in self.campaign if note["note"] == "strike"}
