"""The assembled ASGI application: the engine's life, the wire, uploads, sign-in and the page."""

from parlour.web.application import WebApplication

__all__ = ["WebApplication"]
