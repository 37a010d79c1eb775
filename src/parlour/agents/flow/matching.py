"""From a sentence and its intent to the values of the intent's parameters."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from parlour.agents.flow.entities import Found, Text
from parlour.agents.flow.intents import Intent, parts_of

_LONGEST = 300
_MOST_PARTS = 5
"""Text, slot, text, slot, text: with more, looking for them could take long."""


def parameters_in(intent: Intent, sentence: str, now: dt.datetime) -> dict[str, Any]:
    """The values of the intent's parameters that stand in the sentence.

    Where several parameters are of one kind, the word before a value decides, as it stands before
    the parameter in an example; else their order.
    """
    found: dict[str, Any] = {}
    taken: list[Found] = []
    before = _words_before(intent)
    by_kind: dict[str, list[str]] = {}
    for slot in intent.slots.values():
        if not isinstance(slot.entity, Text):
            by_kind.setdefault(slot.entity.name, []).append(slot.name)
    # The kinds with fewer values take theirs first: in "2 hours" there is no other number.
    for kind in sorted(by_kind, key=lambda kind: kind in ("int", "number")):
        names = by_kind[kind]
        entity = intent.slots[names[0]].entity
        values = [item for item in entity.find(sentence, now) if not _overlaps(item, taken)]
        left = list(names)
        for item in list(values):
            word = _word_before(sentence, item.start)
            wanted = [name for name in left if word in before[name]]
            if word and len(wanted) == 1:
                found[wanted[0]] = item.value
                left.remove(wanted[0])
                values.remove(item)
                taken.append(item)
        for name, item in zip(left, values, strict=False):
            found[name] = item.value
            taken.append(item)
    return found | _texts_in(intent, sentence)


def _overlaps(item: Found, taken: list[Found]) -> bool:
    return any(item.start < other.end and other.start < item.end for other in taken)


def _word_before(sentence: str, end: int) -> str:
    words = re.findall(r"\w+", sentence[max(0, end - 40) : end].lower())
    return words[-1] if words else ""


def _words_before(intent: Intent) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in intent.slots}
    for example in intent.examples:
        parts = parts_of(example)
        for text, name in zip(parts[::2], parts[1::2], strict=False):
            word = _word_before(text, len(text))
            if word:
                found[name].add(word)
    # What stands before several of them tells nothing.
    return {
        name: {w for w in words if sum(w in other for other in found.values()) == 1}
        for name, words in found.items()
    }


def _texts_in(intent: Intent, sentence: str) -> dict[str, str]:
    """Parameters of any words, by the example whose other words the sentence has."""
    wanted = {name for name, slot in intent.slots.items() if isinstance(slot.entity, Text)}
    if not wanted:
        return {}
    best: dict[str, str] = {}
    longest = 0
    for example in intent.examples:
        parts = parts_of(example)
        fixed = sum(len(part.strip()) for part in parts[::2])
        if len(parts) > _MOST_PARTS:
            continue
        match = _pattern(parts, wanted).search(sentence[:_LONGEST])
        if match is not None and fixed > longest:
            longest = fixed
            best = {name: value.strip(" .!?") for name, value in match.groupdict().items()}
    return {name: value for name, value in best.items() if value}


def _pattern(parts: list[str], wanted: set[str]) -> re.Pattern[str]:
    pieces: list[str] = []
    seen: set[str] = set()
    for text, name in zip(parts[::2], [*parts[1::2], ""], strict=True):
        words = re.findall(r"\w+", text)
        if words:
            pieces.append(r"\W+".join(re.escape(word) for word in words))
        if name:
            first = name in wanted and name not in seen
            pieces.append(rf"(?P<{name}>.{{1,80}}?)" if first else r".{1,80}?")
            seen.add(name)
    return re.compile(r"\b" + r"\W+".join(pieces) + r"\W*$", re.IGNORECASE)
