"""The same bot in the BESSER Agentic Framework. `python besser_echo.py PORT`"""

import logging
import sys

from baf.core.agent import Agent
from baf.core.session import Session
from baf.exceptions.logger import logger
from baf.library.transition.events.base_events import ReceiveTextEvent
from baf.platforms.websocket import WEBSOCKET_HOST, WEBSOCKET_PORT

logger.setLevel(logging.ERROR)
agent = Agent("echo")
agent.set_property(WEBSOCKET_HOST, "127.0.0.1")
agent.set_property(WEBSOCKET_PORT, int(sys.argv[1]))
agent.use_websocket_platform(use_ui=False)
listening = agent.new_state("listening", initial=True)
answering = agent.new_state("answering")


def answer(session: Session) -> None:
    session.reply(f"You said: {session.event.message}")


listening.when_event(ReceiveTextEvent()).go_to(answering)
answering.set_body(answer)
answering.go_to(listening)
agent.run()
