"""The terminal: a conversation in scrollback, with questions as prompts.

`chat_here` runs an app in this process and talks to one of its sessions. `conversation` follows
the session, `asking` and `fields` turn questions into prompts, `plain` and `live` are the two
kinds of screens (`screen` is their seam), `visible` makes foreign text harmless. Nothing here
decides what an answer may be, or keeps anything.
"""

from parlour.transports.terminal.conversation import ChatPlan, chat_here
from parlour.transports.terminal.visible import visible

__all__ = ["ChatPlan", "chat_here", "visible"]
