"""One round as its caller sees it: picked from a session's records, as far as it has come."""

from __future__ import annotations

from dataclasses import dataclass

from parlour.events import (
    AnswerRejected,
    AnyEvent,
    CostAdded,
    MessageAdded,
    MessagesTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Record,
    RoundFinished,
    RoundStarted,
    SessionClosed,
    SessionOpened,
    TextStreamed,
    UnknownEvent,
)
from parlour.questions import Question
from parlour.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question that waits for an answer; `note` says why it is asked again."""

    id: int
    text: str
    question: Question
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was used. `amount` is None where a price is unknown or currencies differ."""

    input_tokens: int = 0
    output_tokens: int = 0
    amount: float | None = 0.0
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """One round, as far as it has come.

    `status` is `done`, `failed`, `stopped`, `diverged`, or `waiting` where `question` wants an
    answer. `events` are its records' events in order, `reply` is all that the bot said, a message
    a line.
    """

    number: int
    status: str
    events: tuple[AnyEvent | UnknownEvent, ...]
    question: OpenQuestion | None = None
    reason: str = ""
    error: str = ""

    @property
    def replies(self) -> tuple[str, ...]:
        return tuple(
            event.text
            for event in self.events
            if isinstance(event, MessageAdded) and event.role == "bot"
        )

    @property
    def reply(self) -> str:
        return "\n".join(self.replies)

    @property
    def cost(self) -> Cost:
        costs = [event for event in self.events if isinstance(event, CostAdded)]
        amounts = [event.amount for event in costs]
        currencies = {event.currency for event in costs}
        known = [amount for amount in amounts if amount is not None]
        whole = len(known) == len(amounts) and len(currencies) <= 1
        return Cost(
            input_tokens=sum(event.input_tokens for event in costs),
            output_tokens=sum(event.output_tokens for event in costs),
            amount=sum(known) if whole else None,
            currency=currencies.pop() if len(currencies) == 1 else "USD",
        )


class Offers:
    """Which questions a caller has been asked: each once, and again after a rejected answer."""

    def __init__(self) -> None:
        self._complaints: dict[int, str] = {}
        self._offered: set[int] = set()

    def see(self, item: Record | TextStreamed) -> None:
        if isinstance(item, Record) and isinstance(item.event, AnswerRejected):
            self._complaints[item.event.question] = item.event.reason
            self._offered.discard(item.event.question)

    def take(self, question: int) -> bool:
        fresh = question not in self._offered
        self._offered.add(question)
        return fresh

    def complaint(self, question: int) -> str:
        return self._complaints.get(question, "")


class Follower:
    """Picks the records of one round out of a session's, from the record that caused it."""

    def __init__(self, cause: int) -> None:
        self._cause = cause
        self._events: list[AnyEvent | UnknownEvent] = []
        self._number = 0
        self.place = 0
        self.result: RoundResult | None = None

    @property
    def began(self) -> bool:
        """Whether the round, or the answer that takes it further, has been seen."""
        first = self._events[0] if self._events else None
        return bool(self._number) or isinstance(first, QuestionAnswered | AnswerRejected)

    def take(self, item: Record | TextStreamed) -> bool:
        """Whether it belongs to the round."""
        if isinstance(item, TextStreamed):
            return self._number in (0, item.round) and bool(self._events)
        event, seq = item.event, item.seq
        self.place = max(self.place, seq)
        if seq == self._cause:
            self._events.append(event)
            return True
        if not self._number:
            return self._before(event)
        if isinstance(event, MessageAdded) and event.role == "user":
            return False
        self._events.append(event)
        if isinstance(event, RoundFinished):
            self.result = self._finished(event)
        return True

    def _before(self, event: AnyEvent | UnknownEvent) -> bool:
        first = self._events[0] if self._events else None
        if isinstance(event, RoundStarted):
            opens = isinstance(first, SessionOpened) and event.cause == "open"
            if event.source == self._cause or opens:
                self._number = event.round
                self._events.append(event)
                return True
            return False
        if isinstance(event, MessagesTaken) and self._cause in event.sources:
            self._events.append(event)
            self._number = -1
            return True
        if isinstance(first, QuestionAnswered | AnswerRejected | QuestionClosed):
            self._number = -1
            return self.take(Record(seq=self._cause + 1, at=0.0, event=event))
        return isinstance(event, SessionClosed)

    def _finished(self, event: RoundFinished) -> RoundResult:
        return RoundResult(
            number=event.round,
            status=event.status,
            events=tuple(self._events),
            reason=event.reason,
            error=event.error,
        )

    def unfinished(self, status: str, question: OpenQuestion | None = None) -> RoundResult:
        return RoundResult(
            number=max(0, self._number),
            status=status,
            events=tuple(self._events),
            question=question,
        )


def open_question(state: State, seq: int = 0, complaint: str = "") -> OpenQuestion | None:
    running = state.round
    if running is None or not running.questions:
        return None
    seq = seq or next(iter(running.questions))
    path = running.questions.get(seq)
    event = running.journal[path].event if path is not None else None
    if not isinstance(event, QuestionAsked):
        return None
    return OpenQuestion(
        id=seq, text=event.text, question=event.question, note=complaint or event.note
    )
