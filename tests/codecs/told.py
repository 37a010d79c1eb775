"""Short logs for the tests of dialects, and what they come to."""

import json

import msgspec
from msgspec import Raw

from parlour.events import FileRef, MessageAdded, QuestionAsked, TextStreamed
from parlour.questions import TextQuestion
from parlour.transports.codecs.openai.chat import Heading

SESSION = "0" * 31 + "1"
PICTURE = FileRef(id="f" * 32, name="a.png", type="image/png", size=3, alt="a [red] dot")
NOTES = FileRef(id="e" * 32, name="notes.txt", type="text/plain", size=3)


def link(file):
    return f"https://chat.example/{file.id[:2]}"


def heading(tool=None):
    return Heading(session=SESSION, model="desk", created=5.0, link=link, tool=tool)


def user(text="hi"):
    return MessageAdded(role="user", text=text, command="c1")


def bot(text, path="reply#1", **more):
    return MessageAdded(role="bot", text=text, path=path, **more)


def asked(text="Which?", question=None, **more):
    return QuestionAsked(path="ask#1", text=text, question=question or TextQuestion(), **more)


def streamed(text, offset=0, path="stream#1"):
    return TextStreamed(round=1, path=path, offset=offset, text=text)


def raw(value):
    return Raw(msgspec.json.encode(value))


def feed(dialect, first, *events):
    """Tell records from `first` on, and deltas between them; the events that come of it."""
    text = dialect.begin()
    seq = first
    for event in events:
        if isinstance(event, TextStreamed):
            text += dialect.delta(event)
        else:
            text += dialect.record(seq, 100.0 + seq, event)
            seq += 1
    text += dialect.settle()
    return sse(text)


def sse(text):
    """The data of server-sent events; what is no JSON as it is."""
    found = []
    for block in text.split("\n\n"):
        data = [line[6:] for line in block.splitlines() if line.startswith("data: ")]
        if data:
            found.append(json.loads(data[0]) if data[0] != "[DONE]" else data[0])
    return found
