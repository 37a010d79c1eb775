"""Intents and their examples, and what a classifier says of a sentence."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from parlour.agents.flow.calls import declared

if TYPE_CHECKING:
    from parlour.agents.flow.entities import Entity

_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
_SAMPLES = 3


class Slot(Struct, frozen=True):
    """A parameter of an intent: `{nights:int}` in its examples.

    If it is `required` and the sentence has it not, it is asked for with `ask`.
    """

    name: str
    entity: Entity
    required: bool = False
    ask: str = ""


class Intent:
    """Something a user may want, told by examples; made by `flow.intent`."""

    def __init__(
        self, name: str, examples: Sequence[str], slots: dict[str, Slot], description: str
    ) -> None:
        self.name = name
        self.examples = tuple(examples)
        self.slots = slots
        self.description = description
        self.line = declared()

    def __repr__(self) -> str:
        return f"<Intent {self.name}>"

    @property
    def title(self) -> str:
        """How it is called where users are asked back."""
        return self.description or self.name.replace("_", " ")

    def sentences(self) -> tuple[str, ...]:
        """The examples with values in place of the parameters, as a classifier learns them."""
        return tuple(dict.fromkeys(s for example in self.examples for s in self._filled(example)))

    def _filled(self, example: str) -> Iterator[str]:
        found = [match[1] for match in _SLOT.finditer(example)]
        rounds = max([1, *(min(_SAMPLES, len(self.slots[n].entity.samples)) for n in found)])
        for number in range(rounds):

            def value(match: re.Match[str], number: int = number) -> str:
                samples = self.slots[match[1]].entity.samples
                return samples[number % len(samples)]

            yield _SLOT.sub(value, example)


def slots_in(example: str) -> list[tuple[str, str]]:
    """The parameters of an example with the names of their entities, `text` where none is given."""
    return [(match[1], match[2] or "text") for match in _SLOT.finditer(example)]


def parts_of(example: str) -> list[str]:
    """An example cut at its parameters: text, name, text, name … text."""
    parts: list[str] = []
    end = 0
    for match in _SLOT.finditer(example):
        parts += [example[end : match.start()], match[1]]
        end = match.end()
    return [*parts, example[end:]]


class Candidate(Struct, frozen=True):
    """An intent that a sentence may be meant as, and how confidently: from 0 to 1."""

    name: str
    confidence: float


class Prediction(Struct, frozen=True, kw_only=True):
    """What a sentence was taken for; `name` is "" where it is none of the intents.

    `parameters` are the values of the intent's parameters by their names, `candidates` the best
    few intents, best first.
    """

    name: str
    confidence: float
    sentence: str
    parameters: dict[str, Any] = {}
    candidates: tuple[Candidate, ...] = ()


class Model(Protocol):
    """A trained classifier of a few intents. Any number of sentences may be asked at once."""

    @property
    def threshold(self) -> float:
        """Below this confidence a sentence is none of the intents."""
        ...

    @property
    def slow(self) -> bool:
        """Whether it is asked in a worker thread, because a sentence takes it milliseconds."""
        ...

    def predict(self, sentence: str) -> Sequence[Candidate] | Awaitable[Sequence[Candidate]]:
        """The best few intents, best first, each with a confidence from 0 to 1."""
        ...


class Classifier(Protocol):
    """Makes models. The same examples always give the same model."""

    def train(self, intents: Mapping[str, Sequence[str]]) -> Model:
        """A model of these intents, each with its examples. Runs in a worker thread.

        `intents` has at least one; one without examples is never found.
        """
        ...
