"""An agent of one's own fits the protocol, and an app takes it. `make types` checks this file."""

from __future__ import annotations

from typing import assert_type

import parlour
from parlour.events import AnyEvent, Cause, Delta, UnknownEvent


class Echo:
    """The least an agent has to be."""

    @property
    def causes(self) -> frozenset[Cause]:
        return frozenset({"message"})

    async def respond(self, session: parlour.Session, round: parlour.Round, /) -> None:  # noqa: A002
        assert_type(round.message, parlour.Message | None)
        if round.message is not None:
            session.reply(round.message.text)


class Shown(parlour.EventHandler):
    """What a script may do with what happens."""

    def handle(self, event: AnyEvent | UnknownEvent | Delta) -> None:
        pass

    def question(self, question: parlour.OpenQuestion) -> object:
        return None


agent: parlour.Agent = Echo()
app = parlour.App(agent)


def script() -> None:
    with parlour.local(app, store="memory://") as running:
        assert_type(running, parlour.Running)
        session = running.get_session()
        assert_type(session, parlour.LocalSession)
        result = session.send_message("hi", Shown(), id="m1")
        assert_type(result, parlour.RoundResult)
        assert_type(result.cost, parlour.Cost)
        session.set("name", "Ada")
        session.close()
