"""What handlers and callers see: the session's handle, and the contract of an agent.

Stands between the styles of agents, which use it, and the engine, which fills `effects`.
"""

from parlour.session.agent import (
    Agent,
    Checked,
    Feedback,
    File,
    Message,
    Reminder,
    Round,
    SignalMessage,
    Worker,
    WorkResult,
)
from parlour.session.attachments import (
    Action,
    Actions,
    Attachment,
    Audio,
    Figure,
    Html,
    Image,
    Pdf,
    Table,
    Video,
)
from parlour.session.base import User
from parlour.session.blocking import BlockingSession, run_blocking
from parlour.session.handle import Session
from parlour.session.part import BlockingPart, Part
from parlour.session.stepping import Retry
from parlour.session.stream import Stream

__all__ = [
    "Action",
    "Actions",
    "Agent",
    "Attachment",
    "Audio",
    "BlockingPart",
    "BlockingSession",
    "Checked",
    "Feedback",
    "Figure",
    "File",
    "Html",
    "Image",
    "Message",
    "Part",
    "Pdf",
    "Reminder",
    "Retry",
    "Round",
    "Session",
    "SignalMessage",
    "Stream",
    "Table",
    "User",
    "Video",
    "WorkResult",
    "Worker",
    "run_blocking",
]
