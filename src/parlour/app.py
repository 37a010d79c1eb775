"""The design, made once: which agent answers, and what happens around it. Holds nobody's data.

An app knows nothing of running: the same one is served, chatted with in a terminal, embedded in a
script and tested.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from uuid import uuid4

from parlour.agents.handlers import Handler, Handlers
from parlour.errors import AppNotLoaded
from parlour.events import Cause
from parlour.session import Agent, Checked
from parlour.settings import Settings

Broadcaster = Callable[[str, object, str], Awaitable[int]]
"""Sends a signal's name and data under a command's id to all sessions of one engine."""

F = TypeVar("F", bound=Callable[..., Any])
_UNNAMED = "parlour_app"


class App:
    """A conversation's design.

    With an `agent` of some style it answers as that does; without one, by the functions that
    `on_open`, `on_message` and their likes decorate. `title` is what users see; `settings`
    replaces those of parlour.toml for this app.
    """

    def __init__(
        self,
        agent: Agent | None = None,
        *,
        title: str = "Parlour",
        settings: Settings | None = None,
    ) -> None:
        self.title = title
        self.settings = settings
        self._handlers = Handlers()
        self._agent: Agent = self._handlers if agent is None else agent
        self._wakers: list[Handler] = []
        self._broadcasters: list[Broadcaster] = []
        if isinstance(agent, Checked):
            agent.check()

    @property
    def agent(self) -> Agent:
        """What answers."""
        return self._agent

    @property
    def wakers(self) -> tuple[Handler, ...]:
        """What rebuilds `session.local` when a session comes into memory."""
        return tuple(self._wakers)

    def attach(self, broadcaster: Broadcaster) -> Callable[[], None]:
        """For engines: a way to all sessions of one that runs this app; what it returns ends it."""
        self._broadcasters.append(broadcaster)
        return lambda: self._broadcasters.remove(broadcaster)

    async def broadcast(self, name: str, data: object = None, *, id: str = "") -> int:  # noqa: A002
        """Send a signal to every open session, wherever in this process the app runs.

        Sessions that sleep are woken; each answers it in its turn. Returns how many took it. The
        same `id` again reaches only those that have not had it. Raises `Refused`, and
        `RuntimeError` where the app does not run.
        """
        if not self._broadcasters:
            raise RuntimeError("this app does not run here, so there is nobody to broadcast to")
        command = id or uuid4().hex
        return sum([await send(name, data, command) for send in tuple(self._broadcasters)])

    def on_open(self, handler: F) -> F:
        """`handler(session)` runs when a session begins."""
        return self._handle("open", handler)

    def on_message(self, handler: F) -> F:
        """`handler(session, message)` answers what the user says."""
        return self._handle("message", handler)

    def on_signal(self, handler: F) -> F:
        """`handler(session, signal)` answers a named event from the page or the application."""
        return self._handle("signal", handler)

    def on_reminder(self, handler: F) -> F:
        """`handler(session, reminder)` runs when the time of a `session.remind` has come."""
        return self._handle("reminder", handler)

    def on_stop(self, handler: F) -> F:
        """`handler(session)` runs after the user has stopped a round."""
        return self._handle("stop", handler)

    def on_close(self, handler: F) -> F:
        """`handler(session)` runs when the session is closed, before it is."""
        return self._handle("close", handler)

    def on_wake(self, handler: F) -> F:
        """`handler(session)` rebuilds `session.local` whenever a session comes into memory.

        It may read the session; what it would record is refused, since it runs again at every
        wake.
        """
        self._wakers.append(handler)
        return handler

    def _handle(self, cause: Cause, handler: F) -> F:
        if self._agent is not self._handlers:
            raise ValueError(
                f"this app answers by {type(self._agent).__name__}, so on_{cause} would never run; "
                f"put it there, or make the App without an agent"
            )
        self._handlers.add(cause, handler)
        return handler


def load_app(address: str) -> App:
    """The app in a file: `hello.py`, or `hello.py:name` where it is not called `app`.

    Raises `AppNotLoaded` that says what is missing.
    """
    file, _, name = address.partition(":") if ":" in Path(address).name else (address, "", "")
    path = Path(file)
    if not path.is_file():
        raise AppNotLoaded(f"there is no file {file}; give the path of the file that makes the App")
    module = _import(path)
    if name:
        found = getattr(module, name, None)
        if not isinstance(found, App):
            raise AppNotLoaded(f"{file} has no App called {name!r}")
        return found
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if "app" in apps:
        return apps["app"]
    if len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    if apps:
        raise AppNotLoaded(f"{file} has several Apps; say which one: {file}:{next(iter(apps))}")
    raise AppNotLoaded(f"{file} makes no App; write `app = parlour.App()` in it")


def app_files() -> dict[str, str]:
    """The loaded app files that no `import` finds by their name: module name to path."""
    return {
        name: str(module.__file__)
        for name, module in tuple(sys.modules.items())
        if name == _UNNAMED or name.startswith(f"{_UNNAMED}_")
    }


def _import(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    shadows = path.stem in sys.stdlib_module_names
    if folder not in sys.path:
        # Where it is called like a module of Python's own, who imports that must go on finding it.
        sys.path.insert(len(sys.path) if shadows else 0, folder)
    name = path.stem if path.stem.isidentifier() else _UNNAMED
    there = getattr(sys.modules.get(name), "__file__", None)
    if shadows or (name in sys.modules and there != str(path.resolve())):
        name = f"{_UNNAMED}_{name}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise AppNotLoaded(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
