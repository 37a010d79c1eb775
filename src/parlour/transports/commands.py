"""From frames to the engine's commands: the same for every pipe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from msgspec import UNSET, Raw

from parlour.engine import Accepted, Engine
from parlour.errors import Refused
from parlour.events import (
    SETTINGS,
    Answer,
    Assign,
    Close,
    Command,
    FileRef,
    Rate,
    Say,
    Signal,
    Stop,
)
from parlour.transports.codecs.native import (
    AnswerFrame,
    CloseFrame,
    ConfigureFrame,
    OpenFrame,
    RateFrame,
    SayFrame,
    SignalFrame,
    StopFrame,
)

CommandFrame = (
    SayFrame | AnswerFrame | StopFrame | SignalFrame | RateFrame | ConfigureFrame | CloseFrame
)


def command_of(  # noqa: PLR0911 - one for each kind of frame
    engine: Engine, frame: CommandFrame
) -> Command:
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
        case RateFrame():
            return Rate(
                id=frame.id, message=frame.message, rating=frame.rating, reason=frame.reason
            )
        case ConfigureFrame():
            return Assign(id=frame.id, name=SETTINGS, value=settings_of(engine, frame.settings))
        case CloseFrame():
            return Close(id=frame.id)


async def open_for(engine: Engine, frame: OpenFrame, user: str) -> Accepted:
    """A new session. Raises `Refused`."""
    settings: Raw | None = None
    if frame.settings is not UNSET and engine.app.preferences is not None:
        # They were set in another session, by an older page perhaps: what does not fit is left out.
        with suppress(Refused):
            settings = settings_of(engine, frame.settings)
    return await engine.open(user, frame.id, profile=frame.profile, settings=settings)


def settings_of(engine: Engine, given: Raw) -> Raw:
    """What the user has set, checked. Raises `Refused`."""
    if engine.app.preferences is None:
        raise Refused("unhandled", "This app has no settings.")
    if len(bytes(given)) > engine.settings.limits.value_bytes:
        raise Refused("too_large", "These settings are too large.")
    return engine.app.preferences.check(_own(given))


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
