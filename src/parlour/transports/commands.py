"""From frames to the engine's commands: the same for every pipe."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Raw

from parlour.engine import Engine
from parlour.errors import Refused
from parlour.events import Answer, Close, Command, FileRef, Say, Signal, Stop
from parlour.transports.codecs.native import (
    AnswerFrame,
    CloseFrame,
    SayFrame,
    SignalFrame,
    StopFrame,
)

CommandFrame = SayFrame | AnswerFrame | StopFrame | SignalFrame | CloseFrame


def command_of(engine: Engine, frame: CommandFrame) -> Command:
    """What the frame asks of its session. Raises `Refused` where its files are not there."""
    match frame:
        case SayFrame():
            files = _uploaded(engine, frame.session, frame.files)
            return Say(id=frame.id, text=frame.text, files=files)
        case AnswerFrame():
            return Answer(
                id=frame.id,
                question=frame.question,
                value=None if frame.value is UNSET else _own(frame.value),
                text=frame.text,
                files=_uploaded(engine, frame.session, frame.files),
            )
        case StopFrame():
            return Stop(id=frame.id, round=frame.round)
        case SignalFrame():
            return Signal(id=frame.id, name=frame.name, data=_own(frame.data))
        case CloseFrame():
            return Close(id=frame.id)


def _uploaded(engine: Engine, session: str, ids: Sequence[str]) -> tuple[FileRef, ...]:
    if not ids:
        return ()
    limit = engine.settings.limits.files_per_message
    if len(ids) > limit:
        raise Refused("too_large", f"A message may have {limit} files.")
    return tuple(engine.files.find(session, file) for file in dict.fromkeys(ids))


def _own(value: Raw) -> Raw:
    """A copy of a raw value, which else would keep the whole message alive."""
    return Raw(bytes(value))
