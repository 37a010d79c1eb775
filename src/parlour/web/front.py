"""What a page asks for before anything is said: the app's looks, starters, profiles, components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parlour.app import App
from parlour.offers import Visitor
from parlour.transports.identity import Identity
from parlour.web.assets import Asset
from parlour.web.looks import Dressed

_FOR_ALL = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
"""The chat may be a part of other sites' pages, and there is nothing of anybody in these files."""
_COMPONENT_PAGE = """<!doctype html>
<html>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="../static/component.css">
<script type="module" src="../static/component.js"></script>
<body data-module="{name}.js"></body>
</html>
"""
_MOST_LANGUAGES = 10


class Front:
    """Answers `/app`, `/looks.css`, `/looks/…` and `/components/…`."""

    def __init__(self, app: App, dressed: Dressed, identity: Callable[[], Identity]) -> None:
        self._app = app
        self._dressed = dressed
        self._identity = identity

    def routes(self) -> list[Route]:
        return [
            Route("/app", self._describe),
            Route("/looks.css", self._stylesheet),
            Route("/looks/{name}", self._file),
            Route("/components/{name}.js", self._component),
            Route("/components/{name}", self._component_page),
        ]

    @property
    def title(self) -> str:
        return self._dressed.looks.name or self._app.title

    @property
    def icon(self) -> str:
        """Where the picture for the browser's tab is."""
        return "looks/icon" if "icon" in self._dressed.files else "static/icon.svg"

    async def _describe(self, request: Request) -> Response:
        """What the app offers to this visitor."""
        app, looks = self._app, self._dressed.looks
        visitor = Visitor(
            id=self._identity().user_from(request.scope["headers"]) or "",
            languages=_languages(request.headers.get("accept-language", "")),
            profile=request.query_params.get("profile", "")[:64] or _usual(app),
        )
        offered: dict[str, Any] = {
            "title": self.title,
            "welcome": looks.welcome,
            "starters": await app.starters_for(visitor),
            "profiles": [
                {"name": one.name, "label": one.label, "description": one.description}
                for one in app.profiles
            ],
            "keys": app.user_env,
            "feedback": self._rates,
            "texts": self._dressed.texts(),
            "components": sorted(self._dressed.components),
            "styled": self._dressed.stylesheet is not None,
        }
        for name in ("logo", "logo-dark"):
            if name in self._dressed.files:
                offered[name.replace("-", "_")] = f"looks/{name}"
        if app.preferences is not None:
            offered["settings"] = {
                "schema": app.preferences.schema,
                "defaults": app.preferences.defaults,
            }
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(json.encode(offered), media_type="application/json", headers=headers)

    @property
    def _rates(self) -> bool:
        wanted = self._dressed.looks.feedback
        return "feedback" in self._app.agent.causes if wanted is None else wanted

    async def _stylesheet(self, request: Request) -> Response:
        sheet = self._dressed.stylesheet
        if sheet is None:
            return Response("", media_type="text/css", headers=_FOR_ALL)
        return _served(request, sheet, {})

    async def _file(self, request: Request) -> Response:
        found = self._dressed.files.get(request.path_params["name"])
        if found is None:
            return Response("Not found", 404, media_type="text/plain", headers=_FOR_ALL)
        # a drawing may hold scripts: none of them runs
        policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        return _served(request, found, {"Content-Security-Policy": policy})

    async def _component(self, request: Request) -> Response:
        found = self._dressed.components.get(request.path_params["name"])
        if found is None:
            return Response("Not found", 404, media_type="text/plain", headers=_FOR_ALL)
        return _served(request, found, {})

    async def _component_page(self, request: Request) -> Response:
        """The frame in which a component lives: no cookie, no storage, no network, no page."""
        name = request.path_params["name"]
        if name not in self._dressed.components:
            return Response("Not found", 404, media_type="text/plain", headers=_FOR_ALL)
        here = f"{request.url.scheme}://{request.url.netloc}"
        own = f"'self' {here}" if _is_plain(here) else "'self'"
        policy = (
            f"default-src 'none'; script-src {own}; style-src {own} 'unsafe-inline'; "
            f"img-src {own} data: blob:; font-src {own} data:; base-uri 'none'; "
            "form-action 'none'; sandbox allow-scripts"
        )
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
        }
        page = _COMPONENT_PAGE.format(name=name)
        return Response(page, media_type="text/html", headers=headers)


def _served(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    headers = {
        **_FOR_ALL,
        "Cache-Control": "no-cache",
        "ETag": asset.tag,
        **headers,
    }
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.kind, headers=headers)


def _usual(app: App) -> str:
    return app.profile_named("")


def _languages(header: str) -> tuple[str, ...]:
    names = [part.partition(";")[0].strip() for part in header[:500].split(",")]
    return tuple(name for name in names if name and name != "*")[:_MOST_LANGUAGES]


def _is_plain(origin: str) -> bool:
    """A Host header is the client's own; nothing but an address goes into a policy."""
    return all(sign.isalnum() or sign in ":/.-[]" for sign in origin)
