"""A log as the turns of a conversation, to be compared with what a client remembers of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from parlour.events import (
    AnswerRejected,
    AnyEvent,
    FileRef,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    RoundStarted,
    UnknownEvent,
)
from parlour.transports.codecs.asking import in_words
from parlour.transports.codecs.openai.requests import Role, Turn, merge

Link = Callable[[FileRef], str]
"""The address under which a client finds a file of the session."""

_PICTURES = ("image/",)
_SEEN = frozenset({"open", "message"})


def with_files(text: str, files: Sequence[FileRef], link: Link) -> str:
    """A message and its files as Markdown."""
    links = [
        f"{'!' if file.type.startswith(_PICTURES) else ''}[{_label(file)}]({link(file)})"
        for file in files
    ]
    return "\n\n".join([part for part in (text, *links) if part])


def _label(file: FileRef) -> str:
    return (file.alt or file.name).replace("[", "(").replace("]", ")").replace("\n", " ")


class Said(Struct, frozen=True):
    """A turn in a log. `seq` is its first record; `command`: a message of its own began it."""

    turn: Turn
    seq: int
    message: bool = False


class Transcript:
    """What was said in a session, as a client of this dialect was told it."""

    def __init__(self, link: Link) -> None:
        self.turns: list[Said] = []
        self._link = link
        self._seen = False
        self._cause = ""
        self._asked = False

    def record(self, seq: int, event: AnyEvent | UnknownEvent) -> None:
        match event:
            case RoundStarted():
                self._cause = event.cause
            case MessageAdded(role="user"):
                self._add("user", event.text, seq, message=True)
            case QuestionAnswered() | AnswerRejected():
                self._add("user", event.text, seq)
                if isinstance(event, AnswerRejected):
                    self._add("assistant", event.reason, seq)
            case MessageAdded() if self._cause in _SEEN:
                self._add("assistant", with_files(event.text, event.files, self._link), seq)
            case QuestionAsked() if self._cause in _SEEN:
                self._asked = self._asked or not self.turns or self._opens()
                self._add("assistant", in_words(event), seq)
            case _:
                pass

    def _opens(self) -> bool:
        return all(said.turn.role == "assistant" for said in self.turns)

    def _add(self, role: Role, text: str, seq: int, *, message: bool = False) -> None:
        self.turns.append(Said(Turn(role, text), seq, message))

    def after(self, known: Sequence[Turn]) -> tuple[bool, Said | None]:
        """Whether this begins as `known`, and the user's turn that comes then, if any.

        What was said before the user said anything was never told, unless it asked: the words that
        woke the bot are not in the log then.
        """
        ours, rest = self._merged(), merge(Turn(turn.role, turn.text) for turn in known)
        if ours and ours[0].turn.role == "assistant":
            if self._asked:
                rest = rest[1:] if rest and rest[0].role == "user" else rest
            else:
                ours = ours[1:]
        if len(rest) > len(ours):
            return False, None
        for said, turn in zip(ours, rest, strict=False):
            if (said.turn.role, said.turn.text) != (turn.role, turn.text):
                return False, None
        later = ours[len(rest) :]
        return True, next((said for said in later if said.turn.role == "user"), None)

    def _merged(self) -> list[Said]:
        merged: list[Said] = []
        for said in self.turns:
            text = said.turn.text.strip()
            if not text:
                continue
            if merged and merged[-1].turn.role == said.turn.role:
                last = merged[-1]
                turn = Turn(said.turn.role, f"{last.turn.text}\n\n{text}")
                merged[-1] = Said(turn, last.seq, last.message)
            else:
                merged.append(Said(Turn(said.turn.role, text), said.seq, said.message))
        return merged
