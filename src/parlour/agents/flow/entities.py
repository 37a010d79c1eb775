"""Entities: what kinds of values there are, and where in a sentence one stands.

Each finds its values in a text; for slot filling it reads one that was asked for. Nothing is
evaluated that a user has said.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from parlour.agents.flow.extras import extra

_LONGEST = 2000
"""A sentence is looked through up to here."""
_CLOSE = 85.0
"""From this likeness on, of 100, a misspelt word is taken for an entry."""
_CERTAIN = 4
"""Words with fewer letters have to be right."""


class Found(NamedTuple):
    """A value at a place of a sentence."""

    start: int
    end: int
    value: Any


class Entity(Protocol):
    """A kind of value. `samples` are a few of them in words, for the examples of intents."""

    @property
    def name(self) -> str: ...

    @property
    def samples(self) -> Sequence[str]: ...

    @property
    def hint(self) -> str:
        """What may be answered, for people; "" if that goes without saying."""
        ...

    def find(self, text: str, now: dt.datetime) -> Iterable[Found]:
        """All values in a sentence that was said at `now`, from left to right; JSON."""
        ...

    def read(self, text: str, now: dt.datetime) -> Any:
        """The value of an answer that should be one. Raises `ValueError` with a complaint."""
        ...


class _Reading:
    """An answer is the first value that is found in it."""

    complaint = "I did not understand that."

    def find(self, text: str, now: dt.datetime) -> Iterable[Found]:
        raise NotImplementedError

    def read(self, text: str, now: dt.datetime) -> Any:
        for found in self.find(text[:_LONGEST], now):
            return found.value
        raise ValueError(self.complaint)


class Choices(_Reading):
    """An enumeration: values with their synonyms; small misspellings are understood."""

    def __init__(self, name: str, entries: Mapping[str, Sequence[str]]) -> None:
        if not entries:
            raise ValueError(f"the entity {name!r} needs at least one value")
        self.name = name
        self.entries = {value: tuple(synonyms) for value, synonyms in entries.items()}
        self._words: dict[str, str] = {}
        for value, synonyms in self.entries.items():
            for word in (value, *synonyms):
                known = self._words.setdefault(_plain(word), value)
                if known != value:
                    raise ValueError(f"{word!r} of the entity {name!r} means {known} and {value}")
        longest_first = sorted(self._words, key=len, reverse=True)
        words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
        self._most_words = max(word.count(" ") + 1 for word in self._words)

    @property
    def samples(self) -> Sequence[str]:
        return tuple(self.entries)

    @property
    def hint(self) -> str:
        return ", ".join(self.entries)

    @property
    def complaint(self) -> str:  # type: ignore[override]
        return f"Please choose one of: {self.hint}."

    def find(self, text: str, now: dt.datetime) -> Iterator[Found]:
        del now
        text = text[:_LONGEST]
        found = [
            Found(match.start(), match.end(), self._words[_plain(match[0])])
            for match in self._pattern.finditer(text)
        ]
        yield from found or self._nearly(text)

    def _nearly(self, text: str) -> Iterator[Found]:
        """Values that are misspelt in a sentence; very short words have to be right."""
        process = extra("rapidfuzz.process")
        scorer = extra("rapidfuzz.fuzz").ratio
        words = [word for word in self._words if len(word) >= _CERTAIN]
        tokens = list(re.finditer(r"\w+", text))[:100]
        at = 0
        while at < len(tokens):
            best: tuple[float, int, str] | None = None
            for count in range(1, self._most_words + 1):
                if at + count > len(tokens):
                    break
                part = _plain(text[tokens[at].start() : tokens[at + count - 1].end()])
                match = process.extractOne(part, words, scorer=scorer, score_cutoff=_CLOSE)
                if len(part) < _CERTAIN or match is None:
                    continue
                if best is None or match[1] > best[0]:
                    best = (match[1], count, match[0])
            if best is not None:
                _, count, word = best
                last = tokens[at + count - 1]
                yield Found(tokens[at].start(), last.end(), self._words[word])
                at += count
            else:
                at += 1


class Pattern(_Reading):
    """What fits a regular expression of the author's; the first group, if there is one."""

    def __init__(self, name: str, pattern: str, samples: Sequence[str]) -> None:
        self.name = name
        self.pattern = pattern
        self._compiled = re.compile(pattern)
        self.samples = tuple(samples) or (name,)
        self.hint = ""

    def find(self, text: str, now: dt.datetime) -> Iterator[Found]:
        del now
        for match in self._compiled.finditer(text[:_LONGEST]):
            if match.end() > match.start():
                value = match[1] if self._compiled.groups else match[0]
                yield Found(match.start(), match.end(), value)


_UNITS_UP_TO_19 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS_FROM_20 = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {
    **{word: number for number, word in enumerate(_UNITS_UP_TO_19.split(" "))},
    **{word: 10 * number for number, word in enumerate(_TENS_FROM_20.split(" "), 2)},
}
_DIGITS = frozenset(_UNITS_UP_TO_19.split(" ")[1:10])
_MOST_DIGITS = 30
_WORDS = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_NUMBER = re.compile(
    r"(?<![\w.,])[-+]?\d+(?:[.,]\d{3})*(?:[.,]\d+)?(?!\w)"
    rf"|\b(?:(?:{_TENS_FROM_20.replace(' ', '|')})[- ](?:{'|'.join(sorted(_DIGITS))})|{_WORDS})\b",
    re.IGNORECASE,
)


class Number(_Reading):
    """A number, in digits or in English words; with `whole`, only those without a fraction."""

    complaint = "Please give a number."

    def __init__(self, name: str, *, whole: bool) -> None:
        self.name = name
        self.whole = whole
        self.samples: Sequence[str] = ("2", "three", "10")
        self.hint = ""

    def find(self, text: str, now: dt.datetime) -> Iterator[Found]:
        del now
        for match in _NUMBER.finditer(text[:_LONGEST]):
            value = _number(match[0])
            if value is None or (self.whole and value != int(value)):
                continue
            yield Found(match.start(), match.end(), int(value) if self.whole else value)


def _number(text: str) -> float | None:
    if text[0].isalpha():
        first, _, second = text.lower().replace("-", " ").partition(" ")
        return float(_NUMBERS[first] + (_NUMBERS[second] if second else 0))
    if len(text) > _MOST_DIGITS:
        return None
    grouped = re.fullmatch(r"[-+]?\d{1,3}((?P<sign>[.,])\d{3})((?P=sign)\d{3})*", text)
    if grouped:
        return float(text.replace(grouped["sign"], ""))
    whole, mark, fraction = text.replace(",", ".").rpartition(".")
    return float(f"{whole.replace('.', '')}.{fraction}" if mark else text)


_UNITS = {
    "second": 1,
    "sec": 1,
    "minute": 60,
    "min": 60,
    "hour": 3600,
    "h": 3600,
    "day": 86_400,
    "night": 86_400,
    "week": 604_800,
}
_DURATION = re.compile(
    rf"\b(?P<count>\d+(?:[.,]\d+)?|half an|an?|{_WORDS})\s*"
    rf"(?P<unit>{'|'.join(sorted(_UNITS, key=len, reverse=True))})s?\b(?P<half> and a half)?",
    re.IGNORECASE,
)


class Duration(_Reading):
    """How long something takes, in seconds: `2 hours`, `ten minutes`, `an hour and a half`."""

    name = "duration"
    samples: Sequence[str] = ("2 hours", "ten minutes", "a week")
    hint = ""
    complaint = "Please say how long, like 2 hours."

    def find(self, text: str, now: dt.datetime) -> Iterator[Found]:
        del now
        for match in _DURATION.finditer(text[:_LONGEST]):
            count = match["count"].lower()
            number = {"half an": 0.5, "a": 1.0, "an": 1.0}.get(count)
            if number is None:
                number = _number(count) or 0.0
            number += 0.5 if match["half"] else 0.0
            yield Found(match.start(), match.end(), number * _UNITS[match["unit"].lower()])


class Date(_Reading):
    """A day, as `2026-12-24`: in words, digits or relative to when it was said."""

    name = "date"
    samples: Sequence[str] = ("tomorrow", "next friday", "the 24th of december")
    hint = ""
    complaint = "Please give a date."

    def __init__(self, languages: Sequence[str]) -> None:
        self._languages = list(languages)

    def find(self, text: str, now: dt.datetime) -> Iterator[Found]:
        search = extra("dateparser.search").search_dates
        found = search(
            text[:200],
            languages=self._languages,
            settings={
                "RELATIVE_BASE": now.replace(tzinfo=None),
                "PREFER_DATES_FROM": "future",
                "RETURN_AS_TIMEZONE_AWARE": False,
            },
        )
        end = 0
        for words, when in found or ():
            if not re.search(r"\d|[^\W\d]{3}", words):
                continue  # a word like `to` is no date
            start = max(text.find(words, end), 0)
            end = start + len(words)
            yield Found(start, end, when.date().isoformat())


class Text(_Reading):
    """Any words. In a sentence they are found by the words around them in an example."""

    samples: Sequence[str] = ("something",)
    hint = ""

    def __init__(self, name: str = "text") -> None:
        self.name = name

    def find(self, text: str, now: dt.datetime) -> Iterator[Found]:
        del text, now
        yield from ()

    def read(self, text: str, now: dt.datetime) -> Any:
        del now
        if not text.strip():
            raise ValueError("Please write something.")
        return text.strip()


_EMAIL = r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"


def standard_entities(languages: Sequence[str]) -> dict[str, Entity]:
    """The entities that every flow has."""
    entities: list[Entity] = [
        Number("int", whole=True),
        Number("number", whole=False),
        Date(languages),
        Duration(),
        Text(),
        Pattern("email", _EMAIL, ("ada@example.org",)),
    ]
    return {entity.name: entity for entity in entities}


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
