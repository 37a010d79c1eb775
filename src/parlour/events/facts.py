"""Facts: what can be recorded in a session's log, one frozen class each, in the past tense.

Events hold no cycles, so the garbage collector need not know them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from parlour.questions import Question

Role = Literal["user", "bot"]
Cause = Literal[
    "open", "message", "signal", "reminder", "change", "work", "stop", "close", "feedback"
]
Rating = Literal["up", "down", ""]
Status = Literal["done", "failed", "stopped", "diverged"]
CloseReason = Literal["closed", "expired", "erased"]
View = Literal["", "table", "frame"]
PartStatus = Literal["done", "failed", "stopped"]

SETTINGS = "parlour:settings"
"""The variable that holds what the user has set in the app's panel."""


class FileRef(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A file of a session: what the log knows of it; its bytes lie in the session's workspace.

    `id` is unguessable, `name` is what the user called it (never a path), `type` a media type as
    the sender claims it, `size` in bytes. The rest is for what the bot shows: `alt` says it in
    words, `width` and `height` are in pixels (0: unknown), `view` is how it is shown where its
    type alone does not say so, `rows` how many a table has of which the file may hold the first.
    """

    id: str
    name: str
    type: str = "application/octet-stream"
    size: int = 0
    alt: str = ""
    width: int = 0
    height: int = 0
    view: View = ""
    rows: int = 0


class Button(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that the user may press under a message: it sends the signal with its JSON."""

    label: str
    signal: str
    data: Raw = Raw(b"null")


class PartCost(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a part has used. `amount` is None where a price is unknown or currencies differ."""

    input_tokens: int = 0
    output_tokens: int = 0
    amount: float | None = None
    currency: str = "USD"


class Event(
    Struct, frozen=True, kw_only=True, tag_field="type", tag=True, omit_defaults=True, gc=False
):
    """A fact about one session. `path` names the effect of a handler that it journals."""


class SessionOpened(Event, frozen=True, kw_only=True):
    """The session exists and belongs to `user`; `profile` names which of the app's answers."""

    user: str
    command: str = ""
    profile: str = ""


class MessageAdded(Event, frozen=True, kw_only=True):
    """Somebody said something. A bot's message has a `path`, a user's a `command`.

    `cut`: it was being written when what wrote it was ended, so this is as far as it came.
    """

    role: Role
    text: str
    files: tuple[FileRef, ...] = ()
    path: str = ""
    command: str = ""
    cut: bool = False
    actions: tuple[Button, ...] = ()


class SignalReceived(Event, frozen=True, kw_only=True):
    """The application or its page sent a named event with JSON `data`."""

    name: str
    data: Raw = Raw(b"null")
    command: str = ""


class FeedbackGiven(Event, frozen=True, kw_only=True):
    """The user thinks so of the bot's message at seq `message`; "" takes an earlier rating back.

    `answered`: the app answers it with a round.
    """

    message: int
    rating: Rating = ""
    reason: str = ""
    command: str = ""
    answered: bool = False


class ComponentShown(Event, frozen=True, kw_only=True):
    """The bot shows a component of the app's own: `text` says the same where there is none."""

    path: str
    name: str
    data: Raw = Raw(b"null")
    text: str = ""


class RoundStarted(Event, frozen=True, kw_only=True):
    """Round `round` began; `source` is the seq of the message or signal it answers, 0 if none."""

    round: int
    cause: Cause
    source: int = 0
    command: str = ""


class RoundResumed(Event, frozen=True, kw_only=True):
    """A worker took the round up again after it had left memory or its worker had died."""

    round: int


class RoundSurvived(Event, frozen=True, kw_only=True):
    """A worker took the round up and did not die of it: it ran on for long, or left it in order."""

    round: int


class RoundFinished(Event, frozen=True, kw_only=True):
    """The round is over. `error` is an id for the operator, `reason` fit to show to the user.

    `detail` says more to the operator and is not shown to users.
    `again`: what it answered is to be answered by another round, from its start.
    """

    round: int
    status: Status
    error: str = ""
    reason: str = ""
    command: str = ""
    again: bool = False
    detail: str = ""


class VariableSet(Event, frozen=True, kw_only=True):
    """A variable has a new value: JSON, with the Python type it had if JSON has no such type.

    A handler's has a `path`; one set from outside has a `command`.
    """

    name: str
    value: Raw
    kind: str = ""
    path: str = ""
    command: str = ""


class VariableDeleted(Event, frozen=True, kw_only=True):
    """A variable is gone."""

    name: str
    path: str = ""
    command: str = ""


class UserVariableSet(Event, frozen=True, kw_only=True):
    """A variable of the session's user, seen by all the user's sessions, has a new value."""

    name: str
    value: Raw
    kind: str = ""
    path: str


class StepStarted(Event, frozen=True, kw_only=True):
    """An at-most-once step is about to run."""

    path: str
    digest: str


class StepFinished(Event, frozen=True, kw_only=True):
    """A step's result: JSON, with the Python type it had if JSON has no such type."""

    path: str
    digest: str = ""
    value: Raw = Raw(b"null")
    kind: str = ""


class StepRaised(Event, frozen=True, kw_only=True):
    """A step ended with an exception."""

    path: str
    digest: str = ""
    error: str
    reason: str


class CellWritten(Event, frozen=True, kw_only=True):
    """Code that is about to run in the session's kernel; the step after it says what came of it.

    The step is at the path that has `cell` for `code`.
    """

    path: str
    code: str


class QuestionAsked(Event, frozen=True, kw_only=True):
    """The bot asks; the question is named by this record's seq. `deadline` is in Unix seconds."""

    path: str
    text: str
    question: Question
    deadline: float | None = None
    note: str = ""


class QuestionAnswered(Event, frozen=True, kw_only=True):
    """The question `question` has its answer; `text` is how the user put it."""

    question: int
    value: Raw
    text: str = ""
    files: tuple[FileRef, ...] = ()
    command: str = ""


class AnswerRejected(Event, frozen=True, kw_only=True):
    """What the user said does not answer the question, which stands; `reason` is shown.

    `code` says the same for other languages, with the `values` that belong into the sentence.
    """

    question: int
    text: str
    reason: str
    command: str = ""
    code: str = ""
    values: dict[str, str] = {}


class QuestionClosed(Event, frozen=True, kw_only=True):
    """Nobody may answer any more: time ran out, or the bot took the question back."""

    question: int
    reason: Literal["timeout", "withdrawn"]


class TimerSet(Event, frozen=True, kw_only=True):
    """The round sleeps until `due`, in Unix seconds."""

    path: str
    due: float


class TimerFired(Event, frozen=True, kw_only=True):
    """The time of the timer at `path` has come."""

    path: str


class ReminderSet(Event, frozen=True, kw_only=True):
    """A round is to begin at `due` (Unix seconds); it replaces one of the same name."""

    path: str
    name: str
    due: float
    data: Raw = Raw(b"null")


class ReminderCancelled(Event, frozen=True, kw_only=True):
    """Nobody is to be reminded under this name any more."""

    path: str
    name: str


class ReminderCame(Event, frozen=True, kw_only=True):
    """The time of the reminder has come: its round waits for its turn."""

    name: str


class ChangeNoticed(Event, frozen=True, kw_only=True):
    """Variables were changed from outside, and a round that looks at them waits for its turn."""


class WorkStarted(Event, frozen=True, kw_only=True):
    """The agent does something beside the rounds, named by this record's seq; `data` is what with.

    It is done again if the worker dies meanwhile.
    """

    path: str
    name: str
    data: Raw = Raw(b"null")


class WorkCancelled(Event, frozen=True, kw_only=True):
    """Nobody needs the work `work` any more."""

    path: str
    work: int


class WorkEnded(Event, frozen=True, kw_only=True):
    """The work `work` has a result, or with `error` has failed: its round waits for its turn."""

    work: int
    value: Raw = Raw(b"null")
    kind: str = ""
    error: str = ""
    reason: str = ""


class PlaceTaken(Event, frozen=True, kw_only=True):
    """The agent is at another place of its own; `place` is all that it remembers of where.

    `source` and `target` are what people call the two, `by` is what led from one to the other.
    """

    path: str
    place: Raw
    source: str = ""
    target: str = ""
    by: str = ""


class EventDropped(Event, frozen=True, kw_only=True):
    """Nobody wanted what came, called `name`, at the agent's place `state`."""

    path: str
    name: str
    state: str = ""
    reason: str = ""


class MessagesTaken(Event, frozen=True, kw_only=True):
    """The round took up what the user said while it ran: the messages with these seqs."""

    path: str
    sources: tuple[int, ...] = ()


class CostAdded(Event, frozen=True, kw_only=True):
    """The round used something that is paid for."""

    path: str
    input_tokens: int = 0
    output_tokens: int = 0
    amount: float | None = None
    currency: str = "USD"
    model: str = ""


class PartBegun(Event, frozen=True, kw_only=True):
    """A part of the round's work that the user is shown began; `input` is Markdown.

    Whatever has a path below its own belongs to it, other parts too. `kind` is the app's own word
    for what it is: "tool", "model", "post".
    """

    path: str
    name: str
    kind: str = ""
    input: str = ""


class PartEnded(Event, frozen=True, kw_only=True):
    """The part below whose path this one lies is over; `output` is Markdown.

    `cost` is what was added to the round's cost within it, if its author wants it shown.
    """

    path: str
    status: PartStatus = "done"
    output: str = ""
    cost: PartCost | None = None


class SessionClosed(Event, frozen=True, kw_only=True):
    """The session takes no more commands."""

    reason: CloseReason = "closed"
    command: str = ""


class SessionForked(Event, frozen=True, kw_only=True):
    """The records before this one are a copy of those of the session `origin`, up to its `seq`."""

    origin: str
    seq: int


class TitleSet(Event, frozen=True, kw_only=True):
    """The session is called something else; "": as the user's first words say."""

    title: str
    path: str = ""
    command: str = ""


class UnknownEvent(Struct, frozen=True, kw_only=True):
    """An event of a later or foreign vocabulary; it is kept, passed on and changes nothing."""

    type: str
    raw: Raw


AnyEvent = (
    SessionOpened
    | MessageAdded
    | SignalReceived
    | FeedbackGiven
    | ComponentShown
    | RoundStarted
    | RoundResumed
    | RoundSurvived
    | RoundFinished
    | VariableSet
    | VariableDeleted
    | UserVariableSet
    | StepStarted
    | StepFinished
    | StepRaised
    | CellWritten
    | QuestionAsked
    | QuestionAnswered
    | AnswerRejected
    | QuestionClosed
    | TimerSet
    | TimerFired
    | ReminderSet
    | ReminderCancelled
    | ReminderCame
    | ChangeNoticed
    | WorkStarted
    | WorkCancelled
    | WorkEnded
    | PlaceTaken
    | EventDropped
    | MessagesTaken
    | CostAdded
    | PartBegun
    | PartEnded
    | SessionClosed
    | SessionForked
    | TitleSet
)

EVENT_TYPES: tuple[type[Event], ...] = tuple(Event.__subclasses__())


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """An event at its place in a session's log. `at` is in Unix seconds and orders nothing."""

    seq: int
    at: float
    event: AnyEvent | UnknownEvent
