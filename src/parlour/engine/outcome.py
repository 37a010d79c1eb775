"""What becomes of a command, who is told, and about how much it adds to a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from parlour.errors import Refused
from parlour.events import Answer, Assign, Command, Rate, Say, Signal

SMALL = 256
"""About how many bytes a record has beside what its author wrote."""


class Accepted(Struct, frozen=True):
    """A command is durable; `seq` is its first record, `repeated` tells that it was known."""

    session: str
    seq: int
    repeated: bool = False


Done = Callable[[Accepted | Refused], None]
"""Gets the outcome of a command, on the event loop, when it is durable."""


def resolve(future: asyncio.Future[Accepted]) -> Done:
    """Have a command's outcome settle a future."""

    def done(outcome: Accepted | Refused) -> None:
        if future.done():
            return
        if isinstance(outcome, Refused):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return done


def command_size(command: Command) -> int:
    """About how many bytes the records have that a command causes."""
    match command:
        case Say():
            return SMALL + len(command.text)
        case Rate():
            return SMALL + len(command.reason)
        case Answer() | Signal() | Assign():
            value = command.data if isinstance(command, Signal) else command.value
            text = command.text if isinstance(command, Answer) else ""
            return SMALL + len(text) + (0 if value is None else len(bytes(value)))
        case _:
            return SMALL
