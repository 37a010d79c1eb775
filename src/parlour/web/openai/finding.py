"""Which session a client means that sends its whole conversation each time.

The log is the truth. What was told lately is remembered by the fingerprint of the conversation;
else the logs of the user's latest sessions are compared with what the client remembers. Nothing is
ever looked for beyond one user's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from parlour.engine import Engine
from parlour.events import AnswerRejected, AnyEvent, MessageAdded, QuestionAnswered, UnknownEvent
from parlour.transports.codecs.openai.requests import Prompt, Turn, fingerprint
from parlour.transports.codecs.openai.transcript import Link, Said, Transcript

_REMEMBERED = 20_000
_ALIKE = 8
_SESSIONS = 100
_BRANCHES = 30
_RECORDS = 5_000
_SECONDS = 1.0


class Found(Struct, frozen=True):
    """The session that is meant, and what is new in it.

    `instead`: what the session went on with there, so that the new words make a branch.
    """

    session: str
    said: Turn
    instead: Said | None = None


class Finder:
    """Finds sessions by what was said in them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ends: OrderedDict[tuple[str, bytes], list[tuple[str, int]]] = OrderedDict()

    def remember(self, user: str, turns: Sequence[Turn], session: str, seq: int) -> None:
        """The conversation `turns` of `user` has come to record `seq` of `session`."""
        key = (user, fingerprint(turns))
        ends = [end for end in self._ends.pop(key, []) if end[0] != session]
        self._ends[key] = [(session, seq), *ends][:_ALIKE]
        if len(self._ends) > _REMEMBERED:
            self._ends.popitem(last=False)

    async def find(
        self,
        user: str,
        prompt: Prompt,
        link: Callable[[str], Link],
        *,
        among: Sequence[str] | None = None,
    ) -> Found | None:
        """The session in which this conversation was led, of these if `among` names any."""
        best: Found | None = None
        for history, said in prompt.splits():
            for session, seq in self._ends.get((user, fingerprint(history)), ()):
                if among is not None and session not in among:
                    continue
                if not await self._is_own(session, user):
                    continue
                later = await self.next_said(session, seq)
                if later is None:
                    return Found(session, said)
                best = best or Found(session, said, later)
        if best is not None or not prompt.history:
            return best
        sessions = await self._latest(user) if among is None else among
        return await self._compare(sessions, prompt, link)

    async def next_said(self, session: str, seq: int) -> Said | None:
        """What the user said after record `seq`, first; None if nothing."""
        async for record in self._engine.records(session, seq):
            found = said_by_user(record.seq, record.event)
            if found is not None:
                return found
        return None

    async def branches(self, session: str, user: str) -> list[str]:
        """The sessions of the thread that `session` belongs to, last updated first."""
        found = await self._engine.catalogue.branches(session, user)
        open_ = [branch.info for branch in found if not branch.info.closed]
        latest = sorted(open_, key=lambda info: info.updated, reverse=True)
        return [info.id for info in latest[:_BRANCHES]]

    async def _latest(self, user: str) -> list[str]:
        # Not only those that a list shows: in some the bot has asked, and nobody said anything.
        infos = await self._engine.store.sessions(user, limit=_SESSIONS)
        return [info.id for info in infos if not info.closed]

    async def _is_own(self, session: str, user: str) -> bool:
        info = await self._engine.store.find(session)
        return info is not None and info.user == user and not info.closed

    async def _compare(
        self, sessions: Iterable[str], prompt: Prompt, link: Callable[[str], Link]
    ) -> Found | None:
        best: Found | None = None
        until = self._engine.monotonic() + _SECONDS
        for session in sessions:
            transcript = await self._read(session, link(session))
            if transcript is None:
                continue
            for history, said in prompt.splits():
                begins, later = transcript.after(history)
                if begins and later is None:
                    return Found(session, said)
                if begins and best is None:
                    best = Found(session, said, later)
            if self._engine.monotonic() > until:
                break
        return best

    async def _read(self, session: str, link: Link) -> Transcript | None:
        transcript = Transcript(link)
        async for record in self._engine.records(session):
            if record.seq > _RECORDS:
                return None
            transcript.record(record.seq, record.event)
        return transcript


def said_by_user(seq: int, event: AnyEvent | UnknownEvent) -> Said | None:
    match event:
        case MessageAdded(role="user"):
            return Said(Turn("user", event.text), seq, message=True)
        case QuestionAnswered() | AnswerRejected():
            return Said(Turn("user", event.text), seq)
        case _:
            return None
