"""One ASGI application for one app: `/ws` straight to the wire, everything else through routes."""

from __future__ import annotations

import asyncio
import html
import logging
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from parlour.app import App
from parlour.engine import Engine
from parlour.engine.buses import bus_for
from parlour.engine.scope import hide
from parlour.errors import Refused, StoreError
from parlour.settings import Settings
from parlour.stores.address import files_for, is_shared, keys_for, open_store, secret_for
from parlour.transports.http import STATUS, HttpEndpoint
from parlour.transports.identity import COOKIE, COOKIE_SECONDS, Identity
from parlour.transports.websocket import Receive, Scope, Send, WebSocketEndpoint
from parlour.web.assets import Assets
from parlour.web.front import Front
from parlour.web.looks import PLAIN, Dressed
from parlour.web.office import Office
from parlour.web.openai import OpenAI
from parlour.web.shown import file_headers
from parlour.web.threads import Threads

if TYPE_CHECKING:
    from parlour.web.agui import Agui

log = logging.getLogger("parlour.web")

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; frame-src 'self' blob:; connect-src 'self'; font-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_FOREIGN: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "Last-Event-ID"],
}
"""What pages of the listed origins may do here; they have no cookie of ours, but a token."""
_NEAR = re.compile(r'((?:href|src)=")(?![a-z]+:|/)')
"""Addresses in the page that begin where it is."""


class WebApplication:
    """An app's server as an ASGI application; mountable under any path.

    The engine lives as long as the ASGI lifespan. Within another application, which does not pass
    that on, `lifespan` is the other's: `Starlette(routes=[Mount("/chat", chat)],
    lifespan=chat.lifespan)`, and the same with FastAPI. `store` is an address like `memory:` or
    `sqlite:///parlour.db`, `origins` are other sites whose pages may talk to this one, `looks` come
    from `load_looks(folder)`.
    """

    def __init__(
        self,
        app: App,
        *,
        store: str = "sqlite:///parlour.db",
        settings: Settings | None = None,
        origins: Iterable[str] = (),
        looks: Dressed = PLAIN,
        bus: str = "",
    ) -> None:
        self._app = app
        self._front = Front(app, looks, self._known_identity)
        self._store = store
        self._bus = bus
        self._settings = settings
        self._origins = tuple(origin.rstrip("/").lower() for origin in origins)
        self._assets = Assets()
        self._threads = Threads(self._front.title, _HEADERS, _problem)
        self._openai = OpenAI(app.title)
        self._agui = _agui(self._openai)
        self._endpoint: WebSocketEndpoint | None = None
        self._http: HttpEndpoint | None = None
        self._engine: Engine | None = None
        self._identity: Identity | None = None
        self._routes = Starlette(
            routes=[
                Route("/", self._page),
                Route("/static/{name}", self._asset),
                Route("/commands", self._commands, methods=["POST"]),
                Route("/sessions/{session}/events", self._events),
                *self._front.routes(),
                Route("/files", self._upload, methods=["POST"]),
                Route("/files/{session}/{file}", self._download),
                Route("/healthz", self._health),
                Route("/readyz", self._ready),
                Route("/shared/{token}", self._shared_page),
                *self._threads.routes,
                *self._openai.routes,
                *(() if self._agui is None else self._agui.routes),
            ],
            middleware=[Middleware(CORSMiddleware, **_FOREIGN, allow_origins=self._origins)],
            lifespan=self.lifespan,
        )

    @property
    def engine(self) -> Engine:
        """The running engine. Raises `RuntimeError` outside of the lifespan."""
        if self._engine is None:
            raise RuntimeError("the server does not run yet: start it with its ASGI lifespan")
        return self._engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hide(asyncio.current_task())
        if scope["type"] == "websocket":
            path: str = scope["path"].removeprefix(scope.get("root_path", ""))
            if path == "/ws" and self._endpoint is not None:
                await self._endpoint(scope, receive, send)
                return
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._routes(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        """Runs the engine, as the lifespan of this application or of the one it is mounted in."""
        secret = await asyncio.to_thread(secret_for, self._store)
        self._identity = Identity(secret, self._origins)
        engine = Engine(
            self._app,
            open_store(self._store),
            files=files_for(self._store),
            secret=secret,
            settings=self._settings,
            bus=bus_for(self._store, self._bus),
        )
        async with engine, self._office(engine):
            self._engine = engine
            self._endpoint = WebSocketEndpoint(engine, self._identity)
            self._http = HttpEndpoint(engine, self._identity)
            self._threads.begin(engine, self._identity)
            self._openai.begin(engine, keys_for(self._store), secret)
            if self._agui is not None:
                self._agui.begin(self._identity)
            try:
                yield
            finally:
                self._engine = None
                self._endpoint = None
                self._http = None

    def _office(self, engine: Engine) -> AbstractAsyncContextManager[object]:
        # A store in memory has no place where an operator could find the way in.
        # Nor has one that many serve any need of it.
        closed = self._store.startswith("memory:") or is_shared(self._store)
        return nullcontext() if closed else Office(engine, self._store)

    # -- pages ------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        page = self._assets.page().replace("{{title}}", html.escape(self._front.title))
        page = page.replace("{{icon}}", self._front.icon)
        response = Response(page, media_type="text/html", headers=_HEADERS)
        self._set_cookie(request, response)
        return response

    async def _shared_page(self, request: Request) -> Response:
        # The same for every token: whether there is such a link is told by its records.
        token = html.escape(request.path_params["token"][:100], quote=True)
        page = self._assets.page().replace("{{title}}", html.escape(self._front.title))
        page = page.replace("{{icon}}", self._front.icon)
        page = _NEAR.sub(r"\1../", page)
        page = page.replace("<parlour-chat ", f'<parlour-chat shared="{token}" ')
        page = page.replace("<head>", '<head>\n<meta name="robots" content="noindex">', 1)
        headers = {**_HEADERS, "Referrer-Policy": "no-referrer"}
        return Response(page, media_type="text/html", headers=headers)

    async def _asset(self, request: Request) -> Response:
        # A library of megabytes is packed the first time.
        asset = await asyncio.to_thread(self._assets.find, request.path_params["name"])
        if asset is None:
            return Response("Not found", 404, media_type="text/plain", headers=_HEADERS)
        headers = {**_HEADERS, "ETag": asset.tag, "Vary": "Accept-Encoding"}
        # the chat may be a part of other sites' pages, and there is nothing of anybody in it
        headers["Access-Control-Allow-Origin"] = "*"
        if asset.lasts:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.packed, media_type=asset.kind, headers=headers)
        return Response(asset.content, media_type=asset.kind, headers=headers)

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, _: Request) -> Response:
        """Whether to send anybody here: not while it ends, nor while its store is silent."""
        ready = self._engine is not None and self._engine.ready
        return JSONResponse({"status": "ok" if ready else "unavailable"}, 200 if ready else 503)

    def _set_cookie(self, request: Request, response: Response) -> None:
        identity = self._known_identity()
        user = identity.user_from(request.scope["headers"]) or identity.new_user()
        response.set_cookie(
            COOKIE,
            identity.token(user),
            max_age=COOKIE_SECONDS,
            path=request.scope.get("root_path") or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def _known_identity(self) -> Identity:
        if self._identity is None:
            raise RuntimeError("the server does not run yet: start it with its ASGI lifespan")
        return self._identity

    # -- the wire ---------------------------------------------------------------------------

    def end_streams(self) -> None:
        """End all streams of events, whose clients come back.

        A server that is stopped waits for them: call it when yours begins to.
        """
        self._openai.end_streams()
        if self._http is not None:
            self._http.end_streams()

    async def _commands(self, request: Request) -> Response:
        return await self._speaking().commands(request)

    async def _events(self, request: Request) -> Response:
        return await self._speaking().events(request)

    def _speaking(self) -> HttpEndpoint:
        if self._http is None:
            raise RuntimeError("the server does not run yet: start it with its ASGI lifespan")
        return self._http

    # -- files ------------------------------------------------------------------------------

    async def _upload(self, request: Request) -> Response:
        try:
            return await self._store_upload(request)
        except Refused as refusal:
            return _problem(refusal)
        except StoreError as error:
            log.error("an upload failed: %s", error)
            return _problem(Refused("unavailable", "The file could not be stored.", 5.0))
        except ClientDisconnect:
            return Response(status_code=400)

    async def _store_upload(self, request: Request) -> Response:
        user = self._user_of(request)
        if not self._known_identity().allows(request.scope["headers"]):
            raise Refused("unknown_session", "There is no such session.")
        session = request.query_params.get("session", "")
        engine = self.engine
        await engine.authorise(session, user)
        limits = engine.settings.limits
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limits.upload_bytes:
            raise Refused("too_large", f"A file may have at most {limits.upload_bytes:,} bytes.")
        if await asyncio.to_thread(engine.files.count, session) >= 2 * limits.files_per_session:
            raise Refused("too_many", "This session has too many files.")
        ref = await engine.files.add(
            session,
            request.stream(),
            name=request.query_params.get("name", "file"),
            type_=request.headers.get("content-type", ""),
            limit=limits.upload_bytes,
        )
        try:
            await engine.authorise(session, user)
        except Refused:
            # It was erased meanwhile.
            await asyncio.to_thread(engine.files.erase, session)
            raise
        content = {"id": ref.id, "name": ref.name, "type": ref.type, "size": ref.size}
        return JSONResponse(content, 201, headers=_HEADERS)

    async def _download(self, request: Request) -> Response:
        session, file = request.path_params["session"], request.path_params["file"]
        engine = self.engine
        try:
            await engine.authorise(session, self._user_of(request))
            ref = await asyncio.to_thread(engine.files.find, session, file)
            path = engine.files.path(session, file)
        except Refused as refusal:
            return _problem(refusal)
        headers = {
            **_HEADERS,
            **file_headers(ref, request.query_params.get("view")),
            "Cache-Control": "private, max-age=31536000, immutable",
        }
        return FileResponse(path, media_type=ref.type, headers=headers)

    def _user_of(self, request: Request) -> str:
        user = self._known_identity().user_from(request.scope["headers"])
        if user is None:
            raise Refused("unknown_session", "There is no such session.")
        return user


def _agui(api: OpenAI) -> Agui | None:
    """The routes of AG-UI, where its package is installed."""
    if find_spec("ag_ui") is None:
        return None
    from parlour.web.agui import Agui

    return Agui(api)


def _problem(refusal: Refused) -> Response:
    headers = dict(_HEADERS)
    if refusal.retry_after is not None:
        headers["Retry-After"] = f"{max(1, round(refusal.retry_after))}"
    content: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    return JSONResponse(content, STATUS.get(refusal.code, 400), headers=headers)
