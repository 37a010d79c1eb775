"""The WebSocket pipe: raw ASGI, one task for each connection.

Frames mean what the native codec says, commands go to the engine; here are only queues and ends.
What is ready in one turn of the loop leaves as one message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import (
    Awaitable,
    Callable,
    Generator,
    MutableMapping,
)
from contextvars import Context
from functools import partial
from types import coroutine
from typing import Any

from parlour.engine import Accepted, Commit, Engine, Subscription
from parlour.engine.scope import hide
from parlour.errors import Refused
from parlour.events import Delta
from parlour.transports.codecs import native
from parlour.transports.codecs.native import (
    AttachFrame,
    ClientFrame,
    DetachFrame,
    HelloFrame,
    KeysFrame,
    OpenFrame,
    PingFrame,
)
from parlour.transports.commands import CommandFrame, command_of, open_for
from parlour.transports.identity import Identity

log = logging.getLogger("parlour.transports")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAX_MALFORMED = 20
_MAX_TASKS = 64
_TOO_SLOW = 4008
_NO_HELLO = 4000
_MALFORMED = 4001
_GONE = 0


class WebSocketEndpoint:
    """The ASGI application for `/ws`."""

    def __init__(self, engine: Engine, identity: Identity) -> None:
        self._engine = engine
        self._identity = identity
        self._flusher = Flusher()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        if not self._identity.allows(scope["headers"]):
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        user = self._identity.user_from(scope["headers"])
        connection = Connection(
            self._engine, self._identity, receive, send, user=user, flusher=self._flusher
        )
        await connection.run()


class Flusher:
    """Lets connections send once in a turn of the loop, by one task for all of them.

    A connection whose socket is full keeps the task it was sent in, and the others get another: so
    what a server's `send` finds as its task is one, and nobody else's.
    """

    def __init__(self) -> None:
        self._connections: deque[Connection] = deque()
        self._flushes = False

    def add(self, connection: Connection) -> None:
        self._connections.append(connection)
        if not self._flushes:
            self._begin()

    def _begin(self) -> None:
        self._flushes = True
        # What is sent for many belongs to nobody's context, least of all to a handler's.
        loop = asyncio.get_running_loop()
        hide(asyncio.Task(self._flush(), loop=loop, context=Context()))

    async def _flush(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        # What is added meanwhile is for the next turn.
        for _ in range(len(self._connections)):
            connection = self._connections.popleft()
            try:
                sending = connection.flush(task)
            except Exception:
                log.exception("a connection could not be flushed")
                continue
            if sending is not None:
                self._go_on()
                await sending
                return
            if task.cancelling():
                break
        self._go_on()

    def _go_on(self) -> None:
        self._flushes = False
        if self._connections:
            self._begin()


class Connection:
    """One client. It listens to the sessions it is attached to (an engine `Listener`)."""

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        receive: Receive,
        send: Send,
        *,
        user: str | None,
        flusher: Flusher,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._receive = receive
        self._send = send
        self._user = user
        self._greeted = False
        self._outbox: list[str] = []
        self._waiting = 0
        self._limit = engine.settings.limits.listener_bytes
        self._sending: asyncio.Task[None] | None = None
        self._flushes = False
        self._flusher = flusher
        self._drained = asyncio.Event()
        self._ending: tuple[int, str] | None = None
        self._malformed = 0
        self._attached: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}
        self._attaching: dict[str, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._farewell: asyncio.TimerHandle | None = None
        self._left = False

    # -- the engine's listener --------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        frame = commit.encoded.get(native)
        if frame is None:
            frame = commit.encoded[native] = native.encode_records(
                commit.session, commit.first, commit.at, commit.events, commit.data
            )
        self._put(frame)

    def delta(self, session: str, delta: Delta) -> None:
        self._put(native.encode_delta(session, delta))

    def live(self, session: str, seq: int) -> None:
        self._put(native.encode_live(session, seq))

    def ended(self, session: str, refusal: Refused) -> None:
        self._detach(session)
        self._refuse(refusal, session)

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve this client until it leaves, or is left: one that was cut off and does not read.

        Whoever called must then end the socket.
        """
        self._task = asyncio.current_task()
        hide(self._task)
        patience = self._engine.settings.limits.hello_seconds
        deadline = self._loop.call_later(patience, self._check_hello)
        try:
            while True:
                message = await self._receive()
                if message["type"] != "websocket.receive":
                    break
                if self._ending is None:
                    self._take(message)
        except asyncio.CancelledError:
            if not self._left or self._task is None or self._task.uncancel():
                raise
        finally:
            deadline.cancel()
            if self._farewell is not None:
                self._farewell.cancel()
            await self._let_go()

    async def _let_go(self) -> None:
        self._ending = (_GONE, "")
        self._outbox.clear()
        tasks = [task for _, task in self._attached.values()] + list(self._tasks)
        for subscription, _ in self._attached.values():
            self._engine.unsubscribe(subscription)
        if self._sending is not None:
            tasks.append(self._sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def end(self, code: int, reason: str) -> None:
        """Close the socket, after what is in the outbox."""
        if self._ending is None:
            self._ending = (code, reason)
            seconds = self._engine.settings.limits.farewell_seconds
            self._farewell = self._loop.call_later(seconds, self._leave)
            self._flush_soon()

    def _leave(self) -> None:
        """It was told to go and has not: nobody waits for what it does not read."""
        if self._task is not None and not self._task.done():
            self._left = True
            self._task.cancel()

    def _check_hello(self) -> None:
        if not self._greeted:
            self.end(_NO_HELLO, "no hello came")

    # -- out --------------------------------------------------------------------------------

    def _put(self, frame: str) -> None:
        if self._ending is not None:
            return
        self._outbox.append(frame)
        if not self._flushes:
            self._flush_soon()
        if self._sending is not None:
            self._check_pace(frame)

    def _check_pace(self, frame: str) -> None:
        """What one turn of the loop brings is bounded by others; slow is who does not take it."""
        self._waiting += len(frame)
        if self._waiting > self._limit:
            self._outbox.clear()
            self._waiting = 0
            for session in tuple(self._attached):
                self._detach(session)  # its places are free for when it returns
            self.end(_TOO_SLOW, "this client reads too slowly; attach again after your place")

    def _flush_soon(self) -> None:
        if not self._flushes:
            self._flushes = True
            self._flusher.add(self)

    def flush(self, task: asyncio.Task[None]) -> Awaitable[None] | None:
        """Send what is ready, in `task`; while the socket is full, the rest of it to be awaited."""
        self._flushes = False
        if self._sending is not None:
            return None
        outbox, rest = self._outbox, None
        if outbox:
            text = outbox[0] if len(outbox) == 1 else "\n".join(outbox)
            outbox.clear()
            rest = self._begin({"type": "websocket.send", "text": text}, task)
        if self._ending is not None and rest is None and self._ending[0] != _GONE:
            code, reason = self._ending
            self._ending = (_GONE, "")
            rest = self._begin({"type": "websocket.close", "code": code, "reason": reason}, task)
        if rest is None:
            self._drained.set()
        return rest

    def _begin(
        self, message: MutableMapping[str, Any], task: asyncio.Task[None]
    ) -> Awaitable[None] | None:
        try:
            sending = self._send(message).__await__()
            waited_for = next(sending)
        except StopIteration:
            return None
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - its socket is gone
            self._lost(error)
            return None
        self._sending = task
        return self._finish(sending, waited_for)

    async def _finish(self, sending: Generator[Any, Any, None], waited_for: Any) -> None:
        try:
            await _go_on(sending, waited_for)
        except Exception as error:  # noqa: BLE001 - its socket is gone
            self._lost(error)
        finally:
            self._sent()

    def _sent(self) -> None:
        self._sending = None
        self._waiting = sum(map(len, self._outbox))
        if self._outbox or (self._ending is not None and self._ending[0] != _GONE):
            self._flush_soon()
        if not self._outbox:
            self._drained.set()

    def _lost(self, error: BaseException) -> None:
        """The socket takes nothing more; the reader is told of its end."""
        if not isinstance(error, OSError):
            log.debug("a socket failed: %s", type(error).__name__)
        self._ending = (_GONE, "")
        self._outbox.clear()
        self._drained.set()

    async def _pause(self) -> None:
        """Wait until what was read from the store has left."""
        if self._outbox or self._sending is not None:
            self._drained.clear()
            if self._sending is None:
                self._flush_soon()
            await self._drained.wait()

    def _refuse(self, refusal: Refused, session: str = "", command: str = "") -> None:
        self._put(native.encode_refusal(refusal, session, command))

    # -- in ---------------------------------------------------------------------------------

    def _take(self, message: MutableMapping[str, Any]) -> None:
        text: str | None = message.get("text")
        if text is None:
            self._count_malformed(Refused("invalid", "Frames are text, not binary."))
            return
        if len(text) > self._engine.settings.limits.frame_bytes:
            self._count_malformed(Refused("too_large", "That message is too large."))
            return
        for frame in native.decode_message(text):
            if isinstance(frame, Refused):
                self._count_malformed(frame)
            elif self._user is not None and self._greeted:
                self._do(frame, self._user)
            else:
                self._greet(frame)
            if self._ending is not None:
                return

    def _count_malformed(self, refusal: Refused) -> None:
        self._malformed += 1
        self._refuse(refusal)
        if self._malformed >= _MAX_MALFORMED:
            self.end(_MALFORMED, "too many malformed frames")

    def _greet(self, frame: ClientFrame) -> None:
        if not isinstance(frame, HelloFrame):
            self._refuse(Refused("invalid", "Say hello first."))
            self.end(_NO_HELLO, "hello comes first")
            return
        if native.VERSION not in frame.versions:
            self._refuse(
                Refused("unsupported_version", f"This server speaks version {native.VERSION}.")
            )
            self.end(_NO_HELLO, "no version in common")
            return
        token = ""
        if self._user is None:
            self._user = self._identity.user_of(frame.resume) if frame.resume else None
            self._user = self._user or self._identity.new_user()
            token = self._identity.token(self._user)
        try:
            self._engine.keys.keep(self._user, frame.env)
        except Refused as refusal:
            self._refuse(refusal)
        self._greeted = True
        self._put(native.encode_hello(self._user, self._engine.settings.limits, token))

    def _do(self, frame: ClientFrame, user: str) -> None:
        match frame:
            case OpenFrame():
                self._spawn(self._open(frame, user), frame.id)
            case AttachFrame():
                self._attach_soon(frame.session, frame.after, user)
            case DetachFrame():
                self._forget_attach(frame.session)
                self._detach(frame.session)
            case PingFrame():
                self._put(native.PONG)
            case KeysFrame():
                self._keep_keys(frame, user)
            case HelloFrame():
                self._refuse(Refused("invalid", "Hello was said already."))
            case _:
                self._submit(frame, user)

    def _keep_keys(self, frame: KeysFrame, user: str) -> None:
        try:
            self._engine.keys.keep(user, frame.env)
        except Refused as refusal:
            self._refuse(refusal)
        else:
            self._put(native.encode_keys(self._engine.keys.of(user)))

    def _submit(self, frame: CommandFrame, user: str) -> None:
        session = frame.session
        try:
            command = command_of(self._engine, frame)
        except Refused as refusal:
            self._refuse(refusal, session, frame.id)
            return
        self._engine.submit(session, user, command, partial(self._tell, session, command.id))

    def _tell(self, session: str, command: str, outcome: Accepted | Refused) -> None:
        if isinstance(outcome, Refused):
            self._refuse(outcome, session, command)
        else:
            self._put(native.encode_ack(session, command, outcome.seq, repeated=outcome.repeated))

    def _spawn(self, coroutine: Any, command: str) -> asyncio.Task[Any] | None:
        if len(self._tasks) >= _MAX_TASKS:
            coroutine.close()
            self._refuse(Refused("too_many", "Too much at once.", 1.0), "", command)
            return None
        task = self._loop.create_task(coroutine)
        hide(task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _attach_soon(self, session: str, after: int, user: str) -> None:
        """Attach when the store has said whose it is; what is read later overrules it."""
        self._forget_attach(session)
        task = self._spawn(self._attach(session, after, user), "")
        if task is not None:
            self._attaching[session] = task
            task.add_done_callback(lambda _: self._attached_now(session, task))

    def _attached_now(self, session: str, task: asyncio.Task[Any]) -> None:
        if self._attaching.get(session) is task:
            del self._attaching[session]

    def _forget_attach(self, session: str) -> None:
        task = self._attaching.pop(session, None)
        if task is not None:
            task.cancel()

    async def _open(self, frame: OpenFrame, user: str) -> None:
        command = frame.id
        try:
            accepted = await open_for(self._engine, frame, user)
        except Refused as refusal:
            self._refuse(refusal, "", command)
            return
        self._tell(accepted.session, command, accepted)
        await self._attach(accepted.session, 0, user)

    async def _attach(self, session: str, after: int, user: str) -> None:
        try:
            await self._engine.authorise(session, user)
            self._detach(session)
            if len(self._attached) >= _MAX_TASKS:
                raise Refused("too_many", f"A connection follows at most {_MAX_TASKS} sessions.")
            subscription = self._engine.subscribe(session, max(0, after), self)
        except Refused as refusal:
            self._refuse(refusal, session)
            return
        task = self._loop.create_task(self._catch_up(subscription))
        hide(task)
        self._attached[session] = (subscription, task)

    async def _catch_up(self, subscription: Subscription) -> None:
        try:
            await subscription.catch_up(self._pause)
        except Exception:
            # Whatever it was, the client has a gap.
            log.exception("the past of session %s could not be read", subscription.session[:8])
            self._detach(subscription.session)
            self._refuse(
                Refused("unavailable", "The session could not be read; attach again.", 1.0),
                subscription.session,
            )

    def _detach(self, session: str) -> None:
        attached = self._attached.pop(session, None)
        if attached is not None:
            subscription, task = attached
            if task is not asyncio.current_task():
                task.cancel()
            self._engine.unsubscribe(subscription)


@coroutine
def _go_on(sending: Generator[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            yield waited_for
        except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
            step = partial(sending.throw, error)
        else:
            step = partial(next, sending)
        try:
            waited_for = step()
        except StopIteration:
            return
