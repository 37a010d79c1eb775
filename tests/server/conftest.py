"""Servers and visitors that end with their test, whatever happens in it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from client import Client
from live_server import LiveServer
from talker import Talker


def _no_noise(server: LiveServer) -> None:
    """Nothing was logged that nobody expects.

    What a handler raises is told with its trace.
    """
    errors = server.errors
    assert errors.count("Traceback") == errors.count("the handler raised"), errors
    for sign in ("Exception in ASGI", "never retrieved", "Task was destroyed"):
        assert sign not in errors, errors


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., LiveServer]]:
    """Starts a server for an app's source; at the end nothing unexpected was logged.

    `serve(source, PARLOUR_INCOMING="refuse")`; `quiet=False` where a traceback is expected.
    """
    servers: list[tuple[LiveServer, bool]] = []

    def start(
        source: str,
        *,
        store: str = "",
        options: tuple[str, ...] = (),
        quiet: bool = True,
        running: bool = True,
        **environment: str,
    ) -> LiveServer:
        folder = tmp_path / f"server{len(servers)}"
        server = LiveServer(folder, source, store=store, options=options)
        server.environment = environment
        servers.append((server, quiet))
        return server.start() if running else server

    with contextlib.ExitStack() as ends:
        ends.callback(lambda: [server.close() for server, _ in servers])
        yield start
    for server, quiet in servers:
        if quiet:
            _no_noise(server)


@pytest.fixture(scope="module")
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """One server for all tests of a module, made of the module's `APP` and `ENVIRONMENT`."""
    folder = tmp_path_factory.mktemp("shared")
    server = LiveServer(folder, request.module.APP, options=getattr(request.module, "OPTIONS", ()))
    server.environment = getattr(request.module, "ENVIRONMENT", {})
    server.start()
    try:
        yield server
    finally:
        server.close()
    _no_noise(server)


@pytest.fixture
def visit() -> Iterator[Callable[..., Client]]:
    """Makes visitors who have said hello: `visit(server)`, or the same one again: `as_=client`."""
    with contextlib.ExitStack() as clients:

        def make(server: LiveServer, *, as_: Client | None = None, name: str = "") -> Client:
            client = Client(server.ws, name=name, resume="" if as_ is None else as_.resume)
            clients.callback(client.leave)
            client.connect()
            return client

        yield make


@pytest.fixture
def meet() -> Iterator[Callable[..., Talker]]:
    """Makes visitors who have nothing but HTTP."""
    with contextlib.ExitStack() as ends:

        def make(server: LiveServer, **opening: object) -> Talker:
            talker = Talker(server, **opening)
            ends.callback(talker.http.close)
            return talker

        yield make
