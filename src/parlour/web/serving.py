"""Runs a `WebApplication` on uvicorn: sockets, signals, reloading, and the process's tuning."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import time
import webbrowser
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import uvicorn
from uvicorn.supervisors import ChangeReload

from parlour.app import App, load_app
from parlour.engine.buses import bus_for
from parlour.engine.scope import hide
from parlour.errors import AppNotLoaded, BadSettings
from parlour.settings import Limits, Settings, load_settings
from parlour.stores.address import is_shared
from parlour.web.application import WebApplication
from parlour.web.looks import load_looks
from parlour.web.patience import hurried, resolute
from parlour.web.supervising import inherited, supervise

log = logging.getLogger("parlour.web")

_SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter while others wait: the store's writer must not wait
for the 5 ms of Python's default when it comes back from the disk."""
_COLLECT = (20_000, 20, 50)
"""A round leaves no cycles behind, so the collector need not look so often."""
_BACKLOG = 2048
_SAY_AGAIN_SECONDS = 60.0
_PLAN = "PARLOUR_RUN"


@dataclass(frozen=True, kw_only=True)
class ServePlan:
    """What `parlour run` was told. `watch` reloads the code when a file changes.

    `bus` is an address, "" for the store's own; `workers` is how many processes serve.
    """

    app: str
    host: str = "127.0.0.1"
    port: int = 8000
    store: str = "sqlite:///parlour.db"
    bus: str = ""
    workers: int = 1
    origins: tuple[str, ...] = ()
    root_path: str = ""
    watch: bool = False
    open: bool = False


def serve(plan: ServePlan) -> None:
    """Serve until a signal says otherwise. Raises `AppNotLoaded`, `BadSettings`, `StoreError`."""
    app = None if plan.watch else load_app(plan.app)
    _check_together(plan)
    listener = _listen(plan)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}{plan.root_path}/"
    print(f"Parlour is at {address}  (Ctrl-C ends it)", flush=True)  # noqa: T201
    os.environ[_PLAN] = msgspec.json.encode(plan).decode()
    if plan.open:
        webbrowser.open(address)
    if app is None:
        config = _config(plan, "parlour.web.serving:application", factory=True)
        ChangeReload(config, target=_Ending(config).run, sockets=[listener]).run()
        return
    if plan.workers > 1:
        supervise(listener, plan.workers)
        return
    _serve_here(plan, app, listener)


def serve_as_worker() -> None:
    """Serve the plan in the environment on a supervisor's socket, and tell it when that is so."""
    plan = msgspec.json.decode(os.environ[_PLAN], type=ServePlan)
    listener, ready = inherited()
    _serve_here(plan, load_app(plan.app), listener, ready)


def _serve_here(plan: ServePlan, app: App, listener: socket.socket, ready: int = -1) -> None:
    server = _Server(_config(plan, build(plan, app), limits=_settings(plan, app).limits))
    server.ready = ready
    server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(3)


def _check_together(plan: ServePlan) -> None:
    """Raises `BadSettings` for what does not go together."""
    bus_for(plan.store, plan.bus)
    if plan.workers > 1 and not is_shared(plan.store):
        raise BadSettings(
            f"{plan.workers} workers need a store that they can share; give --store "
            "postgresql://host/database"
        )
    if plan.workers > 1 and (plan.watch or sys.platform == "win32"):
        raise BadSettings("several workers cannot be had with --watch, nor on Windows")


def application() -> WebApplication:
    """The application of the plan in the environment: what a reloaded process serves."""
    plan = msgspec.json.decode(os.environ[_PLAN], type=ServePlan)
    return build(plan, load_app(plan.app))


def build(plan: ServePlan, app: App) -> WebApplication:
    """The application that a plan asks for."""
    settings = _settings(plan, app)
    folder = Path(plan.app.partition(":")[0]).resolve().parent
    return WebApplication(
        app,
        store=plan.store,
        settings=settings,
        origins=plan.origins,
        looks=load_looks(folder),
        bus=plan.bus,
    )


def _settings(plan: ServePlan, app: App) -> Settings:
    if app.own_settings is not None:
        return app.own_settings
    folder = Path(plan.app.partition(":")[0]).resolve().parent
    settings = load_settings(folder, os.environ)
    return msgspec.structs.replace(settings, development=True) if plan.watch else settings


class _OnceInAWhile(logging.Filter):
    """Says what a client's bytes provoke once a minute and in a line, however many do it."""

    def __init__(self) -> None:
        super().__init__()
        self._again: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.startswith(("Invalid ", "Unsupported ")):
            return True
        record.exc_info = None
        now = time.monotonic()
        if now < self._again.get(message, 0.0):
            return False
        self._again[message] = now + _SAY_AGAIN_SECONDS
        return True


class _Ending(uvicorn.Server):
    """Ends its streams of events when it stops, for it would wait for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Any = cast("Any", self.config).loaded_app
        while not isinstance(app, WebApplication) and hasattr(app, "app"):
            app = app.app
        if isinstance(app, WebApplication):
            app.end_streams()
        await super().shutdown(sockets)


class _Server(_Ending):
    """Tunes the process for one busy event loop, once everything is loaded."""

    ready = -1
    """Where a supervisor is told that it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").addFilter(_OnceInAWhile())
        await super().startup(sockets)
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        if self.started and self.ready >= 0:
            os.write(self.ready, b"1")
            os.close(self.ready)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, but an end in order is exit code 0."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        serving = asyncio.ensure_future(super().serve(sockets))
        hide(serving)
        while not serving.done():
            # A handler that cancels all it finds does not end the server.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([serving])
        serving.result()
        if self.started:
            # Everything is stored and closed. A handler that swallows its cancellation, or a thread
            # that never returns, must not keep the process.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def _config(
    plan: ServePlan,
    app: WebApplication | str,
    *,
    limits: Limits | None = None,
    factory: bool = False,
) -> uvicorn.Config:
    folder = Path(plan.app.partition(":")[0]).resolve().parent
    # A reloading server hands its configuration to another process, which takes no such classes.
    http: Any = "h11" if limits is None else hurried(limits.hello_seconds)
    ws: Any = "websockets-sansio" if limits is None else resolute(limits.farewell_seconds)
    return uvicorn.Config(
        app,
        factory=factory,
        http=http,
        ws=ws,
        ws_max_size=2 * 1024 * 1024,
        ws_per_message_deflate=False,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        access_log=False,
        log_level="warning",
        lifespan="on",
        root_path=plan.root_path,
        server_header=False,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 1024,
        reload=plan.watch,
        reload_dirs=[str(folder)] if plan.watch else None,
    )


def _listen(plan: ServePlan) -> socket.socket:
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((plan.host, plan.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise AppNotLoaded(
            f"{plan.host}:{plan.port} cannot be listened on ({error.strerror}); "
            "stop what uses it, or give another --port (0 takes a free one)"
        ) from error
    listener.set_inheritable(True)
    return listener
