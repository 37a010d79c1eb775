"""One session, followed and spoken to: records become lines on a screen, lines become commands.

Stands between the engine, of which it is an ordinary client, and a screen, of which it knows only
the seam. Keeps nothing: whoever starts it again with the same session sees the same conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from msgspec import Raw

from parlour.app import App
from parlour.engine import Accepted, Engine
from parlour.engine.local import local
from parlour.errors import Refused, StoreError
from parlour.events import (
    Answer,
    AnswerRejected,
    Button,
    Command,
    ComponentShown,
    Delta,
    FileRef,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Record,
    RoundFinished,
    RoundStarted,
    Say,
    SessionClosed,
    Signal,
    Stop,
    TextStreamed,
)
from parlour.questions import FormQuestion
from parlour.settings import Settings
from parlour.transports.terminal.asking import Reply, ask
from parlour.transports.terminal.paths import (
    complaint_about_file,
    copy_beside,
    media_type,
    pieces,
    size_of,
    split_file_line,
)
from parlour.transports.terminal.plain import PlainScreen
from parlour.transports.terminal.screen import (
    Line,
    NoScreen,
    Prompt,
    PromptGone,
    Screen,
    ShownFile,
    Status,
)
from parlour.transports.terminal.visible import one_line
from parlour.transports.terminal.work import Work

_ID_LENGTH = 32
_RECENT = 20
_HELP = """\
/file PATH [text]   send a file, and say something to it
/press NUMBER       press a button of the bot
/save [FOLDER]      save the bot's newest files here, or there
/new                begin another conversation
/quit               leave; the conversation stays
Ctrl-C stops what the bot is doing, Ctrl-D leaves, Alt-Enter begins a new line.
Begin with // to say something that begins with /."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPlan:
    """Which conversation is wanted. Without a `session` a new one is begun.

    `resume` gives the words of the command that goes on with a session.
    """

    app: App
    store: str
    settings: Settings | None
    resume: Callable[[str], str]
    session: str = ""
    user: str = "local"


async def chat_here(plan: ChatPlan) -> None:
    """Talk in this terminal until the user leaves.

    Raises `Refused` where there is no such session, `StoreError` where the store cannot be used.
    """
    async with local(plan.app, store=plan.store, settings=plan.settings) as running:
        engine = running.engine
        session = await _find(engine, plan)
        conversation = Conversation(engine, plan.user, session or await _open(engine, plan.user))
        async with _screen(conversation, plan.app.title) as screen:
            await conversation.run(screen)
    if plan.store.partition(":")[0] != "memory":
        print(f"To go on: {plan.resume(conversation.session)}", file=sys.stderr)  # noqa: T201


async def _find(engine: Engine, plan: ChatPlan) -> str:
    """The session's whole id, from its beginning."""
    if not plan.session:
        return ""
    if len(plan.session) < _ID_LENGTH:
        known = await engine.store.sessions(plan.user, limit=1000)
        found = [info.id for info in known if info.id.startswith(plan.session)]
        if len(found) > 1:
            raise Refused("unknown_session", f"Several sessions begin with {plan.session}.")
        session = found[0] if found else plan.session
    else:
        session = plan.session
    try:
        await engine.authorise(session, plan.user)
    except Refused as refused:
        raise Refused(
            refused.code,
            f"there is no session {plan.session} in {plan.store}; "
            "`parlour sessions ls` lists those that are",
        ) from None
    engine.keys.keep_own(plan.user)
    return session


async def _open(engine: Engine, user: str) -> str:
    engine.keys.keep_own(user)
    return (await engine.open(user, uuid4().hex)).session


@contextlib.asynccontextmanager
async def _screen(conversation: Conversation, title: str) -> AsyncGenerator[Screen]:
    """The screen that fits what stdin and stdout are."""
    loop = asyncio.get_running_loop()
    if sys.stdin.isatty() and sys.stdout.isatty() and not _is_dumb():
        from parlour.transports.terminal.live import LiveScreen

        async with LiveScreen(title=title, interrupt=conversation.interrupt) as live:
            with _on_signals(loop, live.leave, signal.SIGTERM):
                yield live
        return
    plain = PlainScreen()

    def interrupt() -> None:
        if not conversation.interrupt(typed=False):
            plain.leave()

    with (
        _on_signals(loop, plain.leave, signal.SIGTERM),
        _on_signals(loop, interrupt, signal.SIGINT),
    ):
        yield plain


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in ("", "dumb") and sys.platform != "win32"


@contextlib.contextmanager
def _on_signals(
    loop: asyncio.AbstractEventLoop, call: Callable[[], None], number: signal.Signals
) -> Generator[None]:
    try:
        loop.add_signal_handler(number, call)
    except NotImplementedError:  # Windows
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


class Conversation:
    """What one session looks like from a terminal, and what the terminal does with it."""

    def __init__(self, engine: Engine, user: str, session: str) -> None:
        self._engine = engine
        self._user = user
        self._screen: Screen = NoScreen()
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin(session)

    def _begin(self, session: str) -> None:
        self.session = session
        self._place = 0
        self._round = 0
        self._questions: dict[int, QuestionAsked] = {}
        self._queued: set[int] = set()
        self._streams: dict[tuple[int, str], str] = {}
        self._former: dict[bytes, Raw] = {}
        self._sent: tuple[FileRef, ...] = ()
        self._buttons: tuple[Button, ...] = ()
        self._work = Work()
        self._asking = 0
        self._listening = False
        self._past = False
        self._closed = False
        self._failed = False
        self._changed = asyncio.Event()

    async def run(self, screen: Screen) -> None:
        """Talk until the user leaves. Raises what the store raises."""
        while True:
            await self._show_past(screen)
            follower = asyncio.create_task(self._follow(), name="parlour-follow")
            follower.add_done_callback(self._follower_ended)
            try:
                another = await self._talk()
            finally:
                follower.cancel()
                await asyncio.gather(follower, *self._tasks, return_exceptions=True)
            if self._failed and not follower.cancelled():
                follower.result()
            if not another:
                return
            self._begin(await _open(self._engine, self._user))
            screen.notice("A new conversation.")

    def interrupt(self, *, typed: bool) -> bool:
        """The user wants something to stop; `typed` says that a line is half written.

        True if it was the bot's round: then neither the line nor the program is meant.
        """
        if not self._round or (typed and self._questions):
            return False
        task = asyncio.create_task(self._stop(self._round))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _stop(self, number: int) -> None:
        try:
            await self._send(Stop(id=uuid4().hex, round=number))
        except Refused as refused:
            if refused.code != "not_running":
                self._screen.problem(refused.message)

    # -- what has happened ------------------------------------------------------------------

    async def _show_past(self, screen: Screen) -> None:
        """Tell the newest of what is in the log; learn from the rest of it."""
        past = [record async for record in self._engine.records(self.session)]
        told = [at for at, record in enumerate(past) if isinstance(record.event, _TOLD)]
        first = told[-_RECENT] if len(told) > _RECENT else 0
        self._past, self._screen = True, NoScreen()
        for at, record in enumerate(past):
            if at == first:
                self._screen = screen
                if first:
                    screen.notice(f"{len(told) - _RECENT} earlier messages are not shown.")
            self._take(record)
        self._past, self._screen = False, screen
        self._show_status()

    async def _follow(self) -> None:
        while True:
            try:
                async for item in self._engine.events(self.session, self._place, user=self._user):
                    if isinstance(item, Record):
                        self._take(item)
                    else:
                        self._take_delta(item)
            except Refused as refused:
                if refused.code != "too_slow":
                    raise
                continue
            return

    def _follower_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed = True
            self._changed.set()
            self._screen.leave()

    def _take_delta(self, delta: Delta) -> None:
        if not isinstance(delta, TextStreamed):
            if self._work.take_delta(delta):
                self._show_status()
            return
        key = (delta.round, delta.path)
        self._streams[key] = self._streams.get(key, "")[: delta.offset] + delta.text
        if key == next(iter(self._streams)):
            self._screen.stream(self._streams[key])

    def _take(self, record: Record) -> None:
        self._place = record.seq
        match record.event:
            case MessageAdded(role="user") as said:
                self._heard(record.seq, said)
            case MessageAdded() as said:
                self._streams.pop((self._round, said.path), None)
                self._said(said)
            case ComponentShown() as component:
                self._screen.bot(component.text or component.name, ())
            case QuestionAsked() as asked:
                self._asked(record.seq, asked)
            case QuestionAnswered() as answered:
                self._answered(answered)
            case AnswerRejected() as rejected:
                self._screen.user(rejected.text)
                self._screen.problem(rejected.reason)
            case QuestionClosed() as closed:
                self._question_closed(closed)
            case _:
                self._take_progress(record)
        self._show_status()
        self._changed.set()

    def _take_progress(self, record: Record) -> None:
        match event := record.event:
            case PartBegun():
                self._work.begin(record, event)
            case PartEnded():
                part = self._work.end(record, event)
                if part is not None:
                    self._screen.part(part)
            case RoundStarted():
                self._round = event.round
                self._queued.discard(event.source)
            case MessagesTaken():
                self._queued.difference_update(event.sources)
            case RoundFinished():
                self._finished(event)
            case SessionClosed():
                self._closed = True
                self._screen.notice("This conversation is over; /new begins another.")
                self._withdraw()
            case _:
                pass

    def _heard(self, seq: int, said: MessageAdded) -> None:
        waits = bool(self._round) and self._engine.settings.incoming == "queue"
        if waits:
            self._queued.add(seq)
        note = "waits until this is done" if waits and not self._past else ""
        self._screen.user(said.text, _names(said.files), note)

    def _said(self, said: MessageAdded) -> None:
        self._sent = said.files or self._sent
        self._buttons = said.actions or self._buttons
        self._screen.bot(said.text, tuple(map(self._described, said.files)))
        if said.actions:
            labels = [f"{at}. {each.label}" for at, each in enumerate(said.actions, 1)]
            self._screen.notice("\n".join([*labels, "/press NUMBER presses one of these."]))

    def _described(self, file: FileRef) -> ShownFile:
        place = self._engine.files.workspace(self.session) / file.id
        alt = [one_line(file.alt, 60)] if file.alt else []
        return ShownFile(file.name, " · ".join([*alt, size_of(file.size), str(place)]))

    def _asked(self, seq: int, asked: QuestionAsked) -> None:
        if asked.note:
            self._screen.problem(asked.note)
        self._screen.bot(asked.text)
        self._questions[seq] = asked
        if self._listening:
            self._screen.withdraw()

    def _answered(self, answered: QuestionAnswered) -> None:
        asked = self._questions.pop(answered.question, None)
        if asked is not None and isinstance(asked.question, FormQuestion):
            self._former[bytes(asked.question.schema)] = answered.value
        self._screen.user(answered.text, _names(answered.files) if not answered.text else ())
        self._withdraw(answered.question)

    def _question_closed(self, closed: QuestionClosed) -> None:
        self._questions.pop(closed.question, None)
        if closed.reason == "timeout":
            self._screen.notice("Time is up; the question is closed.")
        self._withdraw(closed.question)

    def _finished(self, finished: RoundFinished) -> None:
        self._round = 0
        self._questions.clear()
        self._former.clear()
        self._work.clear()
        if self._streams:
            self._streams.clear()
            self._screen.stream("")
        if finished.status == "stopped":
            self._screen.notice("Stopped.")
        elif finished.status != "done":
            error = f" (error {finished.error})" if finished.error else ""
            self._screen.problem(f"{finished.reason or 'Something went wrong.'}{error}")
        self._withdraw(self._asking)

    def _withdraw(self, question: int = 0) -> None:
        """End the prompt of a question that is open no more."""
        if self._asking and self._asking in (question, 0):
            self._screen.withdraw()

    def _show_status(self) -> None:
        working = bool(self._round) and not self._questions
        self._screen.status(
            Status(working=working, queued=len(self._queued), doing=self._work.doing)
        )

    # -- what the user does -----------------------------------------------------------------

    async def _talk(self) -> bool:
        """Read and send until the user leaves; True if they want another conversation."""
        while not self._failed:
            try:
                if self._questions:
                    await self._answer(next(iter(self._questions)))
                elif self._screen.live or not self._round:
                    if self._closed and not self._screen.live:
                        return False
                    await self._listen()
                else:
                    await self._change()
            except PromptGone:
                continue
            except EOFError:
                return False
            except _NewWanted:
                return True
            except Refused as refused:
                again = "" if refused.retry_after is None else " Try again in a moment."
                self._screen.problem(f"{refused.message}{again}")
            except StoreError as error:
                self._screen.problem(str(error))
        return False

    async def _listen(self) -> None:
        self._listening = True
        try:
            line = await self._screen.read(Prompt(free=True, check=_slip))
        finally:
            self._listening = False
        text = line if isinstance(line, str) else ""
        if not text.strip():
            return
        word, _, rest = text.strip().partition(" ")
        if word == "/file":
            await self._say_file(rest.strip())
        elif word == "/press":
            await self._press(rest.strip())
        elif word == "/save":
            await self._save(Path(rest.strip()))
        elif not self._obey(text):
            await self._say(text.removeprefix("/") if text.startswith("//") else text)

    async def _answer(self, seq: int) -> None:
        asked = self._questions[seq]
        former = None
        if asked.note and isinstance(asked.question, FormQuestion):
            former = self._former.get(bytes(asked.question.schema))
        self._asking = seq
        try:
            reply = await ask(_Obedient(self._screen, self._obey), asked, former)
        finally:
            self._asking = 0
        await self._send_answer(seq, reply)

    async def _send_answer(self, seq: int, reply: Reply) -> None:
        files = await self._upload(reply.files)
        await self._told(
            Answer(id=uuid4().hex, question=seq, value=reply.value, text=reply.text, files=files)
        )

    def _obey(self, text: str) -> bool:
        """Whether it was a command that may be given at any time."""
        match text.strip():
            case "/help":
                self._screen.notice(_HELP)
            case "/quit":
                raise EOFError
            case "/new":
                raise _NewWanted
            case _:
                return False
        return True

    async def _say(self, text: str, files: tuple[FileRef, ...] = ()) -> None:
        await self._told(Say(id=uuid4().hex, text=text, files=files))

    async def _say_file(self, rest: str) -> None:
        path, text = split_file_line(rest)
        await self._say(text, await self._upload((path,)))

    async def _press(self, which: str) -> None:
        """Press one of the newest buttons, named by its number or its label."""
        for at, button in enumerate(self._buttons, 1):
            if which in (str(at), button.label):
                await self._told(Signal(id=uuid4().hex, name=button.signal, data=button.data))
                return
        many = len(self._buttons)
        choice = f"say a number from 1 to {many}" if many else "there is none"
        self._screen.problem(f"There is no button {which[:40]!r}: {choice}.")

    async def _save(self, folder: Path) -> None:
        if not self._sent:
            self._screen.problem("The bot has sent no files yet.")
        for file in self._sent:
            source = self._engine.files.path(self.session, file.id)
            try:
                place = await asyncio.to_thread(copy_beside, source, folder, file.name)
            except OSError as error:
                self._screen.problem(f"{file.name} cannot be saved in {folder} ({error.strerror}).")
            else:
                self._screen.notice(f"Saved as {place}")

    async def _upload(self, paths: tuple[Path, ...]) -> tuple[FileRef, ...]:
        refs: list[FileRef] = []
        for path in paths:
            refs.append(  # noqa: PERF401 - one after the other, so that the first failure ends it
                await self._engine.files.add(
                    self.session,
                    pieces(path),
                    name=path.name,
                    type_=media_type(path),
                    limit=self._engine.settings.limits.upload_bytes,
                )
            )
        return tuple(refs)

    async def _told(self, command: Command) -> None:
        """Send a command, and wait until its first record has been shown."""
        accepted = await self._send(command)
        while self._place < accepted.seq and not self._failed:
            await self._change()

    async def _send(self, command: Command) -> Accepted:
        return await self._engine.send(self.session, self._user, command)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _NewWanted(Exception):
    """The user wants another conversation."""


_ANYWHERE = frozenset({"/help", "/new", "/quit"})
_TOLD = (MessageAdded, ComponentShown, QuestionAsked, QuestionAnswered)


class _Obedient:
    """A reader whose prompts also take the commands that may be given at any time."""

    def __init__(self, screen: Screen, obey: Callable[[str], bool]) -> None:
        self._screen = screen
        self._obey = obey

    @property
    def live(self) -> bool:
        return self._screen.live

    def problem(self, text: str) -> None:
        self._screen.problem(text)

    async def read(self, prompt: Prompt) -> Line:
        def check(line: Line) -> str:
            if prompt.check is None or (isinstance(line, str) and line.strip() in _ANYWHERE):
                return ""
            return prompt.check(line)

        while True:
            line = await self._screen.read(replace(prompt, check=check))
            if not isinstance(line, str) or not self._obey(line):
                return line


def _slip(line: Line) -> str:
    """Why a line at the free prompt cannot be meant, or ""."""
    word, _, rest = str(line).strip().partition(" ")
    if word != "/file":
        return ""
    if not rest.strip():
        return "Say which file: /file PATH [text]"
    return complaint_about_file(split_file_line(rest.strip())[0])


def _names(files: tuple[FileRef, ...]) -> tuple[str, ...]:
    return tuple(file.name for file in files)
