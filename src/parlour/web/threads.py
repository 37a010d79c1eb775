"""The routes of a user's conversations (docs/wire.md): lists, titles, branches, links, exports.

Each checks who asks and how often, and hands over to the engine's catalogue. Who has a link, and
nothing else, may read what it leads to.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from parlour.engine import Engine
from parlour.engine.catalogue import ThreadInfo
from parlour.errors import Refused, StoreError
from parlour.events import decode_chunk
from parlour.stores.export import export_sessions
from parlour.stores.store import Branch, SessionInfo, Share
from parlour.transports.codecs import markdown, native
from parlour.transports.identity import Identity
from parlour.web.pace import Pace
from parlour.web.shown import file_headers

log = logging.getLogger("parlour.web")

T = TypeVar("T")
Handler = Callable[[Request, str], Awaitable[Response]]

_LISTED = 30
_SHARED_RECORDS = 500
_SHARED_BYTES = 1024 * 1024
_TITLES = 1000
_EXPORTS = 2
_NAME = 60


class _Rename(Struct):
    title: str


class _Branch(Struct):
    id: str
    before: native.Seq
    text: str | None = None
    files: list[str] | None = None


class Threads:
    """The routes, for a server whose engine and identity are known when it runs."""

    def __init__(
        self, title: str, headers: Mapping[str, str], problem: Callable[[Refused], Response]
    ) -> None:
        """`headers` are those of every answer, `problem` makes one of a refusal."""
        self._title = title
        self._headers = headers
        self._problem = problem
        self._engine: Engine | None = None
        self._identity: Identity | None = None
        self._pace = Pace(1, lambda: 0.0)
        self._names: OrderedDict[str, str] = OrderedDict()
        self._exporting: set[str] = set()
        self.routes = [
            Route("/threads", self._checked(self._list)),
            Route("/threads/{session}", self._checked(self._change), methods=["POST", "DELETE"]),
            Route("/threads/{session}/branches", self._checked(self._branches)),
            Route("/threads/{session}/branches", self._checked(self._branch), methods=["POST"]),
            Route("/threads/{session}/shares", self._checked(self._share), methods=["POST"]),
            Route("/threads/{session}/export", self._checked(self._export)),
            Route("/shares", self._checked(self._shares)),
            Route("/shares/{token}", self._checked(self._unshare), methods=["DELETE"]),
            Route("/shared/{token}/records", self._open(self._shared)),
            Route("/shared/{token}/files/-/{file}", self._open(self._shared_file)),
        ]

    def begin(self, engine: Engine, identity: Identity) -> None:
        """The server runs now."""
        self._engine, self._identity = engine, identity
        self._pace = Pace(engine.settings.limits.requests_per_minute, engine.monotonic)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the server does not run yet: start it with its ASGI lifespan")
        return self._engine

    # -- who asks, and how often ------------------------------------------------------------

    def _checked(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """For users: whoever has no token is nobody, to whom nothing belongs."""

        async def handle(request: Request) -> Response:
            identity = self._identity
            headers = request.scope["headers"]
            user = None if identity is None else identity.user_from(headers)
            foreign = request.method != "GET" and identity and not identity.allows(headers)
            if user is None or foreign:
                return self._problem(Refused("unknown_session", "There is no such session."))
            return await self._answered(user, handler(request, user))

        return handle

    def _open(
        self, handler: Callable[[Request, Share], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """For anybody who has a link."""

        async def handle(request: Request) -> Response:
            token = request.path_params["token"][:100]

            async def answer() -> Response:
                return await handler(request, await self.engine.catalogue.shared(token))

            return await self._answered(f"link {token}", answer())

        return handle

    async def _answered(self, who: str, answer: Awaitable[Response]) -> Response:
        try:
            self._pace.take(who)
        except Refused as refusal:
            if asyncio.iscoroutine(answer):
                answer.close()
            return self._problem(refusal)
        try:
            return await answer
        except Refused as refusal:
            return self._problem(refusal)
        except StoreError as error:
            log.error("a request failed: %s", error)
            return self._problem(
                Refused("unavailable", "The store cannot be reached; try again.", 1.0)
            )
        except ClientDisconnect:
            return Response(status_code=400)

    async def _body(self, request: Request, kind: type[T]) -> T:
        limit = self.engine.settings.limits.frame_bytes
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > limit:
                raise Refused("too_large", f"A request may have {limit:,} bytes.")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("invalid", f"That is no such request: {str(error)[:200]}.") from None

    def _json(self, content: dict[str, Any], status: int = 200) -> Response:
        return JSONResponse(content, status, headers=dict(self._headers))

    # -- lists ------------------------------------------------------------------------------

    async def _list(self, request: Request, user: str) -> Response:
        query = request.query_params
        number = query.get("limit", "")
        page = await self.engine.catalogue.page(
            user,
            query.get("q", ""),
            after=query.get("after", ""),
            limit=int(number) if number.isascii() and number.isdigit() else _LISTED,
        )
        content: dict[str, Any] = {"threads": [_thread(thread) for thread in page.threads]}
        if page.next:
            content["next"] = page.next
        if not page.complete:
            content["complete"] = False
        return self._json(content)

    async def _change(self, request: Request, user: str) -> Response:
        session = request.path_params["session"]
        if request.method == "DELETE":
            await self.engine.catalogue.erase(session, user)
        else:
            rename = await self._body(request, _Rename)
            await self.engine.catalogue.rename(session, user, rename.title)
        return Response(status_code=204, headers=dict(self._headers))

    async def _branches(self, request: Request, user: str) -> Response:
        found = await self.engine.catalogue.branches(request.path_params["session"], user)
        settings = self.engine.settings
        may = {"branch": settings.branching, "share": settings.sharing}
        return self._json(
            {
                "branches": [_branch(branch) for branch in found],
                "may": [name for name, allowed in may.items() if allowed],
            }
        )

    async def _branch(self, request: Request, user: str) -> Response:
        asked = await self._body(request, _Branch)
        accepted = await self.engine.catalogue.branch(
            request.path_params["session"],
            user,
            before=asked.before,
            command=asked.id,
            text=asked.text,
            files=asked.files,
        )
        return self._json({"session": accepted.session, "seq": accepted.seq}, 201)

    # -- links ------------------------------------------------------------------------------

    async def _shares(self, _: Request, user: str) -> Response:
        found = await self.engine.catalogue.shares(user)
        return self._json({"shares": [_share(share, info) for share, info in found]})

    async def _share(self, request: Request, user: str) -> Response:
        share = await self.engine.catalogue.share(request.path_params["session"], user)
        info = await self.engine.store.find(share.session)
        return self._json(_share(share, info), 201)

    async def _unshare(self, request: Request, user: str) -> Response:
        await self.engine.catalogue.unshare(request.path_params["token"][:100], user)
        return Response(status_code=204, headers=dict(self._headers))

    async def _shared(self, request: Request, share: Share) -> Response:
        number = request.query_params.get("after", "")
        place = int(number[:18]) if number.isascii() and number.isdigit() else 0
        frames: list[str] = []
        size, start = 0, place
        while place < share.upto and size < _SHARED_BYTES and place - start < _SHARED_RECORDS:
            chunks = await self.engine.store.read(share.session, place, 32)
            if not chunks:
                raise Refused("unknown_link", "There is no such link.")
            for chunk in chunks:
                events = decode_chunk(chunk.data)
                skip = max(0, place + 1 - chunk.first)
                shown = events[skip : max(0, share.upto + 1 - chunk.first)]
                if shown:
                    frame = native.encode_shown("", chunk.first + skip, chunk.at, shown)
                    frames.append(frame)
                    size += len(frame)
                    place = chunk.first + skip + len(shown) - 1
        head = {"title": await self._name(share), "at": share.at}
        after = f',"next":{place}' if place < share.upto else ""
        content = (
            f'{msgspec.json.encode(head).decode()[:-1]},"frames":[{",".join(frames)}]{after}}}'
        )
        return Response(content, media_type="application/json", headers=dict(self._headers))

    async def _name(self, share: Share) -> str:
        """What the session was called when the link was made."""
        name = self._names.get(share.token)
        if name is None:
            state = await self.engine.state_of(share.session, at=share.upto)
            name = self._names[share.token] = state.name.text
            if len(self._names) > _TITLES:
                self._names.popitem(last=False)
        return name

    async def _shared_file(self, request: Request, share: Share) -> Response:
        file = request.path_params["file"]
        state = await self.engine.state_of(share.session, at=share.upto)
        if not any(ref.id == file for ref in state.files):
            raise Refused("unknown_file", "There is no such file.")
        ref = await asyncio.to_thread(self.engine.files.find, share.session, file)
        headers = {**self._headers, **file_headers(ref, request.query_params.get("view"))}
        path = self.engine.files.path(share.session, file)
        return FileResponse(path, media_type=ref.type, headers=headers)

    # -- exports ----------------------------------------------------------------------------

    async def _export(self, request: Request, user: str) -> Response:
        session = request.path_params["session"]
        branches = await self.engine.catalogue.branches(session, user)
        info = next(branch.info for branch in branches if branch.info.id == session)
        name = f"{_file_name(info.title) or 'conversation'}"
        if request.query_params.get("as") == "json":
            return await self._zip(user, branches, f"{name}.zip")
        you = request.query_params.get("you", "You")[:40]
        return StreamingResponse(
            self._markdown(info, you),
            media_type="text/markdown; charset=utf-8",
            headers={**self._headers, **_attachment(f"{name}.md")},
        )

    async def _markdown(self, info: SessionInfo, you: str) -> AsyncGenerator[bytes]:
        yield markdown.heading(info.title or self._title, info.created).encode()
        async for record in self.engine.records(info.id):
            passage = markdown.passages([record], user=you, bot=self._title)
            if passage:
                yield passage.encode()

    async def _zip(self, user: str, branches: tuple[Branch, ...], name: str) -> Response:
        if user in self._exporting or len(self._exporting) >= _EXPORTS:
            raise Refused("too_many", "Another export is being made; try again in a moment.", 5.0)

        async def infos() -> AsyncGenerator[SessionInfo]:
            for branch in branches:
                yield branch.info

        self._exporting.add(user)
        try:
            folder = Path(await asyncio.to_thread(mkdtemp, prefix="parlour-export-"))
            remove = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
            target = folder / f"{secrets.token_hex(8)}.zip"
            try:
                await export_sessions(
                    self.engine.store, self.engine.files, infos(), target, show=native.shown
                )
            except BaseException:
                await remove()
                raise
        finally:
            self._exporting.discard(user)
        headers = {**self._headers, **_attachment(name)}
        return FileResponse(
            target, media_type="application/zip", headers=headers, background=remove
        )


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


def _file_name(title: str) -> str:
    """A title as the name of a file, on any system."""
    plain = "".join(sign if sign.isalnum() or sign in " -_" else " " for sign in title)
    return " ".join(plain[:_NAME].split())


def _thread(thread: ThreadInfo) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": thread.id,
        "session": thread.session,
        "title": thread.title,
        "created": thread.created,
        "updated": thread.updated,
        "doing": thread.standing.doing,
    }
    if thread.standing.told:
        content["told"] = thread.standing.told
    if thread.closed:
        content["closed"] = True
    if thread.excerpt:
        content["excerpt"] = thread.excerpt
    return content


def _branch(branch: Branch) -> dict[str, Any]:
    content: dict[str, Any] = {"session": branch.info.id, "updated": branch.info.updated}
    if branch.origin:
        content |= {"origin": branch.origin, "upto": branch.upto}
    return content


def _share(share: Share, info: SessionInfo | None) -> dict[str, Any]:
    return {
        "token": share.token,
        "session": share.session,
        "title": "" if info is None else info.title,
        "at": share.at,
        "records": share.upto,
    }
