"""Conversations: sessions by their own ids, read as items."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from parlour.engine import Engine
from parlour.errors import Refused
from parlour.events import Assign
from parlour.transports.codecs.openai import ids
from parlour.transports.codecs.openai.errors import invalid, missing
from parlour.transports.codecs.openai.items import item_of
from parlour.transports.codecs.openai.requests import ConversationRequest, read_body
from parlour.web.openai.answers import respond

if TYPE_CHECKING:
    from parlour.web.openai.routes import OpenAI

METADATA = "openai.metadata"
"""The variable of a session that holds what its client noted about it."""
_PAGE = 100
_PAIRS, _KEY, _TEXT = 16, 64, 512
_RECORDS = 20_000


class Conversations:
    """The routes under `/v1/conversations`."""

    def __init__(self, api: OpenAI) -> None:
        self._api = api

    @property
    def _engine(self) -> Engine:
        return self._api.engine

    async def create(self, request: Request, user: str) -> Response:
        data = await self._api.body(request)
        asked = read_body(data, ConversationRequest) if data.strip() else ConversationRequest()
        if asked.items:
            raise invalid(
                "A conversation begins empty here; say its first message by /v1/responses.", "items"
            )
        _check(asked.metadata)
        opened = await self._engine.open(user, f"conversation {secrets.token_hex(16)}")
        if asked.metadata:
            await self._note(opened.session, user, asked.metadata)
        return await self._shown(opened.session)

    async def read(self, request: Request, user: str) -> Response:
        return await self._shown(await self._own(request, user))

    async def update(self, request: Request, user: str) -> Response:
        session = await self._own(request, user)
        asked = read_body(await self._api.body(request), ConversationRequest)
        _check(asked.metadata)
        await self._note(session, user, asked.metadata or {})
        return await self._shown(session)

    async def delete(self, request: Request, user: str) -> Response:
        """Leave nothing of the session."""
        session = await self._own(request, user)
        await self._engine.erase(session)
        id_ = ids.conversation_id(session)
        return respond({"id": id_, "object": "conversation.deleted", "deleted": True})

    async def items(self, request: Request, user: str) -> Response:
        """What was said, the newest first, or with `order=asc` the oldest."""
        session = await self._own(request, user)
        query = request.query_params
        number, order = query.get("limit", ""), query.get("order", "desc")
        limit = int(number[:4]) if number.isascii() and number.isdigit() else 20
        if order not in {"asc", "desc"} or not 1 <= limit <= _PAGE:
            raise invalid(f"`order` is asc or desc, and `limit` a number from 1 to {_PAGE}.")
        after = query.get("after", "")
        found = await self._all(request, session)
        if order == "desc":
            found.reverse()
        if after:
            place = next((n for n, item in enumerate(found) if item["id"] == after), None)
            if place is None:
                raise missing("item", "after")
            found = found[place + 1 :]
        page = found[:limit]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        more = len(found) > limit
        return respond({"object": "list", "data": page, "has_more": more, **ends})

    async def item(self, request: Request, user: str) -> Response:
        session = await self._own(request, user)
        place = ids.read_item_id(request.path_params["item"])
        if place is None or place.session != session:
            raise missing("item")
        link = self._api.link(request, session)
        async for record in self._engine.records(session, place.seq - 1):
            item = item_of(session, record.seq, record.event, link)
            if record.seq == place.seq and item is not None:
                return respond(item)
            break
        raise missing("item")

    async def _all(self, request: Request, session: str) -> list[dict[str, Any]]:
        link = self._api.link(request, session)
        found: list[dict[str, Any]] = []
        async for record in self._engine.records(session):
            item = item_of(session, record.seq, record.event, link)
            if item is not None:
                found.append(item)
            if record.seq >= _RECORDS:
                break
        return found

    async def _own(self, request: Request, user: str) -> str:
        session = ids.read_conversation_id(request.path_params["id"])
        if session is None:
            raise missing("conversation")
        try:
            await self._engine.authorise(session, user)
        except Refused as refusal:
            if refusal.code != "unknown_session":
                raise
            raise missing("conversation") from None
        return session

    async def _note(self, session: str, user: str, metadata: dict[str, str]) -> None:
        value = Raw(msgspec.json.encode(metadata))
        command = Assign(id=secrets.token_hex(16), name=METADATA, value=value)
        await self._engine.send(session, user, command)

    async def _shown(self, session: str) -> Response:
        info = await self._engine.store.find(session)
        stored = (await self._engine.state_of(session)).variables.get(METADATA)
        return respond(
            {
                "id": ids.conversation_id(session),
                "object": "conversation",
                "created_at": 0 if info is None else int(info.created),
                "metadata": {} if stored is None else msgspec.json.decode(stored.value),
            }
        )


def _check(metadata: dict[str, str] | None) -> None:
    pairs = (metadata or {}).items()
    if len(pairs) > _PAIRS or any(len(name) > _KEY or len(text) > _TEXT for name, text in pairs):
        raise invalid(
            f"`metadata` has at most {_PAIRS} pairs: names of {_KEY} characters, texts of {_TEXT}.",
            "metadata",
        )
