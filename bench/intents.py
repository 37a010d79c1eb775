"""How well intents are found: few-shot on CLINC150, ten intents with five examples each.

`python -m bench.intents [--draws 10] [--data FILE]`. The data set (Larson et al. 2019, CC BY 3.0)
is not part of the repository; it is read from `../shared/data/clinc150.json` if it is there. Out of
scope are its own out-of-scope sentences.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parlour.agents.flow import NgramClassifier, SemanticClassifier
from parlour.errors import MissingExtra

_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "clinc150.json"
_INTENTS, _EXAMPLES = 10, 5


def by_intent(pairs: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for sentence, intent in pairs:
        found[intent].append(sentence)
    return found


def area_under_curve(inside: Sequence[float], outside: Sequence[float]) -> float:
    """How often a sentence of an intent is surer than one that is none; ties count half."""
    ranked = sorted([(score, 1) for score in inside] + [(score, 0) for score in outside])
    ranks: dict[float, list[int]] = defaultdict(list)
    for place, (score, _) in enumerate(ranked, 1):
        ranks[score].append(place)
    total = sum(statistics.fmean(ranks[score]) for score in inside)
    count = len(inside)
    return (total - count * (count + 1) / 2) / (count * len(outside))


def measure(classifier: Any, data: dict[str, Any], draws: int, sentences: int) -> dict[str, float]:
    train, test = by_intent(data["train"]), by_intent(data["test"])
    strangers = [sentence for sentence, _ in data["oos_test"]]
    figures: dict[str, list[float]] = defaultdict(list)
    classifier.train({"warm": ["what was imported is not timed"]}).predict("hello")
    for seed in range(draws):
        dice = random.Random(seed)
        names = dice.sample(sorted(train), _INTENTS)
        examples = {name: dice.sample(train[name], _EXAMPLES) for name in names}
        asked = [(text, name) for name in names for text in test[name]]
        dice.shuffle(asked)
        asked, outside = asked[:sentences], dice.sample(strangers, min(sentences, len(strangers)))
        started = time.perf_counter()
        model = classifier.train(examples)
        figures["training ms"].append(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        found = [(model.predict(text), name) for text, name in asked]
        figures["sentence ms"].append(1000 * (time.perf_counter() - started) / len(asked))
        others = [model.predict(text) for text in outside]
        right = [best[0].name == name for best, name in found]
        inside = [best[0].confidence for best, _ in found]
        outer = [best[0].confidence for best in others]
        figures["accuracy"].append(statistics.fmean(right))
        figures["AUROC"].append(area_under_curve(inside, outer))
        limit = model.threshold
        figures["kept"].append(statistics.fmean(score >= limit for score in inside))
        figures["refused"].append(statistics.fmean(score < limit for score in outer))
    return {name: statistics.fmean(values) for name, values in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--sentences", type=int, default=300, help="of each kind, in each draw")
    parser.add_argument("--data", type=Path, default=_DATA)
    options = parser.parse_args()
    if not options.data.is_file():
        raise SystemExit(f"{options.data} is not there; name the data set: --data clinc150.json")
    data = json.loads(options.data.read_text(encoding="utf-8"))
    for name, kind in (("built-in", NgramClassifier), ("semantic", SemanticClassifier)):
        try:
            figures = measure(kind(), data, options.draws, options.sentences)
        except MissingExtra as missing:
            print(f"{name:9} left out: {missing}")
            continue
        print(f"{name:9}", *(f"{what} {value:.3f}" for what, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main()
