"""Several agents in one app: each session has the one that was chosen when it was opened."""

from __future__ import annotations

from collections.abc import Awaitable

from parlour.events import Cause
from parlour.session import Agent, Round, Session


class Profiles:
    """An agent made of named ones. What a session's own does not answer, `common` does."""

    def __init__(self, common: Agent) -> None:
        self._common = common
        self._agents: dict[str, Agent] = {}

    def add(self, name: str, agent: Agent) -> None:
        self._agents[name] = agent

    @property
    def causes(self) -> frozenset[Cause]:
        return self._common.causes.union(*(agent.causes for agent in self._agents.values()))

    def causes_of(self, profile: str) -> frozenset[Cause]:
        """What a session of that profile answers."""
        return self._common.causes | self.agent_of(profile).causes

    def respond(self, session: Session, round: Round, /) -> Awaitable[None]:  # noqa: A002
        agent = self.agent_of(session.profile)
        if round.cause not in agent.causes:
            agent = self._common
        return agent.respond(session, round)

    def agent_of(self, profile: str) -> Agent:
        """A profile that is gone leaves its sessions to the first one."""
        return self._agents.get(profile) or next(iter(self._agents.values()), self._common)
