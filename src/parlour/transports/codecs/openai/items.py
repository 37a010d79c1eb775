"""A session's log as the items of a conversation. Pure."""

from __future__ import annotations

from typing import Any

from parlour.events import (
    AnswerRejected,
    AnyEvent,
    MessageAdded,
    PartBegun,
    QuestionAnswered,
    QuestionAsked,
    UnknownEvent,
)
from parlour.transports.codecs.asking import in_words
from parlour.transports.codecs.openai.ids import item_id
from parlour.transports.codecs.openai.transcript import Link, with_files


def item_of(
    session: str, seq: int, event: AnyEvent | UnknownEvent, link: Link
) -> dict[str, Any] | None:
    """The item that a record is to clients; None if it is not for them."""
    match event:
        case MessageAdded(role="user") | QuestionAnswered():
            return _item(session, seq, "user", with_files(event.text, event.files, link))
        case MessageAdded():
            return _item(session, seq, "assistant", with_files(event.text, event.files, link))
        case QuestionAsked():
            return _item(session, seq, "assistant", in_words(event))
        case AnswerRejected():
            return _item(session, seq, "user", event.text)
        case PartBegun():
            summary = {"type": "summary_text", "text": event.name}
            return {"id": item_id(session, seq), "type": "reasoning", "summary": [summary]}
        case _:
            return None


def _item(session: str, seq: int, role: str, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "input_text", "text": text}
    if role == "assistant":
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": item_id(session, seq),
        "type": "message",
        "role": role,
        "status": "completed",
        "content": [part],
    }
