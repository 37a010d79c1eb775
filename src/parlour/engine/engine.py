"""The engine: the live sessions of one app in one process.

It takes commands to the session they are for, wakes sessions that sleep, puts those to sleep that
have nothing to do, keeps time, and tells listeners what has become durable. It knows the `Agent`
protocol and no style, the `Store` protocol and no store, `Listener` and no wire.
"""

from __future__ import annotations

import asyncio
import heapq
import hmac
import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self

from msgspec import structs

from parlour.app import App
from parlour.engine.activation import Accepted, Activation, Done
from parlour.engine.clock import Clock, SystemClock
from parlour.engine.commit import Commit, Committer
from parlour.engine.fanout import Fanout, Listener, Reader, Subscription
from parlour.engine.journal import Journal
from parlour.engine.reading import fold_session, read_history, read_records
from parlour.engine.runner import Runner
from parlour.engine.scope import install_task_factory
from parlour.engine.threads import Bridge
from parlour.errors import Refused, RoundDropped, SessionOver, StoreError
from parlour.events import (
    Close,
    Command,
    Record,
    TextStreamed,
)
from parlour.session import Session
from parlour.settings import Settings
from parlour.state import (
    Rules,
    Said,
    State,
    Window,
    check_command_id,
    decode_snapshot,
    open_session,
)
from parlour.stores.files import Files
from parlour.stores.store import SessionInfo, Store

log = logging.getLogger("parlour.engine")

_HORIZON = 60.0
_TICK = 1.0
_AT_ONCE = 64


class Engine:
    """Runs an app's sessions on a store. Use it as `async with Engine(app, store) as engine:`.

    The store and the files are the caller's; the engine opens and closes the store. `secret` makes
    the ids of sessions unguessable and the same for a repeated `open`.
    """

    def __init__(
        self,
        app: App,
        store: Store,
        *,
        files: Files,
        secret: bytes,
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self.store = store
        self.files = files
        self.settings = settings or app.settings or Settings()
        self.clock: Clock = clock or SystemClock()
        limits = self.settings.limits
        self.rules = Rules(limits=limits, incoming=self.settings.incoming, causes=app.agent.causes)
        self.committer = Committer(store)
        self.tasks: set[asyncio.Task[Any]] = set()
        self._secret = secret
        self._window = Window(
            limits.history_messages, limits.history_bytes, limits.commands_remembered
        )
        self._live: dict[str, Activation] = {}
        self._waking: dict[str, list[tuple[str | None, Command, Done]]] = {}
        self._opening: dict[str, asyncio.Task[Accepted]] = {}
        self._fanout = Fanout(limits.listeners_per_session)
        self._timers: list[tuple[float, str, bool]] = []
        self._working: dict[str, Activation] = {}
        self._resting: dict[str, tuple[float, Activation]] = {}
        self._alarm = asyncio.Event()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._next_sweep = 0.0
        self._next_expiry = 0.0
        self._stopping = False

    # -- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.bridge = Bridge(self.loop, self.settings.limits.threads)
        install_task_factory(self.loop)
        await self.store.open()
        self.committer.start()
        await self.tick()
        self._keeper = asyncio.create_task(self._keep(), name="parlour-keeper")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End in order: nothing durable is lost, and rounds under way go on at the next start."""
        if self._stopping:
            return
        self._stopping = True
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        for activation in tuple(self._live.values()):
            activation.runner.unwind(RoundDropped("the engine stops"))
        try:
            async with asyncio.timeout(self.settings.limits.stop_seconds):
                await self.committer.stop()
        except TimeoutError:
            log.warning("the store did not take everything in time; what it has not is not told")
        for activation in tuple(self._live.values()):
            activation.drop("the engine stops")
        pending = [task for task in self.tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=self.settings.limits.stop_seconds)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=self.settings.limits.stop_seconds)
        await self.bridge.close(self.settings.limits.stop_seconds)
        await self.store.close()
        self.files.close()

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def live(self) -> int:
        """How many sessions are in memory."""
        return len(self._live)

    def find_live(self, session: str) -> Activation | None:
        return self._live.get(session)

    # -- commands ---------------------------------------------------------------------------

    async def open(self, user: str, command: str) -> Accepted:
        """A new session of `user`; the same `command` id again gives the same session.

        Raises `Refused`.
        """
        check_command_id(command)
        self._refuse_if_busy()
        session = self.session_id(user, command)
        opening = self._opening.get(session)
        if opening is None:
            opening = self._opening[session] = self.loop.create_task(
                self._open(session, user, command)
            )
            opening.add_done_callback(lambda _: self._opening.pop(session, None))
            return await asyncio.shield(opening)
        return structs.replace(await asyncio.shield(opening), repeated=True)

    async def _open(self, session: str, user: str, command: str) -> Accepted:
        future: asyncio.Future[Accepted] = self.loop.create_future()
        if session not in self._live:
            info: SessionInfo | None = await self._guard(self.store.find(session))
            if info is None:
                await self._create(session, user, command, _resolve(future))
                return await future
            if info.head:
                return Accepted(session, 1, repeated=True)
            # Its worker died between making the session and its first records.
            self._waking.setdefault(session, [])
            await self._wake(session, resume=False, opened_by=command)
        activation = self._live.get(session)
        if activation is None:
            raise Refused("unavailable", "The session could not be opened; try again.", 1.0)
        activation.when_durable(1, _resolve(future), command, repeated=True)
        return await future

    async def _create(self, session: str, user: str, command: str, done: Done) -> None:
        if await self._guard(self.store.count(user)) >= self.settings.limits.sessions_per_user:
            raise Refused("too_many", "You have too many open conversations; close some.")
        claim = await self._guard(self.store.create(session, user, self.clock.time()))
        if claim is None:
            raise Refused("unavailable", "The session could not be opened; try again.", 1.0)
        activation = Activation(self, session, claim.epoch, State(window=self._window), 0)
        self._live[session] = activation
        activation.begin(open_session(user, command, self.rules.causes), command, done)

    def session_id(self, user: str, command: str) -> str:
        """The id of the session that `user` opens by `command`: unguessable, always the same."""
        message = f"{len(user)}:{user}:{command}".encode()
        return hmac.digest(self._secret, message, "sha256")[:16].hex()

    def submit(self, session: str, user: str | None, command: Command, done: Done) -> None:
        """Take a command to its session; `done` is told when it is durable, or why it is not.

        `user` None is the application itself, who may do everything.
        """
        activation = self._live.get(session)
        if activation is not None:
            activation.submit(user, command, done)
            return
        waiting = self._waking.get(session)
        if waiting is not None:
            if len(waiting) < self.settings.limits.queued_messages:
                waiting.append((user, command, done))
            else:
                done(Refused("busy", "Too much is waiting in this session already.", 2.0))
            return
        refusal = self.overload()
        if refusal is not None:
            done(refusal)
            return
        self._waking[session] = [(user, command, done)]
        self.spawn(self._wake(session, resume=False))

    async def send(self, session: str, user: str | None, command: Command) -> Accepted:
        """The same, awaited. Raises `Refused`."""
        future: asyncio.Future[Accepted] = self.loop.create_future()
        self.submit(session, user, command, _resolve(future))
        return await future

    def overload(self) -> Refused | None:
        """Why no command is taken now, if so."""
        limits = self.settings.limits
        if self._stopping:
            return Refused("unavailable", "The server restarts; connect again.", 1.0)
        if (
            self.committer.uncommitted > limits.uncommitted_bytes
            or len(self._live) + len(self._waking) > limits.live_sessions
        ):
            return Refused("overloaded", "The server has too much to do; try again.", 2.0)
        return None

    def _refuse_if_busy(self) -> None:
        refusal = self.overload()
        if refusal is not None:
            raise refusal

    async def _guard(self, call: Any) -> Any:
        try:
            return await call
        except StoreError as error:
            log.error("the store failed: %s", error)
            raise Refused("unavailable", "The store cannot be reached; try again.", 1.0) from error

    # -- reading ----------------------------------------------------------------------------

    async def authorise(self, session: str, user: str | None) -> None:
        """Raises `Refused` (unknown_session) unless the session is there and is `user`'s."""
        activation = self._live.get(session)
        owner = activation.state.user if activation is not None else ""
        if not owner:
            info: SessionInfo | None = await self._guard(self.store.find(session))
            owner = "" if info is None else info.user
        if not owner or (user is not None and user != owner):
            raise Refused("unknown_session", "There is no such session.")

    def subscribe(self, session: str, after: int, listener: Listener) -> Subscription:
        """A place in the log for a listener; the caller awaits `catch_up`, and unsubscribes.

        The caller has authorised it. Raises `Refused` past the limit of listeners.
        """
        subscription = Subscription(self, session, after, listener)
        self._fanout.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._fanout.remove(subscription)

    async def state_of(self, session: str) -> State:
        """The state of a session, live or as its log tells it; it is not woken.

        Raises `Refused` if there is no such session.
        """
        activation = self._live.get(session)
        if activation is not None:
            return activation.state
        claimless = State(window=self._window)
        state = await fold_session(self.store, session, claimless)
        if not state.seq:
            raise Refused("unknown_session", "There is no such session.")
        return state

    def records(self, session: str, after: int = 0) -> AsyncGenerator[Record]:
        """The durable records after `after`, in order, until the newest."""
        return read_records(self.store, session, after)

    async def events(
        self, session: str, after: int = 0, *, user: str | None = None
    ) -> AsyncGenerator[Record | TextStreamed]:
        """Every record after `after`, then what happens live, deltas too: no gap, no repeat.

        Ends when the session is closed. Raises `Refused`, also when the reader is too slow.
        """
        await self.authorise(session, user)
        queue = Reader(self.settings.limits.listener_bytes)
        subscription = self.subscribe(session, after, queue)
        catching = asyncio.create_task(subscription.catch_up(queue.pause))
        catching.add_done_callback(queue.end_on_failure)
        try:
            async for item in queue:
                yield item
        finally:
            catching.cancel()
            await asyncio.gather(catching, return_exceptions=True)
            self.unsubscribe(subscription)

    async def read_history(self, session: str, before: int | None, limit: int) -> list[Said]:
        """Up to `limit` messages before seq `before` (None: the newest), oldest first."""
        return await read_history(self.store, session, before, limit)

    # -- waking and resting -----------------------------------------------------------------

    async def _wake(self, session: str, *, resume: bool, opened_by: str = "") -> None:
        """Claim a session and fold its log, then do what has gathered for it meanwhile."""
        try:
            activation = await self._activate(session, opened_by)
        except StoreError as error:
            log.error("session %s could not be woken: %s", session[:8], error)
            self._tell_all(
                session, Refused("unavailable", "The session could not be read; try again.", 1.0)
            )
            return
        except Exception:
            log.exception("session %s cannot be read", session[:8])
            self._tell_all(session, Refused("unavailable", "The session cannot be read.", 10.0))
            return
        waiting = self._waking.pop(session, [])
        if activation is None:
            for _, _, done in waiting:
                done(Refused("unknown_session", "There is no such session."))
            return
        self._live[session] = activation
        activation.wake(resume=resume or activation.owed)
        for user, command, done in waiting:
            self.submit(session, user, command, done)

    async def _wake_in_turn(self, session: str, *, resume: bool) -> None:
        """The same when time asks for it, which may be for many sessions at once."""
        async with self._turns:
            await self._wake(session, resume=resume)

    def _tell_all(self, session: str, refusal: Refused) -> None:
        for _, _, done in self._waking.pop(session, []):
            done(refusal)

    async def _activate(self, session: str, opened_by: str) -> Activation | None:
        claim = await self.store.claim(session)
        if claim is None:
            return None
        state, snapshot_seq = State(window=self._window), 0
        if claim.snapshot is not None:
            kept = decode_snapshot(claim.snapshot.data, self._window)
            if kept is not None:
                state, snapshot_seq = kept, claim.snapshot.seq
        state = await fold_session(self.store, session, state)
        if not state.seq:
            # The worker died between making the session and its first records.
            activation = Activation(self, session, claim.epoch, state, 0)
            activation.commit(open_session(claim.user, opened_by, self.rules.causes), opened_by)
            return activation
        activation = Activation(self, session, claim.epoch, state, snapshot_seq)
        activation.owed = claim.due == 0.0
        await self._run_wakers(activation)
        return activation

    async def _run_wakers(self, activation: Activation) -> None:
        if not self.app.wakers:
            return
        journal = Journal(activation, None)
        journal.kill(SessionOver("on_wake rebuilds session.local; it can read, but not record"))
        session = Session(journal)
        for waker in self.app.wakers:
            try:
                found = waker(session)
                if inspect.isawaitable(found):
                    await found
            except Exception:
                log.exception("on_wake failed in session %s", activation.id[:8])

    def forget(self, activation: Activation) -> None:
        """The activation has left memory."""
        if self._live.get(activation.id) is activation:
            del self._live[activation.id]
            self._resting.pop(activation.id, None)
            self.stands(activation)
        if not self._stopping:
            self.spawn(self._let_go(activation))

    async def _let_go(self, activation: Activation) -> None:
        keep = activation.snapshot_to_keep()
        try:
            if keep is not None:
                await self.store.append([keep])
            await self.store.release(activation.id, activation.epoch)
        except StoreError as error:
            log.warning("a session could not be released: %s", error)

    def look_again(self, session: str) -> None:
        """Something of this session was left undone; wake it in a moment."""
        if not self._stopping:
            self.timer(session, self.clock.time() + _TICK, resume=True)

    # -- telling ----------------------------------------------------------------------------

    def publish(self, commit: Commit) -> None:
        for subscription in tuple(self._fanout.of(commit.session)):
            try:
                subscription.commit(commit)
            except Exception as failure:  # noqa: BLE001 - a listener harms nobody but itself
                self._cut(subscription, failure)

    def show(self, session: str, delta: TextStreamed) -> None:
        for subscription in tuple(self._fanout.of(session)):
            try:
                subscription.delta(delta)
            except Exception as failure:  # noqa: BLE001 - a listener harms nobody but itself
                self._cut(subscription, failure)

    def _cut(self, subscription: Subscription, failure: Exception) -> None:
        session = subscription.session[:8]
        log.error("a listener of session %s failed; it is cut off", session, exc_info=failure)
        self._fanout.remove(subscription)

    def streams_so_far(self, session: str) -> list[TextStreamed]:
        activation = self._live.get(session)
        return [] if activation is None else activation.runner.streams_so_far()

    # -- time -------------------------------------------------------------------------------

    def timer(self, session: str, due: float, *, resume: bool = False) -> None:
        """Wake the session at `due` (Unix seconds); `resume`: its round was at work."""
        if due <= self.clock.time() + 2 * _HORIZON:
            heapq.heappush(self._timers, (due, session, resume))
            if self._timers[0][1] == session:
                self._alarm.set()

    def works(self, activation: Activation) -> None:
        """A handler of this session runs; it is looked at now and then until `stands`."""
        self._working[activation.id] = activation

    def stands(self, activation: Activation) -> None:
        """No handler of this session runs any more."""
        if self._working.get(activation.id) is activation:
            del self._working[activation.id]

    def watch_rest(self, activation: Activation) -> None:
        """Look whether this session may leave memory, once that may be."""
        if not activation.in_rest_queue:
            activation.in_rest_queue = True
            when = self.clock.monotonic() + self._patience(activation)
            self._resting[activation.id] = (when, activation)

    def abandon_later(self, runner: Runner, task: asyncio.Task[None]) -> None:
        """If a stopped handler does not end in time, the session goes on without it."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        seconds = self.settings.limits.stop_seconds
        timer = self.loop.call_later(seconds, runner.abandon, task)
        task.add_done_callback(lambda _: timer.cancel())

    def spawn(self, coroutine: Any) -> None:
        """A task of the engine, that ends before it does."""
        task = asyncio.Task(coroutine, loop=self.loop)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _keep(self) -> None:
        while True:
            try:
                await self.tick()
            except Exception:
                log.exception("the engine's keeper failed; it goes on")
            delay = _TICK
            if self._timers:
                delay = min(delay, max(0.001, self._timers[0][0] - self.clock.time()))
            self._alarm.clear()
            await self.clock.wait(self._alarm, delay)

    async def tick(self) -> None:
        """Do what time has made due: timers, overrun rounds, rest, expiry."""
        await self._sweep()
        self._fire_timers()
        now = self.clock.monotonic()
        if self._working:
            for activation in tuple(self._working.values()):
                activation.runner.check_time(now)
        self._rest(now)
        await self._expire()

    def _fire_timers(self) -> None:
        now = self.clock.time()
        while self._timers and self._timers[0][0] <= now:
            _, session, resume = heapq.heappop(self._timers)
            activation = self._live.get(session)
            if activation is not None:
                activation.advance()
            elif session not in self._waking:
                self._waking[session] = []
                self.spawn(self._wake_in_turn(session, resume=resume))

    async def _sweep(self) -> None:
        """Learn from the store which sessions have something to do soon."""
        now = self.clock.time()
        if self.clock.monotonic() < self._next_sweep:
            return
        self._next_sweep = self.clock.monotonic() + _HORIZON / 2
        due = await self.store.due(now + _HORIZON, 10_000)
        known = {session for _, session, _ in self._timers}
        for session, when in due:
            if session not in known and (when or session not in self._live):
                heapq.heappush(self._timers, (when, session, when == 0.0))

    def _rest(self, now: float) -> None:
        while self._resting:
            session, (when, activation) = next(iter(self._resting.items()))
            if when > now:
                return
            del self._resting[session]
            activation.in_rest_queue = False
            if activation.gone:
                continue
            patient_until = activation.runner.active + self._patience(activation)
            if patient_until > now or not activation.try_rest():
                activation.in_rest_queue = True
                again = max(patient_until, now + _TICK)
                self._resting[session] = (again, activation)

    def _patience(self, activation: Activation) -> float:
        running = activation.state.round is not None
        return self.settings.hibernate_after if running else self.settings.idle_after

    async def _expire(self) -> None:
        after = self.settings.expire_after
        if after is None or self.clock.monotonic() < self._next_expiry:
            return
        self._next_expiry = self.clock.monotonic() + min(after / 4, 60.0)
        for session in await self.store.idle(self.clock.time() - after, 1000):
            self.submit(session, None, Close(id="expiry", reason="expired"), _ignore)


def _ignore(_: object) -> None:
    """Nobody waits for this outcome."""


def _resolve(future: asyncio.Future[Accepted]) -> Callable[[Accepted | Refused], None]:
    def done(outcome: Accepted | Refused) -> None:
        if future.done():
            return
        if isinstance(outcome, Refused):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return done
