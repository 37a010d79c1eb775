"""The routes under `/agui`: runs of AG-UI, for clients with a key or a visitor's token.

Needs the extra `parlour[agui]`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Any, cast

import msgspec
from ag_ui.core import (
    AgentCapabilities,
    ResumeEntry,
    RunAgentInput,
    UserMessage,
)
from msgspec import Raw, Struct
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from parlour.engine import Engine
from parlour.errors import Refused, StoreError
from parlour.events import Answer, Say, Stop
from parlour.state import State
from parlour.transports import speaking
from parlour.transports.codecs.agui import (
    AguiRun,
    Run,
    read_interrupt_id,
    said_messages,
)
from parlour.transports.codecs.openai.errors import invalid, unauthorised
from parlour.transports.codecs.reply import Reply
from parlour.transports.identity import Identity
from parlour.transports.replies import ReplyStream
from parlour.transports.speaking import Given
from parlour.web.openai.answers import problem, respond
from parlour.web.openai.finding import said_by_user

if TYPE_CHECKING:
    from parlour.web.openai import OpenAI

_THREAD = 200
_HISTORY = 200
_OURS = re.compile(r"[0-9a-f]{32}-\d+")


class Agui:
    """The routes; keys, pace, sizes and file addresses are those of `/v1`."""

    def __init__(self, api: OpenAI) -> None:
        self._api = api
        self._identity: Identity | None = None
        self.routes = [
            Route("/agui", self._run, methods=["POST"]),
            Route("/agui", self._capabilities),
        ]

    def begin(self, identity: Identity) -> None:
        """The server runs now."""
        self._identity = identity

    @property
    def _engine(self) -> Engine:
        return self._api.engine

    async def _capabilities(self, request: Request) -> Response:
        del request
        found = AgentCapabilities.model_validate(
            {
                "identity": {"name": self._api.model, "type": "parlour"},
                "transport": {"streaming": True, "websocket": False},
                "state": {"snapshots": True, "deltas": True},
                "tools": {"supported": True, "clientProvided": False},
                "humanInTheLoop": {"supported": True, "interrupts": True},
                "multimodal": {"input": {"image": True, "audio": True, "file": True}},
            }
        )
        return respond(found.model_dump_json(by_alias=True, exclude_none=True).encode())

    async def _run(self, request: Request) -> Response:
        try:
            user = self._user(request)
            asked = _read(await self._api.body(request))
            return await self._begin(request, user, asked)
        except Refused as refusal:
            return problem(refusal)
        except StoreError:
            return problem(Refused("unavailable", "The store cannot be reached; try again.", 1.0))
        except (ClientDisconnect, TimeoutError):
            return Response(status_code=408)

    def _user(self, request: Request) -> str:
        """Whose key it is, or which visitor: a page of another site brings no cookie along."""
        headers = request.scope["headers"]
        if self._identity is not None:
            user = self._identity.user_from(headers)
            if user is not None:
                if not self._identity.allows(headers):
                    raise unauthorised("Pages of that origin may not talk to this server.")
                self._api.count(user)
                return user
        return self._api.known_user(request)

    # -- a run ------------------------------------------------------------------------------

    async def _begin(self, request: Request, user: str, asked: RunAgentInput) -> Response:
        session, fresh = await self._session(user, asked.thread_id)
        state = await self._engine.state_of(session)
        questions = speaking.open_questions(state)
        reply: Reply | None = None
        stopped = False
        news = _news(asked, state)
        if asked.resume and not fresh:
            self._check_all(asked.resume, set(questions))
            stopped = any(entry.status == "cancelled" for entry in asked.resume)
            if stopped:
                await self._stop(session, user, state)
                questions = {}
            else:
                reply = await self._answer(session, user, asked.resume)
        elif fresh:
            reply = await self._open(session, user, news)
        elif news is not None:
            if questions and asked.protocol_version is not None:
                raise invalid("A question is open: answer it by `resume` first.", "resume")
            reply = await self._say(session, user, news)
        else:
            reply = await self._running(session, state)
        before = None if reply is None else reply.seq
        history = await self._engine.read_history(session, before, _HISTORY)
        link = self._api.link(request, session)
        if reply is None and not stopped:
            questions = speaking.open_questions(await self._engine.state_of(session))
        run = Run(
            thread=asked.thread_id,
            run=asked.run_id,
            session=session,
            link=link,
            modern=asked.protocol_version is not None,
            stopped=stopped,
            variables={name: it.value for name, it in state.variables.items()},
            asked=questions,
            messages=said_messages(session, history, link),
        )
        return self._stream(session, AguiRun(reply, run), reply)

    def _stream(self, session: str, dialect: AguiRun, reply: Reply | None) -> Response:
        if reply is None:
            return Response(dialect.begin(), media_type="text/event-stream")
        stream = ReplyStream(self._engine, dialect, numbered=True)
        stream.headers["X-Session-Id"] = session
        stream.subscription = self._engine.subscribe(session, reply.seq - 1, stream)
        self._api.keep(stream)
        return stream

    async def _session(self, user: str, thread: str) -> tuple[str, bool]:
        """The session of a thread, by its id or by the client's name for it, and if it is new."""
        if not 0 < len(thread) <= _THREAD or not thread.isprintable():
            raise invalid(f"A thread's id has 1 to {_THREAD} printable characters.", "threadId")
        engine = self._engine
        if re.fullmatch(r"[0-9a-f]{32}", thread):
            info = await engine.store.find(thread)
            if info is not None and info.user == user:
                return thread, False
        opened = await engine.open(user, f"agui {hashlib.sha256(thread.encode()).hexdigest()[:40]}")
        return opened.session, not opened.repeated

    async def _open(self, session: str, user: str, news: UserMessage | None) -> Reply | None:
        asks = await speaking.asks_first(self._engine, session)
        if asks is not None:
            return asks.reply
        if news is not None:
            return await self._say(session, user, news)
        opens = await speaking.opens(self._engine, session)
        return Reply(1, opening=True) if opens else None

    async def _say(self, session: str, user: str, news: UserMessage) -> Reply:
        text, given = _content(news)
        refs = await speaking.keep_files(self._engine, session, given)
        say = Say(id=_command(news.id), text=text, files=tuple(refs))
        return (await speaking.say(self._engine, session, user, say)).reply

    async def _running(self, session: str, state: State) -> Reply | None:
        """What is being answered just now: a client that comes back sees it from its start."""
        if state.round is None or state.round.questions:
            return None
        last = 0
        async for record in self._engine.records(session, state.round.started - 1):
            if said_by_user(record.seq, record.event) is not None:
                last = record.seq
        source = state.round.source
        if not last and source is not None and source.cause == "message":
            last = source.said.seq
        return await speaking.reply_at(self._engine, session, last) if last else None

    def _check_all(self, resume: list[ResumeEntry], questions: set[int]) -> None:
        answered = {read_interrupt_id(entry.interrupt_id) for entry in resume}
        if questions - answered:
            raise invalid("One resume answers all questions that are open.", "resume")

    async def _answer(self, session: str, user: str, resume: list[ResumeEntry]) -> Reply:
        replies: list[Reply] = []
        for entry in resume:
            question = read_interrupt_id(entry.interrupt_id)
            if question is None:
                raise invalid("There is no such interrupt.", "resume")
            payload = msgspec.json.encode(entry.payload)
            digest = hashlib.sha256(payload).hexdigest()[:16]
            given = _given(entry.payload)
            refs = await speaking.keep_files(self._engine, session, given)
            words = entry.payload if isinstance(entry.payload, str) else ""
            answer = Answer(
                id=f"agui {entry.interrupt_id} {digest}",
                question=question,
                value=None if words or given else Raw(payload),
                text=words,
                files=tuple(refs),
            )
            replies.append((await speaking.say(self._engine, session, user, answer)).reply)
        return Reply(min(reply.seq for reply in replies))

    async def _stop(self, session: str, user: str, state: State) -> None:
        if state.round is not None:
            stop = Stop(id=secrets.token_hex(16), round=state.round.number)
            await self._engine.send(session, user, stop)


class _File(Struct):
    data: str
    name: str = "file"
    mimeType: str = ""  # noqa: N815 - as the wire has it


def _read(data: bytes) -> RunAgentInput:
    try:
        body = msgspec.json.decode(data)
        for message in body.get("messages", ()):
            content = message.get("content")
            if isinstance(content, list):
                message["content"] = [_modern(part) for part in cast("list[object]", content)]
        return RunAgentInput.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise invalid(f"{first['msg']}.", where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, TypeError):
        raise invalid("The body of the request is no run's input.") from None


def _modern(given: object) -> object:
    """A part as 1.0 has it; older clients send `binary`."""
    if not isinstance(given, dict):
        return given
    part = cast("dict[str, Any]", given)
    if part.get("type") != "binary":
        return part
    kind = part.get("mimeType", "application/octet-stream")
    if part.get("data"):
        source = {"type": "data", "value": part["data"], "mimeType": kind}
    else:
        source = {"type": "url", "value": part.get("url", ""), "mimeType": kind}
    return {"type": "document", "source": source}


def _news(asked: RunAgentInput, state: State) -> UserMessage | None:
    """The message that the client has new, if the last one is the user's and not known."""
    last = asked.messages[-1] if asked.messages else None
    if not isinstance(last, UserMessage) or _OURS.fullmatch(last.id):
        return None
    del state
    return last


def _content(message: UserMessage) -> tuple[str, list[Given]]:
    if isinstance(message.content, str):
        return message.content, []
    texts: list[str] = []
    files: list[Given] = []
    for part in message.content:
        if part.type == "text":
            texts.append(part.text)
            continue
        source = part.source
        if source.type == "data":
            kind = source.mime_type
            files.append(Given(f"{part.type}.{kind.partition('/')[2]}", kind, _bytes(source.value)))
        elif source.type == "url":
            texts.append(f"[{part.type}]({source.value})")
        else:
            raise invalid("A file comes as data or as an address.", "messages")
    return "\n\n".join(texts), files


def _given(payload: Any) -> list[Given]:
    """The files of an answer to a question for files."""
    try:
        files = msgspec.convert(payload, list[_File])
    except msgspec.ValidationError:
        return []
    return [Given(file.name, file.mimeType, _bytes(file.data)) for file in files]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("A file's data is no valid base64.", "messages") from None


def _command(id_: str) -> str:
    """The client's id of a message is that of its command, so that it is said once."""
    return f"agui {hashlib.sha256(id_.encode('utf-8', 'replace')).hexdigest()[:40]}"
