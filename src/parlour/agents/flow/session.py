"""The session as a flow's bodies and conditions see it: with its event, intent and state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from parlour.agents.flow.calls import Call
from parlour.agents.flow.intents import Prediction
from parlour.session import BlockingSession, Session
from parlour.session.base import SessionBase
from parlour.session.effects import Effects


class Now(Protocol):
    """What a run of a flow tells of itself while a body runs."""

    @property
    def event(self) -> Any: ...

    @property
    def prediction(self) -> Prediction | None: ...

    @property
    def state_name(self) -> str: ...

    def signal(self, event: object, data: object) -> None: ...


class _More(SessionBase):
    """The words that a flow adds to a session."""

    now_of_flow: Now

    @property
    def event(self) -> Any:
        """What happened: a standard event, or one of the application's own class."""
        return self.now_of_flow.event

    @property
    def predicted_intent(self) -> Prediction | None:
        """What the message was taken for; None where something else has happened."""
        return self.now_of_flow.prediction

    @property
    def state(self) -> str:
        """The name of the state the session is in."""
        return self.now_of_flow.state_name

    @property
    def chat_history(self) -> list[tuple[str, int]]:
        """The newest messages, oldest first, with who said it: 0 is the bot, 1 the user."""
        return [(message.text, int(message.role == "user")) for message in self.history]


class FlowSession(_More, Session):
    """What `async def` bodies and all conditions get."""

    def __init__(self, effects: Effects, now: Now) -> None:
        super().__init__(effects)
        self.now_of_flow = now

    def signal(self, event: object, data: object = None) -> None:
        """Have this event happen after the body, before anything from outside.

        `event` is a name, with `data`, or an event of the application's own class.
        """
        self.now_of_flow.signal(event, data)


class BlockingFlowSession(_More, BlockingSession):
    """The same for plain bodies, in their worker thread."""

    def __init__(self, session: FlowSession, effects: Effects, now: Now) -> None:
        super().__init__(session, effects)
        self.now_of_flow = now

    def signal(self, event: object, data: object = None) -> None:
        """See `FlowSession.signal`."""
        self._now(lambda: self.now_of_flow.signal(event, data))


async def run_call(
    call: Call, session: FlowSession, now: Now, event: object, parameters: dict[str, Any]
) -> object:
    """Run a body: awaited here, or in a worker thread if it is a plain function."""
    if call.is_async:
        positional, named = call.bind(session, event, parameters)
        return await call.function(*positional, **named)
    blocking = BlockingFlowSession(session, session.effects, now)
    positional, named = call.bind(blocking, event, parameters)
    plain: Callable[[], Any] = lambda: call.function(*positional, **named)  # noqa: E731
    return await session.effects.in_thread(plain, handler=True)


async def holds(
    call: Call, session: FlowSession, event: object, parameters: dict[str, Any]
) -> bool:
    """Whether a condition holds; it runs on the event loop and is quick."""
    positional, named = call.bind(session, event, parameters)
    result: Any = call.function(*positional, **named)
    if hasattr(result, "__await__"):
        result = await result
    return bool(result)
