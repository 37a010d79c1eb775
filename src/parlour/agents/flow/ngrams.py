"""The built-in classifier: a linear machine over the n-grams of words and characters.

It is trained in tens of milliseconds, with no network and no download, and asked in a fraction of
one. What tells a sentence that is none of the intents is that it is trained against `BACKGROUND`,
sentences about anything at all, so that it works with a single intent too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from parlour.agents.flow.background import BACKGROUND
from parlour.agents.flow.extras import extra
from parlour.agents.flow.intents import Candidate

_LONGEST = 500
_A_WORD = r"(?u)\b\w+\b"
_BEST = 5
_WORDS_COUNT = 0.6
"""How much words weigh against characters."""
_ALIKE = 0.4
"""A sentence of the background that is so like an example is left out."""
_MIDDLE, _STEEPNESS = -0.35, 4.0
"""The decision at which a sentence is as likely none of the intents, and how fast that changes."""


class NgramClassifier:
    """TF-IDF of word 1–2 and character 2–5 n-grams with a linear support vector machine."""

    def train(self, intents: Mapping[str, Sequence[str]]) -> NgramModel:
        sentences = [(text, name) for name, examples in intents.items() for text in examples]
        if not sentences:
            return NgramModel([], (), (), {})
        text = extra("sklearn.feature_extraction.text")
        blocks = (
            text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_A_WORD),
            text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )
        weights = (_WORDS_COUNT, 1.0)
        sparse = extra("scipy.sparse")
        known = [sentence for sentence, _ in sentences]
        everything = [*known, *BACKGROUND]
        matrix = sparse.hstack(
            [
                block.fit_transform(everything) * weight
                for block, weight in zip(blocks, weights, strict=True)
            ],
            format="csr",
        )
        of_background = matrix[len(known) :]
        size = sum(weight * weight for weight in weights)
        likeness = (of_background @ matrix[: len(known)].T).max(axis=1).toarray().ravel() / size
        kept = [len(known) + row for row, alike in enumerate(likeness) if alike < _ALIKE]
        names = list(dict.fromkeys(name for _, name in sentences))
        labels = [names.index(name) + 1 for _, name in sentences] + [0] * len(kept)
        machine = extra("sklearn.svm").LinearSVC(C=1.0, random_state=0)
        if not kept:  # every one of them is an example; the last resort against an empty class
            kept, labels = [len(known)], [*labels, 0]
        machine.fit(matrix[[*range(len(known)), *kept]], labels)
        return _model(names, machine, blocks, weights, sentences)


def _model(
    names: list[str],
    machine: Any,
    blocks: Iterable[Any],
    weights: Iterable[float],
    sentences: Iterable[tuple[str, str]],
) -> NgramModel:
    coefficients, intercepts = machine.coef_, machine.intercept_
    # With two classes there is one row, which speaks for the second; else the first is nobody's.
    rows = slice(0, 1) if len(coefficients) == 1 else slice(1, None)
    coefficients, intercepts = coefficients[rows], intercepts[rows]
    made: list[_Block] = []
    start = 0
    for block, weight in zip(blocks, weights, strict=True):
        size = len(block.vocabulary_)
        columns = coefficients[:, start : start + size].T.copy()
        made.append(_Block(block.build_analyzer(), block.vocabulary_, block.idf_, columns, weight))
        start += size
    exact = {_plain(sentence): name for sentence, name in sentences}
    return NgramModel(names, tuple(made), tuple(intercepts.tolist()), exact)


class _Block:
    """One kind of n-grams: what each adds to the decision about each intent."""

    def __init__(
        self,
        analyse: Callable[[str], list[str]],
        vocabulary: Mapping[str, int],
        rarity: Any,
        columns: Any,
        weight: float,
    ) -> None:
        self._analyse = analyse
        self._vocabulary = dict(vocabulary)
        self._rarity: list[float] = rarity.tolist()
        self._columns = columns
        self._weight = weight

    def add_to(self, decisions: Any, sentence: str) -> Any:
        places: list[int] = []
        values: list[float] = []
        for gram, count in Counter(self._analyse(sentence)).items():
            place = self._vocabulary.get(gram)
            if place is not None:
                places.append(place)
                values.append((1.0 + math.log(count)) * self._rarity[place])
        if not places:
            return decisions
        length = math.sqrt(sum(value * value for value in values))
        return decisions + values @ self._columns[places] * (self._weight / length)


class NgramModel:
    """A trained machine."""

    threshold = 0.5
    slow = False

    def __init__(
        self,
        names: list[str],
        blocks: tuple[_Block, ...],
        intercepts: tuple[float, ...],
        exact: dict[str, str],
    ) -> None:
        self._names = names
        self._blocks = blocks
        self._intercepts = intercepts
        self._exact = exact

    def predict(self, sentence: str) -> Sequence[Candidate]:
        sentence = sentence[:_LONGEST]
        if not self._names:
            return ()
        decisions: Any = self._intercepts
        numpy = extra("numpy")
        decisions = numpy.asarray(decisions)
        for block in self._blocks:
            decisions = block.add_to(decisions, sentence)
        best: list[int] = numpy.argsort(-decisions)[:_BEST].tolist()
        found = [
            Candidate(self._names[place], round(_confidence(float(decisions[place])), 4))
            for place in best
        ]
        exact = self._exact.get(_plain(sentence))
        if exact is not None:
            others = [candidate for candidate in found if candidate.name != exact]
            found = [Candidate(exact, 1.0), *others[: _BEST - 1]]
        return found


def _confidence(decision: float) -> float:
    return 1.0 / (1.0 + math.exp(-_STEEPNESS * (decision - _MIDDLE)))


def _plain(sentence: str) -> str:
    return " ".join(sentence.lower().strip(" .!?").split())
