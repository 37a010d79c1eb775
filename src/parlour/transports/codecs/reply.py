"""What answers one message, for the dialects that know requests and replies. Pure.

A session's log goes on and on; a `Reply` picks out of its records and deltas what belongs to one
command: it begins with the round that takes the message up (or goes on by it) and is over when that
round ends or asks. The same records give the same pieces, live and years later.
"""

from __future__ import annotations

from msgspec import Struct

from parlour.events import (
    AnswerRejected,
    AnyEvent,
    Button,
    CostAdded,
    Delta,
    FileRef,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    PartStatus,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    RoundFinished,
    RoundStarted,
    SessionClosed,
    Status,
    TextStreamed,
    UnknownEvent,
)


class Opened(Struct, frozen=True):
    """A message begins; `key` names it within the reply."""

    key: str


class Grew(Struct, frozen=True):
    """More of the message `key`."""

    key: str
    text: str


class Ended(Struct, frozen=True):
    """The message `key` is complete, and this is what it says."""

    key: str
    text: str
    files: tuple[FileRef, ...] = ()
    actions: tuple[Button, ...] = ()


class WorkBegan(Struct, frozen=True):
    """A part of the work is under way."""

    key: str
    event: PartBegun


class WorkEnded(Struct, frozen=True):
    """The part of the work `key` is over; `name` is what it was called."""

    key: str
    name: str
    status: PartStatus
    output: str


class Used(Struct, frozen=True):
    """So many tokens of a model have been paid for."""

    input_tokens: int
    output_tokens: int
    model: str


class Asked(Struct, frozen=True):
    """The bot asks, and the reply is over: the next message answers. `seq` names the question."""

    seq: int
    event: QuestionAsked


class Rejected(Struct, frozen=True):
    """The message did not answer the question, which stands; the reply is over."""

    question: int
    reason: str


class Over(Struct, frozen=True):
    """The round has ended, and the reply with it. `error` is an id to tell the operator."""

    status: Status
    reason: str = ""
    error: str = ""


Piece = Opened | Grew | Ended | WorkBegan | WorkEnded | Used | Asked | Rejected | Over


class Reply:
    """Follows the command whose first record is `seq`.

    Feed it the records from `seq` on, in order, and the deltas as they come. `asked` holds the
    questions that stood open before; `opening`: it is the first round of the session that is
    followed, which no message began.
    """

    def __init__(
        self, seq: int, *, asked: dict[int, QuestionAsked] | None = None, opening: bool = False
    ) -> None:
        self.seq = seq
        self.over = False
        self.source = 0
        """The record of the message or the answer itself, once it has come."""
        self.last = seq
        """The newest record that was looked at; when it is over, its end."""
        self._asked = dict(asked or {})
        self._opening = opening
        self._ours = False
        self._writing: dict[str, str] = {}
        self._lost: set[str] = set()
        self._names: dict[str, str] = {}

    @property
    def running(self) -> bool:
        """Whether the round that runs now is the reply's."""
        return self._ours and not self.over

    # -- records ----------------------------------------------------------------------------

    def record(self, seq: int, event: AnyEvent | UnknownEvent) -> list[Piece]:
        """What the record at `seq` adds to the reply."""
        if self.over or seq < self.seq:
            return []
        self.last = seq
        match event:
            case MessageAdded(role="user"):
                self._take(seq)
            case QuestionAnswered() | AnswerRejected() | QuestionClosed():
                return self._settled(seq, event)
            case RoundStarted():
                opens = self._opening and event.cause == "open"
                self._ours = opens or bool(self.source and event.source == self.source)
            case MessagesTaken() if self.source in event.sources:
                self._ours = True
            case SessionClosed():
                return self._end([*self._cut(), Over("stopped")])
            case _ if self._ours:
                return self._told(seq, event)
            case _:
                pass
        return []

    def _take(self, seq: int) -> None:
        if not self.source and not self._opening:
            self.source = seq

    def _settled(
        self, seq: int, event: QuestionAnswered | AnswerRejected | QuestionClosed
    ) -> list[Piece]:
        stood = self._asked
        first = not self.source and not self._opening and not isinstance(event, QuestionClosed)
        if first:
            self.source = seq
        if isinstance(event, AnswerRejected):
            if not first and not self._ours:
                return []
            return self._end([*self._cut(), Rejected(event.question, event.reason)])
        stood.pop(event.question, None)
        if first:
            self._ours = True
            if stood:
                # Another branch asked as well, and nothing tells when this one rests.
                oldest = min(stood)
                return self._end([Asked(oldest, stood[oldest])])
        return []

    def _told(self, seq: int, event: AnyEvent | UnknownEvent) -> list[Piece]:  # noqa: PLR0911
        match event:
            case MessageAdded():
                return self._message(event)
            case PartBegun():
                self._names[event.path] = event.name
                return [WorkBegan(event.path, event)]
            case PartEnded():
                path = event.path.rpartition("/")[0]
                name = self._names.pop(path, "")
                return [WorkEnded(path, name, event.status, event.output)]
            case CostAdded():
                return [Used(event.input_tokens, event.output_tokens, event.model)]
            case QuestionAsked():
                return self._end([*self._cut(), Asked(seq, event)])
            case RoundFinished(again=True):
                self._ours = False
                return self._cut()
            case RoundFinished():
                over = Over(event.status, event.reason, event.error)
                return self._end([*self._cut(), over])
            case _:
                return []

    def _message(self, event: MessageAdded) -> list[Piece]:
        key, text = event.path, event.text
        pieces: list[Piece] = []
        shown = self._writing.pop(key, None)
        self._lost.discard(key)
        if shown is None:
            pieces.append(Opened(key))
            shown = ""
        # It may have been written anew meanwhile, and what was shown cannot be taken back.
        rest = text[len(shown) :] if text.startswith(shown) else f"\n\n{text}"
        if rest:
            pieces.append(Grew(key, rest))
        return [*pieces, Ended(key, text, event.files, event.actions)]

    def _cut(self) -> list[Piece]:
        """What was being written and will not be recorded."""
        cut: list[Piece] = [Ended(key, text) for key, text in self._writing.items()]
        self._writing.clear()
        self._lost.clear()
        return cut

    def _end(self, pieces: list[Piece]) -> list[Piece]:
        self.over = True
        return pieces

    # -- deltas -----------------------------------------------------------------------------

    def delta(self, delta: Delta) -> list[Piece]:
        """What passes by and belongs to the reply: one message at a time grows before one's eyes.

        Another one that is written beside it comes whole, with its record.
        """
        if self.over or not self._ours or not isinstance(delta, TextStreamed):
            return []
        key = delta.path
        shown = self._writing.get(key)
        if key in self._lost or (shown is None and (self._writing or delta.offset)):
            return []
        pieces: list[Piece] = [] if shown is not None else [Opened(key)]
        shown = shown or ""
        text = shown[: delta.offset] + delta.text
        if delta.offset > len(shown) or not (text.startswith(shown) or shown.startswith(text)):
            self._lost.add(key)
            return []
        self._writing[key] = max(shown, text, key=len)
        if len(text) > len(shown):
            pieces.append(Grew(key, text[len(shown) :]))
        return pieces
