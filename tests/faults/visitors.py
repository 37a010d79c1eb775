"""The visitors of a storm: scripted by the dice of their own seed, each with bad habits of its own.

One event loop carries hundreds of them. All that a visitor knows it has from its account; all that
the checker will know it has from the visitor's history.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from faults.account import Account, Violation, decode, encode
from faults.history import History, Json
from faults.script import ASKS, STOPPED, Habits

AGAIN = frozenset({"busy", "unavailable", "overloaded", "too_many"})
SAYINGS_PER_SESSION = 25
THINKS = 0.3
"""The chance to think for a while before an answer."""
LOST = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, TimeoutError, EOFError)


class Starved(Exception):
    """Something that is owed did not come in time."""


class Knowledge(Account):
    """An account that knows at once how each round stands."""

    def __init__(self, name: str, history: History, resume: str = "") -> None:
        super().__init__(name, history=history, resume=resume)
        self.rounds: dict[tuple[str, int], int] = {}
        self.ends: dict[tuple[str, int], str] = {}
        self.open: dict[str, list[int]] = {}

    def _take_records(self, frame: Json) -> None:
        before = len(self.history.seen.get(frame["session"], ()))
        super()._take_records(frame)
        session = frame["session"]
        for seq, event in self.history.seen[session][before:]:
            self._learn(session, seq, event)

    def _learn(self, session: str, seq: int, event: Json) -> None:
        match event["type"]:
            case "RoundStarted":
                self.rounds[session, event.get("source", 0)] = event["round"]
            case "RoundFinished":
                self.ends[session, event["round"]] = event["status"]
                self.open.pop(session, None)
            case "QuestionAsked":
                self.open.setdefault(session, []).append(seq)
            case "QuestionAnswered" | "QuestionClosed":
                with contextlib.suppress(ValueError):
                    self.open.get(session, []).remove(event["question"])

    def outcome(self, session: str, source: int) -> str:
        """How the round that answers record `source` ended; "" if it has not."""
        number = self.rounds.get((session, source))
        return "" if number is None else self.ends.get((session, number), "")


class Tab:
    """One socket at a time, reopened until the visitor leaves."""

    def __init__(
        self,
        url: str,
        account: Knowledge,
        habits: Habits,
        dice: random.Random,
        patience: float,
    ) -> None:
        self.account = account
        self._patience = patience
        self._url = url
        self._habits = habits
        self._dice = dice
        self._socket: ClientConnection | None = None
        self._news = asyncio.Condition()
        self.failure: Exception | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._live()
            except LOST as error:
                self._socket = None
                code = error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else 0
                self.account.history.note("disconnected", code=code, why=type(error).__name__)
            except Violation as violation:
                self.failure = violation
                await self._tell()
                return
            await asyncio.sleep(self._dice.uniform(0.02, 0.2))

    async def _live(self) -> None:
        slow = self._habits.slow
        async with connect(
            self._url,
            compression=None,
            proxy=None,
            open_timeout=5,
            close_timeout=0.5,
            ping_interval=None,
            max_size=None,
            max_queue=1 if slow else 64,
        ) as socket:
            self._socket = socket
            await socket.send(encode(*self.account.greeting()))
            async for message in socket:
                if slow:
                    await asyncio.sleep(self._dice.uniform(0.0, 0.05))
                for frame in decode(message):
                    self.account.take(frame)
                await self._tell()
        self._socket = None

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def send(self, *frames: Json) -> None:
        """What a dead socket swallows is sent again after the return."""
        if self._socket is None or not self.account.greeted:
            return
        with contextlib.suppress(*LOST):
            for _ in range(2 if self._habits.doubles else 1):
                await self._socket.send(encode(*frames))

    def cut(self) -> None:
        """The cable is pulled."""
        if self._socket is not None:
            self.account.history.note("cut")
            self._socket.transport.abort()

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something that is owed. Raises `Starved`, or what the tab ended with."""

        def settled() -> Any:
            if self.failure is not None:
                raise self.failure
            return condition()

        try:
            async with asyncio.timeout(self._patience), self._news:
                await self._news.wait_for(settled)
        except TimeoutError:
            self.starve(what)

    def starve(self, what: str) -> NoReturn:
        self.account.history.note("starved", what=what)
        raise Starved(f"{self.account.name} waited in vain until {what}")


class Visitor:
    """One person: talks until it is told to leave, then finishes what it has begun.

    Faults last a few seconds: who waits longer than `patience` seconds has found a defect.
    """

    def __init__(
        self, url: str, habits: Habits, seed: int, folder: Path, patience: float = 60.0
    ) -> None:
        self._patience = patience
        self.habits = habits
        self.name = habits.name
        self._url = url
        self._dice = random.Random(f"{seed}/{habits.name}")
        self._folder = folder
        self._ids = iter(range(1, 1_000_000))
        self._said = 0
        self._patient: list[tuple[str, int]] = []
        self.tabs: list[Tab] = []
        self.arrived = asyncio.Event()
        self.delays: list[tuple[float, float]] = []

    async def visit(self, over: asyncio.Event) -> None:
        tasks: list[asyncio.Task[None]] = []
        try:
            for number in range(self.habits.tabs):
                tab = self._new_tab(number)
                tasks.append(asyncio.create_task(tab.run()))
                # The second tab is the same user.
                await tab.until(lambda: tab.account.resume, "the server greets")  # noqa: B023
            await self._talk(over)
            await self._finish()
            for tab in self.tabs:
                tab.account.history.note("ended")
        except (Starved, Violation):
            # It is in the history; the others go on.
            return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for tab in self.tabs:
                tab.account.history.close()

    def _new_tab(self, number: int) -> Tab:
        history = History.on_disk(self.name, self._folder / f"{self.name}.{number}.jsonl")
        resume = self.tabs[0].account.resume if self.tabs else ""
        account = Knowledge(self.name, history, resume)
        tab = Tab(self._url, account, self.habits, self._dice, self._patience)
        self.tabs.append(tab)
        return tab

    # -- the script -------------------------------------------------------------------------

    async def _talk(self, over: asyncio.Event) -> None:
        kinds, weights = zip(*self.habits.weights, strict=True)
        session = await self._open()
        self.arrived.set()
        said = 0
        while not over.is_set():
            if self._dice.random() < 0.04 and len(self._patient) < 2:
                patient = await self._open()
                seq = await self._say(patient, self._dice.choice(("patient", "edit")))
                self._patient.append((patient, seq))
            if said >= SAYINGS_PER_SESSION:
                session, said = await self._open(), 0
            kind = self._dice.choices(kinds, weights)[0]
            if self._dice.random() < 0.1:
                # Several at once: they wait for their turn.
                said_at_once = self._dice.choices(("echo", "draw", "sleep"), k=3)
                sources = await asyncio.gather(*(self._say(session, one) for one in said_at_once))
                for source in sources:
                    await self._outcome(session, source)
            await self._round(session, kind)
            said += 1
            if kind == "close":
                await self._knock(session)
                session, said = await self._open(), 0
            await asyncio.sleep(self._dice.expovariate(1 / self.habits.pause))

    async def _round(self, session: str, kind: str) -> None:
        began = asyncio.get_running_loop().time()
        source = await self._say(session, kind)
        if kind == "echo":
            self.delays.append((began, asyncio.get_running_loop().time() - began))
        if kind in STOPPED and self._dice.random() < 0.9:
            await self._stop(session, source)
        for _ in range(ASKS.get(kind, 0)):
            if not await self._answer(session, source):
                break
        await self._outcome(session, source)

    async def _finish(self) -> None:
        for session, source in self._patient:
            await self._answer(session, source)
            await self._outcome(session, source)
        for tab in self.tabs:
            account = tab.account
            await tab.until(lambda: not account.unanswered(), "all is answered")  # noqa: B023
            seqs: dict[str, int] = {}
            for (session, seq), *_ in account.history.acks.values():
                seqs[session] = max(seqs.get(session, 0), seq)
            await tab.until(
                lambda: all(account.history.places.get(s, 0) >= q for s, q in seqs.items()),  # noqa: B023
                "all that is acknowledged is shown",
            )

    # -- single acts ------------------------------------------------------------------------

    async def _command(self, kind: str, session: str = "", **fields: Any) -> str:
        """Send a command in every tab at once; its id."""
        command = f"{self.name}.{next(self._ids)}"
        for tab in self.tabs:
            frame = tab.account.compose(kind, session, as_=command, **fields)
            await tab.send(frame)
        if self._dice.random() < self.habits.cuts:
            self._dice.choice(self.tabs).cut()
        return command

    async def _settled(self, command: str) -> Json | None:
        """Wait for a command's outcome, sending it again while it is refused for the moment.

        None if every tab has its acknowledgement, else a refusal.
        """
        final: Json | None = None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        for tab in self.tabs:
            account = tab.account
            while True:
                if loop.time() > deadline:
                    tab.starve(f"{command} is answered but by refusals for the moment")
                await tab.until(lambda: account.is_answered(command), f"{command} is answered")  # noqa: B023
                refusal = account.history.refused.get(command)
                if refusal is None:
                    break
                if refusal["code"] not in AGAIN:
                    final = refusal
                    break
                await asyncio.sleep(min(0.5, refusal.get("retry_after", 0.1)))
                await tab.send(account.recompose(command))
        return final

    def _acknowledged(self, command: str) -> tuple[str, int]:
        history = next(t.account.history for t in self.tabs if command in t.account.history.acks)
        return history.acks[command][0]

    async def _open(self) -> str:
        command = await self._command("open")
        if await self._settled(command) is not None:
            raise Starved(f"{command} was refused for good")
        session, _ = self._acknowledged(command)
        for tab in self.tabs:
            account = tab.account
            await tab.until(lambda: session in account.lives, f"{session[:6]} is live")  # noqa: B023
        return session

    async def _say(self, session: str, kind: str) -> int:
        """Say something; the seq of the message, or 0 if it was refused for good."""
        self._said += 1
        command = await self._command("say", session, text=f"{self.name} {kind} {self._said}")
        refusal = await self._settled(command)
        return 0 if refusal is not None else self._acknowledged(command)[1]

    async def _outcome(self, session: str, source: int) -> None:
        if not source:
            return
        for tab in self.tabs:
            account = tab.account
            await tab.until(
                lambda: account.outcome(session, source),  # noqa: B023
                f"the round of record {source} of {session[:6]} ends",
            )

    async def _answer(self, session: str, source: int) -> bool:
        """Answer what the round asks; False if it ended without asking."""
        tab = self.tabs[0]
        account = tab.account
        if not source:
            return False
        await tab.until(
            lambda: account.open.get(session) or account.outcome(session, source),
            f"record {source} of {session[:6]} leads to a question",
        )
        if account.outcome(session, source):
            return False
        question = account.open[session][0]
        if self._dice.random() < THINKS:
            # Meanwhile the round leaves memory.
            await asyncio.sleep(self._dice.uniform(0.5, 1.0))
        text = f"{self.name}-{self._dice.randrange(1000)}"
        if self._dice.random() < 0.6:
            command = await self._command("answer", session, question=question, text=text)
        else:
            command = await self._command("say", session, text=text)
        await self._settled(command)
        await tab.until(
            lambda: (
                question not in account.open.get(session, ()) or account.outcome(session, source)
            ),
            f"question {question} of {session[:6]} is over",
        )
        return True

    async def _stop(self, session: str, source: int) -> None:
        tab = self.tabs[0]
        account = tab.account
        await tab.until(
            lambda: (session, source) in account.rounds, f"the round of record {source} begins"
        )
        await asyncio.sleep(self._dice.uniform(0.0, 0.3))
        command = await self._command("stop", session, round=account.rounds[session, source])
        await self._settled(command)

    async def _knock(self, session: str) -> None:
        """Say something to a session that is closed."""
        await self._say(session, "echo")
