"""What an agent does beside the rounds of a session: begun, cancelled, done again after a crash.

The log says what is to be done; here it is done, while the session is in memory, which it does not
leave meanwhile. How it ends is recorded, and a round answers that.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import TYPE_CHECKING

import msgspec

from parlour.errors import LimitExceeded, NotStorable, RoundDropped, describe
from parlour.events import WorkEnded
from parlour.session import Worker, WorkResult
from parlour.session.values import decode_value, encode_value
from parlour.state import Pending, Work

if TYPE_CHECKING:
    from parlour.engine.activation import Activation

log = logging.getLogger("parlour.engine")

OWED = 0.001
"""The `due` of a session whose works are to be taken up; 0 is for one whose round works."""

_ended: msgspec.json.Decoder[WorkEnded] = msgspec.json.Decoder(WorkEnded)


class Works:
    """The works of one activation, each in a task."""

    __slots__ = ("_activation", "_tasks")

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._tasks: dict[int, asyncio.Task[None]] | None = None

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    def look(self) -> None:
        """Begin what the log wants done, and cancel what it does not."""
        wanted, tasks = self._activation.state.work, self._tasks
        engine = self._activation.engine
        if not (wanted or tasks) or self._activation.gone or not engine.keeps:
            return
        if tasks is None:
            tasks = self._tasks = {}
        for number in tasks.keys() - wanted.keys():
            tasks.pop(number).cancel()
        if engine.stopping:
            return
        for number in wanted.keys() - tasks.keys():
            task = asyncio.Task(
                self._do(number, wanted[number]), loop=engine.loop, context=Context()
            )
            tasks[number] = task
            engine.look_after(task)

    def end(self) -> None:
        """Stop everything; nothing is recorded of it."""
        tasks, self._tasks = self._tasks or {}, None
        for task in tasks.values():
            task.cancel()

    async def _do(self, number: int, work: Work) -> None:
        activation = self._activation
        try:
            await activation.until_durable(number)
            ended = await self._outcome(number, work)
        except RoundDropped:
            return
        if activation.gone or number not in activation.state.work:
            return
        if self._tasks is not None:
            self._tasks.pop(number, None)
        activation.commit([ended])
        activation.runner.go_on()

    async def _outcome(self, number: int, work: Work) -> WorkEnded:
        engine = self._activation.engine
        agent, limits = engine.app.agent_of(self._activation.state.profile), engine.settings.limits
        try:
            if not isinstance(agent, Worker):
                raise NotImplementedError(f"the app does no work beside its rounds: {work.name!r}")
            async with asyncio.timeout(limits.round_seconds):
                value, kind = encode_value(await agent.work(work.name, work.data))
            if len(bytes(value)) > limits.value_bytes:
                raise LimitExceeded(
                    f"the result of {work.name!r} has {len(bytes(value)):,} bytes, at most "
                    f"{limits.value_bytes:,} are kept"
                )
        except Exception as error:
            session = self._activation.id[:8]
            log.log(
                logging.ERROR if isinstance(error, NotStorable | LimitExceeded) else logging.INFO,
                "%r failed in session %s",
                work.name,
                session,
                exc_info=error,
            )
            kind = type(error).__qualname__
            return WorkEnded(work=number, error=kind, reason=describe(error))
        return WorkEnded(work=number, value=value, kind=kind)


def work_result(source: Pending) -> WorkResult:
    """How a work ended, as its round sees it."""
    ended = _ended.decode(source.data)
    return WorkResult(
        number=ended.work,
        name=source.name,
        value=decode_value(ended.value, ended.kind),
        error=ended.error,
        reason=ended.reason,
    )
