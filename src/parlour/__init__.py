"""Parlour: a session engine for conversational software.

You write the conversation once, in plain Python; every person who talks to it gets a private,
durable session. `App` is where to begin, `Session` is what its handlers get, `local` runs it in a
script, and `parlour run` on the command line serves it.
"""

from parlour.agents.flow import Flow, FlowSession
from parlour.app import App
from parlour.engine.local import EventHandler, LocalSession, Running, local
from parlour.engine.rounds import Cost, OpenQuestion, RoundResult
from parlour.errors import (
    AskTimeout,
    Diverged,
    NotStorable,
    ParlourError,
    Refused,
    StepFailed,
    StepInterrupted,
)
from parlour.offers import Profile, Starter, UserKey, Visitor
from parlour.session import (
    Action,
    Actions,
    Agent,
    Attachment,
    Audio,
    BlockingPart,
    BlockingSession,
    Feedback,
    Figure,
    File,
    Html,
    Image,
    Message,
    Part,
    Pdf,
    Reminder,
    Retry,
    Round,
    Session,
    SignalMessage,
    Stream,
    Table,
    User,
    Video,
)
from parlour.settings import Limits, Settings

__all__ = [
    "Action",
    "Actions",
    "Agent",
    "App",
    "AskTimeout",
    "Attachment",
    "Audio",
    "BlockingPart",
    "BlockingSession",
    "Cost",
    "Diverged",
    "EventHandler",
    "Feedback",
    "Figure",
    "File",
    "Flow",
    "FlowSession",
    "Html",
    "Image",
    "Limits",
    "LocalSession",
    "Message",
    "NotStorable",
    "OpenQuestion",
    "ParlourError",
    "Part",
    "Pdf",
    "Profile",
    "Refused",
    "Reminder",
    "Retry",
    "Round",
    "RoundResult",
    "Running",
    "Session",
    "Settings",
    "SignalMessage",
    "Starter",
    "StepFailed",
    "StepInterrupted",
    "Stream",
    "Table",
    "User",
    "UserKey",
    "Video",
    "Visitor",
    "local",
]
