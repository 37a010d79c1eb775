"""How sessions begin: with which profile, with which settings, and by which rules they go on."""

from __future__ import annotations

from msgspec import Raw

from parlour.app import App
from parlour.events import Event
from parlour.settings import Settings
from parlour.state import Rules, open_session


class Beginnings:
    """What is wanted of sessions that are being opened, and the rules of each profile."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._rules: dict[str, Rules] = {}
        self._wanted: dict[str, tuple[str, Raw | None]] = {}

    def expect(self, session: str, profile: str, settings: Raw | None) -> None:
        self._wanted[session] = (profile, settings)

    def forget(self, session: str) -> None:
        self._wanted.pop(session, None)

    def events(self, session: str, user: str, command: str) -> list[Event]:
        """A session's first events."""
        usual = (self._app.profile_named(""), None)
        profile, settings = self._wanted.get(session, usual)
        causes = self.rules_for(profile).causes
        return open_session(user, command, causes, profile=profile, settings=settings)

    def rules_for(self, profile: str) -> Rules:
        """What `decide` needs to know for a session of that profile."""
        rules = self._rules.get(profile)
        if rules is None:
            rules = self._rules[profile] = Rules(
                limits=self._settings.limits,
                incoming=self._settings.incoming,
                causes=self._app.causes_of(profile),
            )
        return rules
