"""The engine: the live sessions of one app in one process.

It takes commands to the session they are for, wakes sessions that sleep, puts those to sleep that
have nothing to do, keeps time, and tells listeners what has become durable. It knows the `Agent`
protocol and no style, the `Store` protocol and no store, `Listener` and no wire.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Self
from weakref import WeakValueDictionary

from msgspec import Raw, structs

from parlour.app import App
from parlour.engine.activation import Activation
from parlour.engine.beginnings import Beginnings
from parlour.engine.broadcast import broadcast, broadcast_anywhere
from parlour.engine.bus import Bus
from parlour.engine.catalogue import Catalogue
from parlour.engine.cells import Cells
from parlour.engine.clock import Clock, SystemClock
from parlour.engine.commit import Commit, Committer
from parlour.engine.ends import Ends
from parlour.engine.fanout import Fanout, Listener, Subscription
from parlour.engine.fork import fork_here, state_at
from parlour.engine.keeper import TICK, Keeper
from parlour.engine.keys import Keys
from parlour.engine.leases import StoreClock
from parlour.engine.outcome import Accepted, Done, resolve
from parlour.engine.reader import read_events
from parlour.engine.reading import read_history, read_records
from parlour.engine.runner import Runner
from parlour.engine.scope import hide
from parlour.engine.starter import Starter
from parlour.engine.tasks import install_task_factory
from parlour.engine.threads import Bridge
from parlour.engine.wakers import run_wakers
from parlour.engine.waking import activate, let_go, tell_due
from parlour.engine.watchdog import Watchdog
from parlour.engine.workers import Workers
from parlour.errors import Refused, RoundDropped, StoreError
from parlour.events import Answer, Close, Command, Delta, Record, Stop
from parlour.settings import Settings
from parlour.state import (
    Phase,
    Said,
    State,
    Window,
    check_command_id,
)
from parlour.stores.files import Files
from parlour.stores.shared import Elsewhere, SharedStore
from parlour.stores.store import SessionInfo, Store

log = logging.getLogger("parlour.engine")

Waiting = tuple[str | None, Command, Done]
_NOT_TAKEN = "The session could not take that; try again in a moment."


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
        bus: Bus | None = None,
    ) -> None:
        self.app = app
        self.store = store
        self.files = files
        self.settings = settings or app.own_settings or Settings()
        self.clock: Clock = clock or SystemClock()
        self.workers: Workers | None = None
        if isinstance(store, SharedStore):
            self.clock = shared = StoreClock(self.clock)
            self.workers = Workers(self, store, shared, key=secret, bus=bus)
        self.time, self.monotonic = self.clock.time, self.clock.monotonic
        self.stopping = False
        self._ending: asyncio.Task[None] | None = None
        self.keeps = True
        """Whether the store keeps anything: where rounds are only played it never answers."""
        limits = self.settings.limits
        self.keys = Keys(app.user_env)
        self.beginnings = Beginnings(app, self.settings)
        self.committer = Committer(store)
        self.most_uncommitted = limits.uncommitted_bytes
        self.tasks: set[asyncio.Task[Any]] = set()
        self._secret = secret
        self.window = Window(
            limits.history_messages, limits.history_bytes, limits.commands_remembered
        )
        self._live: dict[str, Activation] = {}
        self._waking: dict[str, list[Waiting]] = {}
        self._opening: dict[str, asyncio.Task[Accepted]] = {}
        self._fanout = Fanout(limits.listeners_per_session)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.ends = Ends(self)
        self.catalogue = Catalogue(self)
        self.cells = Cells(self)
        self.keeper = Keeper(self)

    # -- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.bridge = Bridge(self.loop, self.settings.limits)
        self.watchdog = Watchdog(
            self.loop,
            self.settings.blocked,
            busy=lambda: bool(self._waking or self.starter.begins or self.keeper.watches),
            beside=self.bridge.places,
        )
        self.starter = Starter(self.loop, self.watchdog.rouse)
        install_task_factory(self.loop)
        await self.store.open()
        try:
            self.committer.start()
            if self.workers is not None:
                await self.workers.start()
            await self.ends.finish()
            await self.keeper.tick()
        except BaseException:
            await self.committer.stop()
            await self.store.close()
            raise
        self._keeping = asyncio.create_task(self.keeper.run(), name="parlour-keeper")
        hide(self._keeping)
        self._detach = self.app.attach(partial(broadcast_anywhere, self))
        if self.settings.kernels.warm:
            self.spawn(self.cells.warm_up())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End in order: nothing durable is lost, and rounds under way go on at the next start.

        Called again, it returns when the first one is done.
        """
        if self._ending is None:
            self.stopping = True
            # Whoever asked for it may be cancelled; that does not leave the store open.
            self._ending = asyncio.Task(self._stop(), loop=self.loop, context=Context())
            hide(self._ending)
        await asyncio.shield(self._ending)

    async def _stop(self) -> None:
        self._detach()
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        for activation in self.all_live():
            activation.runner.leave()
            activation.runner.unwind(RoundDropped("the engine stops"))
        try:
            async with asyncio.timeout(self.settings.limits.stop_seconds):
                await self.committer.stop()
        except TimeoutError:
            log.warning("the store did not take everything in time; what it has not is not told")
        for activation in self.all_live():
            activation.drop("the engine stops")
        if self.workers is not None:
            await self.workers.leave()
        self._fanout.close(Refused("unavailable", "The server restarts; attach again.", 1.0))
        pending = [task for task in self.tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=self.settings.limits.stop_seconds)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=self.settings.limits.stop_seconds)
        await self.cells.close()
        await self.bridge.close(self.settings.limits.stop_seconds)
        self.watchdog.close()
        await self.store.close()
        self.files.close()

    @property
    def live(self) -> int:
        """How many sessions are in memory."""
        return len(self._live)

    @property
    def ready(self) -> bool:
        """Whether it takes commands, as far as it knows."""
        return not self.stopping and (self.workers is None or self.workers.heard)

    def find_live(self, session: str) -> Activation | None:
        return self._live.get(session)

    def is_waking(self, session: str) -> bool:
        return session in self._waking

    def all_live(self) -> tuple[Activation, ...]:
        return tuple(self._live.values())

    # -- commands ---------------------------------------------------------------------------

    async def open(
        self, user: str, command: str, *, profile: str = "", settings: Raw | None = None
    ) -> Accepted:
        """A new session of `user`; the same `command` id again gives the same session.

        `profile` is the app's that answers, "" the usual one; `settings` are what its panel begins
        with. Raises `Refused`.
        """
        check_command_id(command)
        try:
            session = self.session_id(user, command)
        except UnicodeEncodeError:
            raise Refused("invalid", "A user's name is valid Unicode, without halves.") from None
        profile = self.app.profile_named(profile)
        opening = self._opening.get(session)
        if opening is None:
            refusal = self.crowded()
            if refusal is not None:
                raise refusal
            # Others may wait for it as well, so it is no task of the handler that opens.
            opening = self._opening[session] = asyncio.Task(
                self._open(session, user, command), loop=self.loop, context=Context()
            )
            self.beginnings.expect(session, profile, settings)
            opening.add_done_callback(lambda _: self._opened(session))
            self.look_after(opening)
            return await asyncio.shield(opening)
        return structs.replace(await asyncio.shield(opening), repeated=True)

    def _opened(self, session: str) -> None:
        self._opening.pop(session, None)
        self.beginnings.forget(session)

    async def _open(self, session: str, user: str, command: str) -> Accepted:
        future: asyncio.Future[Accepted] = self.loop.create_future()
        if session not in self._live:
            info: SessionInfo | None = await self._guard(self.store.find(session))
            if info is None and await self._create(session, user, command, resolve(future)):
                return await future
            if info is not None and info.head:
                return Accepted(session, 1, repeated=True)
            # Its worker died between making the session and its first records, or is at it now.
            await self.wake(session, opened_by=command)
        activation = self._live.get(session)
        if activation is None and self.workers is not None:
            found: Accepted = await self._guard(self.workers.opened_elsewhere(session, command))
            return found
        if activation is None:
            raise Refused("unavailable", "The session could not be opened; try again.", 1.0)
        activation.when_durable(1, resolve(future), command, repeated=True)
        return await future

    async def _create(self, session: str, user: str, command: str, done: Done) -> bool:
        # One at a time for each user, or many at once would not count each other.
        async with self.lock(user):
            if await self._guard(self.store.count(user)) >= self.settings.limits.sessions_per_user:
                raise Refused("too_many", "You have too many open conversations; close some.")
            claim = await self._guard(self.store.create(session, user, self.time()))
        if claim is None:
            return False
        state = State(window=self.window, user=user)
        activation = Activation(self, session, claim.epoch, state, 0)
        await run_wakers(self, activation)
        if self.stopping:
            # Whoever asks for it again finds a session without records, and begins it.
            raise Refused("unavailable", "The server restarts; connect again.", 1.0)
        self._live[session] = activation
        activation.begin(self.beginnings.events(session, user, command), command, done)
        return True

    def lock(self, name: str) -> asyncio.Lock:
        """What is done under it is done by one at a time in this engine."""
        return self._locks.setdefault(name, asyncio.Lock())

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
            self._hand_over(activation, user, command, done)
            return
        waiting = self._waking.get(session)
        if waiting is not None:
            if len(waiting) < self.settings.limits.queued_messages:
                waiting.append((user, command, done))
            else:
                done(Refused("busy", "Too much is waiting in this session already.", 2.0))
            return
        refusal = self.crowded()
        if refusal is not None:
            done(refusal)
            return
        if self.workers is not None and self.workers.forward(session, user, command, done):
            return
        self._waking[session] = [(user, command, done)]
        self.spawn(self._wake(session))

    def _hand_over(
        self, activation: Activation, user: str | None, command: Command, done: Done
    ) -> None:
        """Whatever goes wrong, whoever waits for the outcome is told one."""
        before = activation.state.seq
        try:
            activation.submit(user, command, done)
        except Exception:
            log.exception("session %s could not take a command", activation.id[:8])
            if activation.state.seq == before:
                done(Refused("unavailable", _NOT_TAKEN, 10.0))
            else:
                # What it recorded goes with it, and all who wait for that are told so.
                activation.drop("the session could not follow what was recorded", again=True)

    async def send(self, session: str, user: str | None, command: Command) -> Accepted:
        """The same, awaited. Raises `Refused`."""
        future: asyncio.Future[Accepted] = self.loop.create_future()
        self.submit(session, user, command, resolve(future))
        return await future

    def overload(self, command: Command | None = None) -> Refused | None:
        """Why a live session takes no command now, if so; what ends or answers it takes longest."""
        if self.stopping:
            return Refused("unavailable", "The server restarts; connect again.", 1.0)
        if (
            self.committer.uncommitted > self.most_uncommitted or self.bridge.full
        ) and not isinstance(command, Answer | Stop | Close):
            return Refused("overloaded", "The server has too much to do; try again.", 2.0)
        return None

    def crowded(self) -> Refused | None:
        """Why no other session comes into memory now, if so."""
        coming = len(self._waking) + len(self._opening)
        if len(self._live) + coming >= self.settings.limits.live_sessions:
            return Refused("overloaded", "The server has too much to do; try again.", 2.0)
        return self.overload()

    async def _guard(self, call: Any) -> Any:
        try:
            return await call
        except StoreError as error:
            log.error("the store failed: %s", error)
            raise Refused("unavailable", "The store cannot be reached; try again.", 1.0) from error

    async def broadcast(self, name: str, data: Raw, command: str) -> int:
        """Send a signal to every open session, and say how many took it.

        The same `command` id again reaches those that have not had it. Raises `Refused`.
        """
        return await broadcast(self, name, data, command)

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
        if self.workers is not None:
            self.workers.listens(session)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._fanout.remove(subscription)

    def listeners(self, session: str) -> Sequence[Subscription]:
        return self._fanout.of(session)

    def reached(self, session: str, seq: int) -> None:
        """A session's log goes until `seq`, which not every listener may have been told."""
        self._fanout.reached(session, seq)

    def end_listeners(self, session: str, refusal: Refused) -> None:
        """Nobody is told any more of this session, as when it is erased; `refusal` says why."""
        self._fanout.end(session, refusal)

    async def state_of(self, session: str, *, at: int | None = None) -> State:
        """The state of a session, live or as its log tells it, or as it was after record `at`.

        It is not woken. Raises `Refused` if there is no such session or record.
        """
        activation = self._live.get(session)
        if activation is not None and at is None:
            return activation.state
        return await state_at(self.store, session, at, self.window)

    def records(self, session: str, after: int = 0) -> AsyncGenerator[Record]:
        """The durable records after `after`, in order, until the newest."""
        return read_records(self.store, session, after)

    def events(
        self, session: str, after: int = 0, *, user: str | None = None
    ) -> AsyncGenerator[Record | Delta]:
        """Every record after `after`, then what happens live, deltas too: no gap, no repeat.

        Ends when the session is closed. Raises `Refused`, also when the reader is too slow, when
        the session is erased and when the engine stops.
        """
        return read_events(self, session, after, user)

    async def read_history(self, session: str, before: int | None, limit: int) -> list[Said]:
        """Up to `limit` messages before seq `before` (None: the newest), oldest first."""
        return await read_history(self.store, session, before, limit)

    # -- forks and ends ---------------------------------------------------------------------

    async def fork(
        self, session: str, *, at: int | None = None, user: str | None = None, again: bool = False
    ) -> Accepted:
        """A new session of the same user, with a copy of the records up to `at` (None: all).

        `user` is who asks, None the application itself. A round that ran there is stopped in the
        copy, or with `again` runs anew from its start. Raises `Refused`.
        """
        return await fork_here(self, session, at=at, user=user, again=again)

    async def erase(self, session: str) -> bool:
        """End a session and leave nothing of it; False if there is none. Raises `StoreError`."""
        return await self.ends.erase(session)

    async def erase_user(self, user: str) -> int:
        """The same for all sessions of a user and the user's variables; how many sessions."""
        return await self.ends.erase_user(user)

    def seclude(self, session: str) -> bool:
        """Have the session's commands wait until `tell_all`; False while somebody wakes it."""
        if session in self._waking or session in self._opening:
            return False
        self._waking[session] = []
        return True

    def tell_all(self, session: str, refusal: Refused) -> None:
        """Refuse what has gathered for a session that is not in memory."""
        for _, _, done in self._waking.pop(session, []):
            done(refusal)

    # -- waking and resting -----------------------------------------------------------------

    async def wake(self, session: str, *, opened_by: str = "") -> None:
        """Bring a session into memory, if it is not there or on its way."""
        if session not in self._live and session not in self._waking:
            self._waking[session] = []
            await self._wake(session, opened_by=opened_by)

    async def _wake(self, session: str, *, opened_by: str = "") -> None:
        """Claim a session and fold its log, then do what has gathered for it meanwhile."""
        self.watchdog.rouse()
        try:
            activation = await activate(self, session, opened_by)
        except StoreError as error:
            log.error("session %s could not be woken: %s", session[:8], error)
            self.tell_all(
                session, Refused("unavailable", "The session could not be read; try again.", 1.0)
            )
            return
        except Exception:
            log.exception("session %s cannot be read", session[:8])
            self.tell_all(session, Refused("unavailable", "The session cannot be read.", 10.0))
            return
        except asyncio.CancelledError:
            self.tell_all(
                session, Refused("unavailable", "The server restarts; connect again.", 1.0)
            )
            raise
        waiting = self._waking.pop(session, [])
        if isinstance(activation, Elsewhere):
            assert self.workers is not None
            self.workers.pass_on(session, activation.worker, waiting)
            return
        if activation is None:
            unknown = Refused("unknown_session", "There is no such session.")
            self.end_listeners(session, unknown)
            for _, _, done in waiting:
                done(unknown)
            return
        self._take_in(activation, waiting)

    def _take_in(self, activation: Activation, waiting: list[Waiting]) -> None:
        """A session has come into memory; do what has gathered for it."""
        session = activation.id
        self._live[session] = activation
        self._fanout.reached(session, activation.durable)
        try:
            activation.wake()
        except Exception:
            log.exception("session %s could not go on", session[:8])
            activation.drop("the session could not go on")
            for _, _, done in waiting:
                done(Refused("unavailable", _NOT_TAKEN, 10.0))
            return
        for user, command, done in waiting:
            self.submit(session, user, command, done)
        if self.workers is not None:
            self.workers.lives_here(activation)

    def forget(self, activation: Activation) -> None:
        """The activation has left memory."""
        if self._live.get(activation.id) is activation:
            del self._live[activation.id]
            self.keeper.stands(activation)
            if self.workers is not None:
                self.workers.has_left(activation.id)
        if not self.stopping:
            self.spawn(let_go(self, activation))
            if activation.state.phase is Phase.CLOSED:
                self.spawn(self.cells.release(activation.id))

    async def tell_due(self, activation: Activation) -> None:
        """Tell the store when the session has something to do, where no record says it."""
        await tell_due(self, activation)

    def look_again(self, session: str) -> None:
        """Something of this session was left undone; wake it in a moment."""
        if not self.stopping:
            self.keeper.wake_at(session, self.time() + TICK)

    # -- telling ----------------------------------------------------------------------------

    def publish(self, commit: Commit) -> None:
        if self.workers is not None:
            self.workers.told(commit)
        for subscription in self._fanout.of(commit.session):
            try:
                subscription.commit(commit)
            except Exception as failure:  # noqa: BLE001 - a listener harms nobody but itself
                self._cut(subscription, failure)

    def show(self, session: str, delta: Delta) -> None:
        if self.workers is not None:
            self.workers.shown(session, delta)
        for subscription in self._fanout.of(session):
            try:
                subscription.delta(delta)
            except Exception as failure:  # noqa: BLE001 - a listener harms nobody but itself
                self._cut(subscription, failure)

    def _cut(self, subscription: Subscription, failure: Exception) -> None:
        session = subscription.session[:8]
        log.error("a listener of session %s failed; it is cut off", session, exc_info=failure)
        self._fanout.remove(subscription)

    def so_far(self, session: str) -> list[Delta]:
        """What passes by just now in a session, for a listener that has just come."""
        activation = self._live.get(session)
        if activation is not None:
            return activation.runner.so_far()
        return [] if self.workers is None else self.workers.so_far(session)

    # -- tasks ------------------------------------------------------------------------------

    def abandon_later(self, runner: Runner, task: asyncio.Task[None]) -> None:
        """If a stopped handler does not end in time, the session goes on without it."""
        self.look_after(task)
        seconds = self.settings.limits.stop_seconds
        timer = self.loop.call_later(seconds, runner.abandon, task)
        task.add_done_callback(lambda _: timer.cancel())

    def spawn(self, coroutine: Any) -> None:
        """A task of the engine, that ends before it does."""
        # In no handler's context: what one sets off is neither its task nor reads its variables.
        self.look_after(asyncio.Task(coroutine, loop=self.loop, context=Context()))

    def look_after(self, task: asyncio.Task[Any]) -> None:
        """Keep a task until it is done; `stop` ends it."""
        hide(task)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
