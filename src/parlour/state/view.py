"""What a handler may read, brought forward event by event: the same live and in a replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from parlour.events import (
    AnyEvent,
    FileRef,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    TitleSet,
    VariableDeleted,
    VariableSet,
)
from parlour.state.model import (
    Heard,
    Link,
    Name,
    Outside,
    RoundState,
    Said,
    Stored,
    View,
    Window,
)

PART = 16
"""New messages become a block when they are this many."""
_LONG = 4096
"""Messages stand in one block with others up to this many characters."""

_WORDS = 80
"""A session is called by so many characters of what was said first."""

Entry = tuple[int, AnyEvent, float]
"""Something of a round's log: its seq, the event, and when it was recorded."""


def named(name: Name, text: str, files: Sequence[FileRef], *, spoken: bool) -> Name:
    """What a session is called after the user said something: in a message, or as an answer."""
    if name.spoken or (name.words and not spoken):
        return name
    words = _first_words(text) or (files[0].name if files else "")
    return Name(name.title, words, spoken)


def _first_words(text: str) -> str:
    start = " ".join(text[: 4 * _WORDS].split())
    if len(start) <= _WORDS:
        return start
    cut = start[:_WORDS].rfind(" ")
    return f"{start[: cut if cut > _WORDS // 2 else _WORDS - 1]}…"


def longer(heard: Heard, said: Said, window: Window) -> Heard:
    """The newest messages, with one more."""
    more = len(said.text)
    if heard.length and heard.size + more >= _LONG:
        heard = _blocked(heard, window)
    link, length, size = Link(said, heard.newest), heard.length + 1, heard.size + more
    heard = Heard(heard.blocks, link, length, size)
    return heard if length < PART and size < _LONG else _blocked(heard, window)


def _blocked(heard: Heard, window: Window) -> Heard:
    """The newest messages are a block now; those before that nobody needs any more are gone."""
    blocks = (*heard.blocks, (heard.size, heard.tail))
    messages = sum([len(block) for _, block in blocks])
    total = sum([size for size, _ in blocks])
    drop = 0
    for size, block in blocks[:-1]:
        if messages - len(block) < window.messages and total <= window.bytes:
            break
        messages, total, drop = messages - len(block), total - size, drop + 1
    return Heard(blocks[drop:])


def with_files(files: tuple[FileRef, ...], more: tuple[FileRef, ...]) -> tuple[FileRef, ...]:
    """All files of a session; a bot may show one again that is there already."""
    return files + tuple([file for file in more if file not in files]) if more else files


def bring_forward(view: View, entry: Entry, window: Window) -> View:  # noqa: PLR0911
    """What can be read after an event of the round's log, as `evolve` makes it."""
    seq, event, at = entry
    match event:
        case VariableSet():
            variables = {
                name: value for name, value in view.variables.items() if name != event.name
            }
            variables[event.name] = Stored(event.value, event.kind)
            return replace(view, variables=variables)
        case VariableDeleted():
            variables = {
                name: value for name, value in view.variables.items() if name != event.name
            }
            return replace(view, variables=variables)
        case TitleSet():
            return replace(view, name=replace(view.name, title=event.title))
        case MessageAdded():
            said = Said(seq, event.role, event.text, event.files, at)
            name = view.name
            if event.role == "user":
                name = named(name, event.text, event.files, spoken=True)
            heard = longer(view.heard, said, window)
            files = with_files(view.files, event.files)
            return View(view.variables, heard, files, name)
        case QuestionAsked():
            said = Said(seq, "bot", event.text, (), at)
            return replace(view, heard=longer(view.heard, said, window))
        case QuestionAnswered():
            said = Said(seq, "user", event.text, event.files, at)
            name = named(view.name, event.text, event.files, spoken=False)
            heard = longer(view.heard, said, window)
            return View(view.variables, heard, view.files + event.files, name)
        case _:
            return view


def comes_from_outside(running: RoundState) -> list[Entry]:
    """What the round's handler did not cause, in order: answers, messages, variables."""
    entries = [_outside(item) for item in running.outside]
    entries += [
        (effect.settled, effect.outcome, effect.settled_at)
        for effect in running.journal.values()
        if isinstance(effect.outcome, QuestionAnswered)
    ]
    return sorted(entries, key=_place)


def view_at(running: RoundState, seq: int, window: Window) -> View:
    """What the round's handler could read when record `seq` was the newest."""
    entries: list[Entry] = [
        (effect.seq, effect.event, effect.at) for effect in running.journal.values()
    ]
    return bring_all(
        running.base,
        [entry for entry in entries + comes_from_outside(running) if entry[0] <= seq],
        window,
    )


def bring_all(view: View, entries: Iterable[Entry], window: Window) -> View:
    for entry in sorted(entries, key=_place):
        view = bring_forward(view, entry, window)
    return view


def _outside(item: Outside) -> Entry:
    return item.seq, item.event, item.at


def _place(entry: Entry) -> int:
    return entry[0]
