"""What one visitor did, was told and saw: notes that are only ever added to, on the disk at once.

A harness that dies keeps every history; `History.load` reads one back. The tables that the checker
and the visitors use are made of the notes, never the other way round.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

Json = dict[str, Any]


@dataclass
class History:
    """The notes of one visitor's tab, and the tables made of them.

    Seqs are by session, commands by their ids. `seen` keeps the records in the order of their
    coming, `acks` every acknowledgement of a command as pairs of session and seq. A visitor with
    several tabs has a history for each, of the same `name`.
    """

    name: str = ""
    user: str = ""
    sent: dict[str, Json] = field(default_factory=dict)
    acks: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    refused: dict[str, Json] = field(default_factory=dict)
    seen: dict[str, list[tuple[int, Json]]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    notes: list[Json] = field(default_factory=list)
    _file: IO[bytes] | None = None

    @classmethod
    def on_disk(cls, name: str, path: Path) -> "History":
        """A history of which each note is in the file at `path` as soon as it is made."""
        history = cls(name, _file=path.open("ab", buffering=0))
        history.note("named", name=name)
        return history

    @classmethod
    def load(cls, path: Path) -> "History":
        """What was written by `on_disk`; a last line that a crash cut off is left out."""
        history = cls()
        for note in whole_lines(path):
            history.add(note)
        return history

    def note(self, what: str, /, **said: Any) -> None:
        """Write something down, and enter it into the tables."""
        note = {"note": what, "at": round(time.monotonic(), 4), **said}
        if self._file is not None:
            self._file.write(msgspec.json.encode(note) + b"\n")
        self.add(note)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def ended(self) -> bool:
        """Whether the visitor came to the end of its visit with nothing left open."""
        return any(note["note"] == "ended" for note in reversed(self.notes))

    def of(self, what: str) -> list[Json]:
        return [note for note in self.notes if note["note"] == what]

    def add(self, note: Json) -> None:
        """Enter a note that was written before."""
        self.notes.append(note)
        match note["note"]:
            case "named":
                self.name = note["name"]
            case "greeted":
                self.user = note["user"]
            case "sent":
                command = note["frame"]["id"]
                self.sent[command] = note["frame"]
                self.refused.pop(command, None)
            case "acknowledged":
                answered = self.acks.setdefault(note["id"], [])
                answered.append((note["session"], note["seq"]))
            case "refused":
                self.refused[note["id"]] = note["frame"]
            case "records":
                session, seq = note["session"], note["after"]
                records = self.seen.setdefault(session, [])
                for seq, event in enumerate(note["records"], note["after"] + 1):
                    if event is not None:
                        records.append((seq, event))
                self.places[session] = seq
            case "placed":
                self.places[note["session"]] = note["place"]


def whole_lines(path: Path) -> Iterator[Json]:
    """The JSON values of a file, a line each, until one that was cut off."""
    for line in path.read_bytes().split(b"\n"):
        if line:
            try:
                yield msgspec.json.decode(line)
            except msgspec.DecodeError:
                return
