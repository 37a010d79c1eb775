"""The routes under `/v1`: who asks, how often and how much, and what of it is refused how."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from parlour.engine import Engine
from parlour.errors import Refused, StoreError
from parlour.events import FileRef
from parlour.stores.keys import Keys
from parlour.transports.codecs.openai.errors import Problem, missing, unauthorised
from parlour.transports.codecs.openai.ids import shown_file_id
from parlour.transports.replies import ReplyStream
from parlour.web.openai.answers import problem, respond
from parlour.web.openai.conversations import Conversations
from parlour.web.openai.drawer import Drawer
from parlour.web.openai.replying import Replying
from parlour.web.pace import Pace

log = logging.getLogger("parlour.web")

_STRANGERS = 60
"""Requests without a valid key that one address may send in a minute."""
_BODY_SECONDS = 60.0
_PERSONS = ("x-openwebui-user-id", "x-user-id")
"""Headers by which a trusted gateway says for whom it asks."""
_PERSON = re.compile(r"[\x21-\x7e]{1,200}")
_SLUG = re.compile(r"[^a-z0-9]+")

Handler = Callable[[Request, str], Awaitable[Response]]


class OpenAI:
    """The routes, for a server whose engine and keys are known when it runs."""

    def __init__(self, title: str) -> None:
        self.model = _SLUG.sub("-", title.lower()).strip("-") or "parlour"
        """What the app is called in this dialect."""
        self._engine: Engine | None = None
        self._keys: Keys | None = None
        self._secret = b""
        self._pace = Pace(1, lambda: 0.0)
        self._strangers = Pace(1, lambda: 0.0)
        self._streams: set[ReplyStream] = set()
        self.drawer = Drawer(self)
        self._replying = Replying(self)
        replying, talks, drawer = self._replying, Conversations(self), self.drawer
        one, items = "/v1/responses/{id}", "/v1/conversations/{id}/items"
        self.routes = [
            self._route("GET", "/v1/models", self._models),
            self._route("GET", "/v1/models/{id}", self._model),
            self._route("POST", "/v1/chat/completions", replying.complete),
            self._route("POST", "/v1/responses", replying.respond),
            self._route("GET", one, replying.response),
            self._route("DELETE", one, replying.delete),
            self._route("POST", f"{one}/cancel", replying.cancel),
            self._route("GET", f"{one}/input_items", replying.input_items),
            self._route("POST", "/v1/conversations", talks.create),
            self._route("GET", "/v1/conversations/{id}", talks.read),
            self._route("POST", "/v1/conversations/{id}", talks.update),
            self._route("DELETE", "/v1/conversations/{id}", talks.delete),
            self._route("GET", items, talks.items),
            self._route("GET", f"{items}/{{item}}", talks.item),
            self._route("POST", "/v1/files", drawer.create),
            self._route("GET", "/v1/files", drawer.all),
            self._route("GET", "/v1/files/{id}", drawer.read),
            self._route("DELETE", "/v1/files/{id}", drawer.delete),
            Route("/v1/files/{id}/content", self._guarded(drawer.content, signed=True)),
            Route("/v1/{rest:path}", self._unknown, methods=["GET", "POST", "PUT", "DELETE"]),
        ]

    def begin(self, engine: Engine, keys: Keys, secret: bytes) -> None:
        """The server runs now; `secret` signs the addresses of files."""
        self._engine, self._keys = engine, keys
        self._secret = hmac.digest(secret, b"parlour.openai.files", "sha256")
        self._pace = Pace(engine.settings.limits.requests_per_minute, engine.monotonic)
        self._strangers = Pace(_STRANGERS, engine.monotonic)
        self._replying.begin(engine)

    def end_streams(self) -> None:
        """End what would else keep a server that stops."""
        for stream in tuple(self._streams):
            stream.end()

    def keep(self, stream: ReplyStream) -> None:
        """Have a stream end with the server."""
        self._streams.add(stream)
        stream.when_over = lambda: self._streams.discard(stream)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the server does not run yet: start it with its ASGI lifespan")
        return self._engine

    # -- who asks ---------------------------------------------------------------------------

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        return Route(path, self._guarded(handler), methods=[method])

    def _guarded(
        self, handler: Handler, *, signed: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """Answers whoever has a key; with `signed` also who has a signed address."""

        async def handle(request: Request) -> Response:
            try:
                key = request.query_params.get("key", "") if signed else ""
                if key and self._signature(request.path_params["id"], key):
                    user = ""
                else:
                    user = self._user(request)
                self._pace.take(user or f"address {_address(request)}")
                return await handler(request, user)
            except Refused as refusal:
                return problem(refusal)
            except StoreError as error:
                log.error("a request failed: %s", error)
                return problem(
                    Refused("unavailable", "The store cannot be reached; try again.", 1.0)
                )
            except (ClientDisconnect, TimeoutError):
                return Response(status_code=408)

        return handle

    def known_user(self, request: Request) -> str:
        """Whose key came with a request, which is counted. Raises `Problem`."""
        user = self._user(request)
        self.count(user)
        return user

    def count(self, user: str) -> None:
        """Count a request of a user. Raises `Refused` where there were too many."""
        self._pace.take(user)

    def _user(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = None
        if self._keys is not None and scheme.lower() == "bearer" and token:
            key = self._keys.find(token.strip())
        if key is None:
            self._strangers.take(_address(request))
            raise unauthorised(
                "That is no valid API key; the operator makes one with `parlour keys new NAME`."
            )
        if not key.trusted:
            return key.user
        person = _header(request.headers, _PERSONS)
        if not person:
            return key.user
        if _PERSON.fullmatch(person) is None:
            raise Problem(400, "invalid_value", "A user's id has 1 to 200 printable characters.")
        return f"{key.user}/{person}"

    # -- models -----------------------------------------------------------------------------

    async def _models(self, request: Request, user: str) -> Response:
        del request, user
        names = (self.model, f"{self.model}:task")
        return respond({"object": "list", "data": [_model(name) for name in names]})

    async def _model(self, request: Request, user: str) -> Response:
        del user
        self.check_model(request.path_params["id"])
        return respond(_model(request.path_params["id"]))

    def check_model(self, name: str) -> bool:
        """Whether `name` is for side jobs. Raises `Problem` if it is no model of ours."""
        if name not in {self.model, f"{self.model}:task"}:
            words = f"There is no model {name[:100]!r}; this server has {self.model!r}."
            raise Problem(404, "model_not_found", words, "model")
        return name != self.model

    async def _unknown(self, request: Request) -> Response:
        del request
        return problem(missing("route"))

    # -- bodies and addresses ---------------------------------------------------------------

    async def body(self, request: Request) -> bytes:
        """The request's body. Raises `Refused` past `limits.request_bytes`."""
        limit = self.engine.settings.limits.request_bytes
        data = bytearray()
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                data += piece
                if len(data) > limit:
                    raise Refused("too_large", f"A request may have {limit:,} bytes.")
        return bytes(data)

    def link(self, request: Request, session: str) -> Callable[[FileRef], str]:
        """The addresses of a session's files, for whoever reads what the bot said."""
        base = str(request.base_url)

        def address(ref: FileRef) -> str:
            file = shown_file_id(session, ref.id)
            return f"{base}v1/files/{file}/content?key={self._sign(file)}"

        return address

    def _sign(self, file: str) -> str:
        return hmac.digest(self._secret, file.encode(), "sha256")[:16].hex()

    def _signature(self, file: str, key: str) -> bool:
        return hmac.compare_digest(self._sign(file).encode(), key.encode("utf-8", "replace"))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "parlour"}


def _header(headers: Headers, names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := headers.get(name, ""))), "")


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""
