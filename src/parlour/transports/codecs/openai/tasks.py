"""Side jobs: titles, tags and the like, which front ends have a model do about a chat. Pure.

Open WebUI posts them with the chat's own id, before the user's message. They are no part of the
conversation, and so no session hears of them: what can be told from the words alone is told.
"""

from __future__ import annotations

import re

import msgspec

_HEAD = "### Task:"
_SIGNS = ("### Output", "<chat_history>", "### Guidelines", "JSON")
_HISTORY = re.compile(r"<chat_history>(.*?)</chat_history>", re.DOTALL)
_USER = re.compile(r"^\s*USER:\s*(.+)$", re.MULTILINE | re.IGNORECASE)
_WORDS = 6
_TITLE = 60
_EMPTY = (("follow_ups", "follow_ups"), ("queries", "queries"), ("tags", "tags"))


def is_task(text: str) -> bool:
    """Whether this is such a job, and nothing that a person says."""
    return text.lstrip().startswith(_HEAD) and any(sign in text for sign in _SIGNS)


def do_task(text: str) -> str:
    """What the job comes to: JSON of the form that it asks for."""
    prompt, history = _HISTORY.sub("", text), _HISTORY.search(text)
    for sign, name in _EMPTY:
        if f'"{sign}"' in prompt:
            return msgspec.json.encode({name: list[str]()}).decode()
    if '"text"' in prompt:
        return msgspec.json.encode({"text": ""}).decode()
    said = _USER.search(history[1] if history else text)
    words = " ".join((said[1] if said else "").split()[:_WORDS])[:_TITLE]
    return msgspec.json.encode({"title": words or "Conversation"}).decode()
