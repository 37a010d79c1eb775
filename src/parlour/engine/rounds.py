"""One round as its caller sees it: picked from a session's records, as far as it has come."""

from __future__ import annotations

from dataclasses import dataclass

from parlour.events import (
    AnswerRejected,
    AnyEvent,
    ChangeNoticed,
    CostAdded,
    Delta,
    MessageAdded,
    MessagesTaken,
    QuestionAnswered,
    QuestionAsked,
    Record,
    ReminderCame,
    RoundFinished,
    RoundStarted,
    SessionClosed,
    SessionOpened,
    SignalReceived,
    TitleSet,
    UnknownEvent,
    VariableDeleted,
    VariableSet,
    WorkEnded,
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
        self.folded = 0
        """Until which record a session that sleeps was looked at."""

    def see(self, item: Record | Delta) -> None:
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
    """Picks the records of one round out of a session's, from the record that a command caused.

    That is the first record with the command's id at or after `cause`; without an id it is the
    record `cause` itself. Its round answers it, took it up, or was the one it gave an answer to. A
    message whose round is begun again is answered by the new one; an answer was for the old one.
    """

    def __init__(self, cause: int, command: str = "") -> None:
        self.cause = cause
        self._command = command
        self._events: list[AnyEvent | UnknownEvent] = []
        self._number = 0
        self._again = False
        self.began = False
        """Whether the round, or the answer that takes it further, has been seen."""
        self.place = 0
        self.result: RoundResult | None = None

    def take(self, item: Record | Delta) -> bool:
        """Whether it belongs to the round."""
        if not isinstance(item, Record):
            # Rounds follow one another: what is written now is written by the one that runs.
            self._number = self._number or (item.round if self.began else 0)
            return self.began and item.round == self._number
        self.place = max(self.place, item.seq)
        if not self._events:
            return self._find(item)
        event = item.event
        if self.result is not None or not (self._goes_on(event) if self.began else self._is(event)):
            return False
        self._events.append(event)
        if isinstance(event, RoundFinished):
            self._finish(event)
        return True

    def _find(self, item: Record) -> bool:
        event = item.event
        if self._command:
            if item.seq < self.cause or getattr(event, "command", "") != self._command:
                return False
        elif item.seq != self.cause:
            return False
        self.cause = item.seq
        self._events.append(event)
        self.began = isinstance(event, QuestionAnswered | AnswerRejected)
        return True

    def _is(self, event: AnyEvent | UnknownEvent) -> bool:
        """Whether the round begins with this, or will never begin."""
        match event:
            case RoundStarted():
                opens = isinstance(self._events[0], SessionOpened) and event.cause == "open"
                if not (self._again or opens or event.source == self.cause):
                    return False
                self._number = event.round
            case MessagesTaken():
                if self.cause not in event.sources:
                    return False
            case _:
                return isinstance(event, SessionClosed)
        self.began = True
        return True

    def _goes_on(self, event: AnyEvent | UnknownEvent) -> bool:
        """Whether this is of the running round, not of what waits or comes from outside."""
        match event:
            case MessageAdded():
                return event.role == "bot"
            case VariableSet() | VariableDeleted() | TitleSet():
                return bool(event.path)
            case _:
                return not isinstance(
                    event, SignalReceived | ReminderCame | ChangeNoticed | WorkEnded
                )

    def _finish(self, event: RoundFinished) -> None:
        if event.again and not isinstance(self._events[0], QuestionAnswered | AnswerRejected):
            del self._events[1:]
            self._number, self.began, self._again = 0, False, True
            return
        self.result = RoundResult(
            number=event.round,
            status=event.status,
            events=tuple(self._events),
            reason=event.reason,
            error=event.error,
        )

    def unfinished(
        self, status: str, question: OpenQuestion | None = None, number: int = 0
    ) -> RoundResult:
        return RoundResult(
            number=self._number or number,
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
