"""The assembled ASGI application: the engine's life, the wire, uploads, sign-in and the page."""

from parlour.web.application import WebApplication
from parlour.web.looks import load_looks

__all__ = ["WebApplication", "load_looks"]
