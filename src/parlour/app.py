"""The design, made once: which agent answers, and what happens around it. Holds nobody's data.

An app knows nothing of running: the same one is served, chatted with in a terminal, embedded in a
script and tested.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from uuid import uuid4

from parlour.agents.handlers import Handler
from parlour.agents.profiles import Profiles
from parlour.errors import AppNotLoaded, Refused
from parlour.events import Cause
from parlour.kernels.kernel import KernelFactory
from parlour.offers import Handling, Profile, Starter, UserKey, Visitor, starters_of, user_keys
from parlour.session import Agent, Checked
from parlour.session.preferences import Preferences
from parlour.settings import Settings

Broadcaster = Callable[[str, object, str], Awaitable[int]]
"""Sends a signal's name and data under a command's id to all sessions of one engine."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_UNNAMED = "parlour_app"


class App(Handling):
    """A conversation's design.

    With an `agent` of some style it answers as that does; without one, by the functions that
    `on_open`, `on_message` and their likes decorate. `title` is what users see; `settings`
    replaces those of parlour.toml for this app. `user_env` names the keys that each user brings,
    which handlers read in `session.user_env`; `kernels` makes what code runs in, instead
    of what the settings name.
    """

    def __init__(
        self,
        agent: Agent | None = None,
        *,
        title: str = "Parlour",
        settings: Settings | None = None,
        user_env: Iterable[UserKey | str] = (),
        kernels: KernelFactory | None = None,
    ) -> None:
        super().__init__(agent)
        self.title = title
        self.kernels = kernels
        self.own_settings = settings
        """What replaces the settings of parlour.toml."""
        self.user_env = user_keys(user_env)
        self.preferences: Preferences[Any] | None = None
        """What `settings` decorates, if anything."""
        self._agents = Profiles(self._own)
        self._profiles: dict[str, Profile] = {}
        self._starters: Any = ()
        self._wakers: list[Handler] = []
        self._broadcasters: list[Broadcaster] = []
        if isinstance(agent, Checked):
            agent.check()

    @property
    def agent(self) -> Agent:
        """What answers."""
        return self._agents if self._profiles else self._own

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

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """What a user may choose from when a conversation begins, the usual one first."""
        return tuple(self._profiles.values())

    def profile(
        self,
        name: str,
        agent: Agent | None = None,
        *,
        label: str = "",
        description: str = "",
        starters: Iterable[Starter | str] = (),
    ) -> Profile:
        """Another agent of this app, which users choose by its `label` when they begin.

        It has hooks like the app's own, unless an `agent` is given. The first one is the usual
        one. `name` stands in the log of each of its sessions: keep it when you change the label.
        """
        if name in self._profiles:
            raise ValueError(f"there is a profile {name!r} already; give each its own name")
        made = Profile(name, agent, label=label, description=description, starters=tuple(starters))
        if isinstance(agent, Checked):
            agent.check()
        self._profiles[name] = made
        self._agents.add(name, made.agent)
        return made

    def profile_named(self, name: str) -> str:
        """The name of the profile that is meant; "" is the usual one. Raises `Refused`."""
        if name and name not in self._profiles:
            raise Refused("invalid", "There is no such profile; choose another.")
        return name or next(iter(self._profiles), "")

    def agent_of(self, profile: str) -> Agent:
        """What answers in a session of that profile."""
        return self._agents.agent_of(profile) if self._profiles else self._own

    def causes_of(self, profile: str) -> frozenset[Cause]:
        """What a session of that profile answers."""
        return self._agents.causes_of(profile) if self._profiles else self._own.causes

    def starters(self, source: F) -> F:
        """`source()` or `source(visitor)` gives what a user may begin with: texts or `Starter`s.

        It is asked each time somebody looks at the start of a conversation.
        """
        self._starters = source
        return source

    async def starters_for(self, visitor: Visitor) -> list[Starter]:
        """What this visitor may begin with; nothing if that cannot be found out."""
        profile = self._profiles.get(visitor.profile)
        found = [] if profile is None else await profile.starters_for(visitor)
        return found or await starters_of(self._starters, visitor)

    def settings(self, kind: type[T]) -> type[T]:
        """A class of what users may set: a dataclass, msgspec struct or pydantic model.

        Each field has a default and becomes a field of the page's panel; handlers read them with
        `session.settings(TheClass)`. Raises `TypeError` or `ValueError` for a class that no form
        can be made of.
        """
        if self.preferences is not None:
            raise ValueError(
                f"the settings are {self.preferences.kind.__qualname__} already; an app has one "
                "such class, with groups in it if it is large"
            )
        self.preferences = Preferences(kind)
        return kind

    def on_wake(self, handler: F) -> F:
        """`handler(session)` rebuilds `session.local` whenever a session comes into memory.

        It may read the session; what it would record is refused, since it runs again at every
        wake.
        """
        self._wakers.append(handler)
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
