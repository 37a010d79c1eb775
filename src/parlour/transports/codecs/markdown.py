"""A conversation as Markdown, for people: who said what and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from parlour.events import FileRef, MessageAdded, QuestionAnswered, QuestionAsked, Record
from parlour.questions import ChoiceQuestion


def heading(title: str, at: float) -> str:
    """The first lines; `at` is in Unix seconds."""
    line = " ".join(title.split())
    return f"# {line}\n\n{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC\n"


def passages(records: Iterable[Record], *, user: str, bot: str) -> str:
    """What is said in some records; `user` and `bot` are what the two are called."""
    return "".join(_passage(record, user, bot) for record in records)


def _passage(record: Record, user: str, bot: str) -> str:
    match record.event:
        case MessageAdded(role="user", text=text, files=files):
            return _said(user, record.at, text, files)
        case MessageAdded(text=text, files=files):
            return _said(bot, record.at, text, files)
        case QuestionAsked(text=text, question=ChoiceQuestion(options=options)):
            listed = "".join(f"\n- {option.label}" for option in options)
            return _said(bot, record.at, f"{text}\n{listed}" if listed else text)
        case QuestionAsked(text=text):
            return _said(bot, record.at, text)
        case QuestionAnswered(text=text, files=files):
            return _said(user, record.at, text, files)
        case _:
            return ""


def _said(who: str, at: float, text: str, files: tuple[FileRef, ...] = ()) -> str:
    listed = "".join(f"\n- 📎 {_plain(file.name)}" for file in files)
    parts = [part for part in (text.strip(), listed.strip("\n")) if part]
    body = "\n\n".join(parts)
    return f"\n**{_plain(who)}** · {datetime.fromtimestamp(at, UTC):%H:%M}\n\n{body}\n"


def _plain(name: str) -> str:
    """A name in one line, in which nothing is markup."""
    line = " ".join(name.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#" else sign for sign in line)
