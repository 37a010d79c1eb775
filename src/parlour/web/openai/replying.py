"""Chat completions and responses: from a request to its session, and what answers it."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from parlour.engine import Engine
from parlour.errors import Refused
from parlour.events import Answer, Assign, FileRef, Say, Stop
from parlour.transports import speaking
from parlour.transports.codecs.openai import chat, ids
from parlour.transports.codecs.openai.chat import Completion, Heading
from parlour.transports.codecs.openai.errors import Problem, invalid, missing
from parlour.transports.codecs.openai.items import item_of
from parlour.transports.codecs.openai.requests import (
    ChatRequest,
    Prompt,
    ResponseRequest,
    Turn,
    chat_prompt,
    read_body,
    response_prompt,
)
from parlour.transports.codecs.openai.responses import Asking, Response
from parlour.transports.codecs.openai.tasks import do_task, is_task
from parlour.transports.codecs.openai.tool import AskTool, find_tool, read_result
from parlour.transports.replies import ReplyStream, collect
from parlour.transports.speaking import Begun, Given
from parlour.web.openai.answers import respond
from parlour.web.openai.finding import Finder, Found, said_by_user

if TYPE_CHECKING:
    from parlour.web.openai.routes import OpenAI

_DELETED = "openai.deleted"
"""The variable of a session that holds which responses are not told any more."""
_MOST_DELETED = 1000
_RECENT = 5_000
_NAME = 200
_DIGITS = 18
_ID = 32


class Asked(Struct, frozen=True, kw_only=True):
    """A request, as either API means it. `named` is the name of a session, if it has one."""

    prompt: Prompt
    named: str = ""
    conversation: str = ""
    previous: str = ""
    fresh: bool = False
    command: str = ""


class Replying:
    """What answers requests that say something."""

    def __init__(self, api: OpenAI) -> None:
        self._api = api
        self._recent: OrderedDict[tuple[str, bytes], Begun] = OrderedDict()

    def begin(self, engine: Engine) -> None:
        """The server runs now."""
        self._engine = engine
        self._finder = Finder(engine)

    # -- chat completions -------------------------------------------------------------------

    async def complete(self, request: Request, user: str) -> HttpResponse:
        data = await self._api.body(request)
        asked = read_body(data, ChatRequest)
        aside = self._api.check_model(asked.model)
        if asked.n not in {None, 1}:
            raise invalid("There is one answer to a message; leave `n` out.", "n")
        prompt = chat_prompt(asked)
        if aside or is_task(prompt.said.text):
            return self._do_task(asked, prompt.said.text)
        begun = await self._say(request, user, data, prompt, asked.metadata)
        heading = self._heading(request, begun.session, asked.model, find_tool(asked.tools))
        usage = bool(asked.stream_options and asked.stream_options.include_usage)
        completion = Completion(begun.reply, heading, usage=usage and bool(asked.stream))
        return await self._follow(request, user, begun, prompt, completion, stream=asked.stream)

    def _do_task(self, asked: ChatRequest, text: str) -> HttpResponse:
        done, now = do_task(text), self._engine.time()
        if not asked.stream:
            return _json(chat.whole_text(done, asked.model, now))
        stream = chat.streamed_text(done, asked.model, now)
        return HttpResponse(stream, media_type="text/event-stream")

    # -- responses --------------------------------------------------------------------------

    async def respond(self, request: Request, user: str) -> HttpResponse:
        data = await self._api.body(request)
        asked = read_body(data, ResponseRequest)
        aside = self._api.check_model(asked.model)
        prompt = response_prompt(asked)
        if aside:
            raise invalid("Side jobs are done by /v1/chat/completions.", "model")
        if asked.conversation_id and asked.previous_response_id:
            raise invalid(
                "Give `conversation` or `previous_response_id`, not both.", "previous_response_id"
            )
        begun = await self._say(
            request,
            user,
            data,
            prompt,
            asked.metadata,
            conversation=asked.conversation_id or "",
            previous=asked.previous_response_id or "",
        )
        heading = self._heading(request, begun.session, asked.model, find_tool(asked.tools))
        asking = Asking(
            stored=asked.store is not False,
            background=bool(asked.background),
            previous=asked.previous_response_id,
            metadata=asked.metadata or {},
        )
        response = Response(begun.reply, heading, asking)
        if asked.background and not asked.stream:
            await self._look(response, begun.session, begun.seq)
            return _json(response.whole(), begun.session)
        return await self._follow(request, user, begun, prompt, response, stream=asked.stream)

    async def response(self, request: Request, user: str) -> HttpResponse:
        """A response that was asked for before: as it is, or told again from some place on."""
        place = await self._place(request, user)
        query = request.query_params
        after = query.get("starting_after", "")
        if after and not (after.isascii() and after.isdigit() and len(after) <= _DIGITS):
            raise invalid("`starting_after` is the number of an event.", "starting_after")
        reply = await speaking.reply_at(self._engine, place.session, place.seq)
        heading = self._heading(request, place.session, self._api.model, None)
        response = Response(reply, heading, after=int(after) if after else -1)
        if query.get("stream", "").lower() == "true":
            return self._stream(Begun(place.session, place.seq, reply), response)
        await self._look(response, place.session, place.seq)
        return _json(response.whole(), place.session)

    async def cancel(self, request: Request, user: str) -> HttpResponse:
        """Stop what works on a response."""
        place = await self._place(request, user)
        engine = self._engine
        reply = await speaking.reply_at(engine, place.session, place.seq)
        heading = self._heading(request, place.session, self._api.model, None)
        response = Response(reply, heading, Asking(background=True))
        last = await self._look(response, place.session, place.seq)
        running = (await engine.state_of(place.session)).round
        if reply.running and running is not None:
            stop = Stop(id=secrets.token_hex(16), round=running.number)
            accepted = await engine.send(place.session, user, stop)
            await self._look(response, place.session, last + 1, accepted.seq)
        return _json(response.whole(), place.session)

    async def delete(self, request: Request, user: str) -> HttpResponse:
        """Tell a response no more. What was said stays in the session, until that is erased."""
        place = await self._place(request, user)
        deleted = [*await self._deleted(place.session), place.seq][-_MOST_DELETED:]
        value = Raw(msgspec.json.encode(deleted))
        assign = Assign(id=secrets.token_hex(16), name=_DELETED, value=value)
        await self._engine.send(place.session, user, assign)
        id_ = ids.response_id(place)
        return _json(msgspec.json.encode({"id": id_, "object": "response", "deleted": True}))

    async def input_items(self, request: Request, user: str) -> HttpResponse:
        """What a response answers."""
        place = await self._place(request, user)
        link = self._api.link(request, place.session)
        found: list[dict[str, Any]] = []
        async for record in self._engine.records(place.session, place.seq - 1):
            if said_by_user(record.seq, record.event) is not None:
                item = item_of(place.session, record.seq, record.event, link)
                found = [] if item is None else [item]
                break
        ends = {"first_id": found[0]["id"], "last_id": found[0]["id"]} if found else {}
        content = {"object": "list", "data": found, "has_more": False, **ends}
        return _json(msgspec.json.encode(content))

    async def _place(self, request: Request, user: str) -> ids.Place:
        """What a response's id names, if it is there and the user's."""
        place = ids.read_response_id(request.path_params["id"])
        if place is None or not place.stored:
            raise missing("response")
        await self._own(place.session, user, "response")
        if place.seq in await self._deleted(place.session):
            raise missing("response")
        async for record in self._engine.records(place.session, place.seq - 1):
            said = said_by_user(record.seq, record.event) is not None
            if place.seq == 1 or said or record.seq > place.seq:
                return place
            break
        raise missing("response")

    async def _deleted(self, session: str) -> list[int]:
        stored = (await self._engine.state_of(session)).variables.get(_DELETED)
        return [] if stored is None else msgspec.json.decode(stored.value, type=list[int])

    async def _own(self, session: str, user: str, what: str, param: str | None = None) -> None:
        try:
            await self._engine.authorise(session, user)
        except Refused as refusal:
            if refusal.code != "unknown_session":
                raise
            raise missing(what, param) from None

    async def _look(
        self, response: Response, session: str, first: int, upto: int | None = None
    ) -> int:
        """Feed a response what the log has of it; the number of the last record."""
        last = first - 1
        async for record in self._engine.records(session, first - 1):
            response.record(record.seq, record.at, record.event)
            last = record.seq
            if response.over or last == upto:
                break
        return last

    # -- saying -----------------------------------------------------------------------------

    async def _say(
        self,
        request: Request,
        user: str,
        data: bytes,
        prompt: Prompt,
        metadata: dict[str, Any] | None,
        *,
        conversation: str = "",
        previous: str = "",
    ) -> Begun:
        """Say what is new in the right session. A client's own repetition says it once."""
        digest = hashlib.sha256(data).digest()
        idempotent = request.headers.get("idempotency-key", "")
        again = request.headers.get("x-stainless-retry-count", "0") != "0"
        known = self._recent.get((user, digest))
        if known is not None and again:
            reply = await speaking.reply_at(self._engine, known.session, known.seq)
            return Begun(known.session, known.seq, reply)
        asked = Asked(
            prompt=prompt,
            named=self._named(request, metadata),
            conversation=conversation,
            previous=previous,
            command=_hashed(f"key {idempotent}") if idempotent else secrets.token_hex(16),
        )
        # One at a time where the same is said: the second one finds what the first has changed.
        async with self._engine.lock(f"openai {user} {digest.hex()}"):
            begun = await self._say_in_place(request, user, asked)
        self._recent[user, digest] = begun
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return begun

    async def _say_in_place(self, request: Request, user: str, asked: Asked) -> Begun:
        prompt = asked.prompt
        call = ids.read_call_id(prompt.said.call)
        if prompt.said.call and call is None:
            raise invalid("That is the result of no call that was made here.", "tool_call_id")
        if call is not None:
            return await self._answer(user, asked, call)
        if asked.conversation:
            session = ids.read_conversation_id(asked.conversation)
            if session is None:
                raise missing("conversation", "conversation")
            await self._own(session, user, "conversation", "conversation")
            return await self._speak(user, asked, Found(session, prompt.said))
        if asked.previous:
            return await self._go_on(user, asked)
        link = partial(self._api.link, request)
        if asked.named:
            return await self._in_named(user, asked, link)
        found = await self._finder.find(user, prompt, link)
        if found is not None:
            return await self._speak(user, asked, found)
        return await self._open(user, asked, f"new {asked.command}", prompt.said)

    async def _answer(self, user: str, asked: Asked, call: ids.Place) -> Begun:
        await self._own(call.session, user, "call", "tool_call_id")
        answer = Answer(
            id=asked.command, question=call.seq, text=read_result(asked.prompt.said.text)
        )
        return await speaking.say(self._engine, call.session, user, answer)

    async def _go_on(self, user: str, asked: Asked) -> Begun:
        """After the response that was the last; after an older one in a branch."""
        place = ids.read_response_id(asked.previous)
        if place is None:
            raise missing("response", "previous_response_id")
        await self._own(place.session, user, "response", "previous_response_id")
        own = await self._finder.next_said(place.session, place.seq - 1)
        end = place.seq if place.seq == 1 or own is None else own.seq
        later = await self._finder.next_said(place.session, end)
        return await self._speak(user, asked, Found(place.session, asked.prompt.said, later))

    async def _in_named(self, user: str, asked: Asked, link: Callable[[str], Any]) -> Begun:
        """In the session that the client has a name for: our id of it, or one of its own."""
        engine, prompt = self._engine, asked.prompt
        session = await self._by_id(asked.named, user)
        if session is None:
            command = f"chat {_hashed(asked.named)}"
            session = engine.session_id(user, command)
            if not await self._is_there(session):
                return await self._open(user, asked, command, prompt.said)
        among = await self._finder.branches(session, user)
        found = None
        if prompt.history:
            found = await self._finder.find(user, prompt, link, among=among)
        if found is None:
            found = Found(among[0] if among else session, prompt.said)
        return await self._speak(user, asked, found)

    async def _by_id(self, name: str, user: str) -> str | None:
        info = await self._engine.store.find(name) if _is_id(name) else None
        return name if info is not None and info.user == user else None

    async def _is_there(self, session: str) -> bool:
        info = await self._engine.store.find(session)
        return info is not None and bool(info.head)

    async def _open(self, user: str, asked: Asked, command: str, said: Turn) -> Begun:
        """In a new session; if it asks first, that is the reply."""
        engine = self._engine
        opened = await engine.open(user, command)
        asks = await speaking.asks_first(engine, opened.session)
        if asks is not None:
            return asks
        return await self._speak(user, asked, Found(opened.session, said))

    async def _speak(self, user: str, asked: Asked, found: Found) -> Begun:
        engine, said = self._engine, found.said
        refs = await self._keep(found.session, user, said)
        if found.instead is None:
            say = Say(id=asked.command, text=said.text, files=tuple(refs))
            return await speaking.say(engine, found.session, user, say)
        if not found.instead.message:
            raise Problem(
                409,
                "not_a_message",
                "What was answered to a question cannot be taken back here; say something new, "
                "or begin another conversation.",
            )
        branch = await engine.catalogue.branch(
            found.session,
            user,
            before=found.instead.seq,
            command=asked.command,
            text=said.text,
            files=[ref.id for ref in refs],
        )
        reply = await speaking.reply_at(engine, branch.session, branch.seq)
        return Begun(branch.session, branch.seq, reply)

    async def _keep(self, session: str, user: str, said: Turn) -> Sequence[FileRef]:
        given = [Given(file.name, file.type, file.data) for file in said.files if not file.upload]
        uploads = [file.upload for file in said.files if file.upload]
        refs = await speaking.keep_files(self._engine, session, given)
        return [*refs, *await self._api.drawer.hand_over(user, uploads, session)]

    def _named(self, request: Request, metadata: dict[str, Any] | None) -> str:
        names = self._engine.settings.session_headers.split(",")
        values = [request.headers.get(name.strip(), "") for name in names]
        given = [(metadata or {}).get(name) for name in ("session_id", "chat_id")]
        values += [value for value in given if isinstance(value, str)]
        named = next((value for value in values if value), "")
        if len(named) > _NAME or not named.isprintable():
            raise invalid(f"A session's name has at most {_NAME} printable characters.")
        return named

    # -- following --------------------------------------------------------------------------

    def _heading(self, request: Request, session: str, model: str, tool: AskTool | None) -> Heading:
        return Heading(
            session=session,
            model=model,
            created=self._engine.time(),
            link=self._api.link(request, session),
            tool=tool,
        )

    async def _follow(
        self,
        request: Request,
        user: str,
        begun: Begun,
        prompt: Prompt,
        dialect: Completion | Response,
        *,
        stream: bool | None,
    ) -> HttpResponse:
        def remember() -> None:
            turns = (*prompt.history, prompt.said)
            told = dialect.turn
            if told.text and dialect.failure is None:
                turns = (*turns, told)
            self._finder.remember(user, turns, begun.session, begun.reply.last)

        if stream:
            return self._stream(begun, dialect, remember)
        if not await collect(request, self._engine, dialect, (begun.session, begun.seq)):
            return HttpResponse(status_code=408)
        remember()
        if dialect.failure is not None:
            raise dialect.failure
        return _json(dialect.whole(), begun.session)

    def _stream(
        self,
        begun: Begun,
        dialect: Completion | Response,
        when_told: Callable[[], None] | None = None,
    ) -> HttpResponse:
        stream = ReplyStream(self._engine, dialect, when_told=when_told)
        stream.headers["X-Session-Id"] = begun.session
        stream.subscription = self._engine.subscribe(begun.session, begun.seq - 1, stream)
        self._api.keep(stream)
        return stream


def _json(data: bytes, session: str = "") -> HttpResponse:
    return respond(data, headers={"X-Session-Id": session} if session else None)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:40]


def _is_id(text: str) -> bool:
    return len(text) == _ID and not text.strip("0123456789abcdef")
