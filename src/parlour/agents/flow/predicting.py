"""From a message to a prediction: the model of the intents within reach, trained once."""

from __future__ import annotations

import datetime as dt
import inspect
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from parlour.agents.flow.entities import Date
from parlour.agents.flow.happening import Happening
from parlour.agents.flow.intents import Candidate, Intent, Model, Prediction
from parlour.agents.flow.matching import parameters_in
from parlour.session.values import digest, encode_value

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow
    from parlour.session import Session

log = logging.getLogger("parlour.flow")

_MODELS = 256


class _Kept(Struct, frozen=True):
    """A prediction as the journal holds it."""

    name: str
    confidence: float
    parameters: dict[str, Any]
    candidates: tuple[Candidate, ...]


_decoder: msgspec.json.Decoder[_Kept] = msgspec.json.Decoder(_Kept)


class Predictor:
    """The trained models of a flow, by a digest of their intents' examples."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._models: OrderedDict[bytes, Model] = OrderedDict()
        self._lock = threading.Lock()
        self._warm = False

    def warm_up(self, sets: Iterable[Sequence[Intent]]) -> None:
        """Train what will be needed, beside everything else; once, at the first conversation."""
        wanted = [] if self._warm else [intents for intents in sets if intents]
        self._warm = True
        if wanted:
            threading.Thread(target=self._train, args=(wanted,), name="parlour-intents").start()

    def _train(self, sets: Sequence[Sequence[Intent]]) -> None:
        try:
            for intents in sets[:_MODELS]:
                self.model(intents)
        except Exception as error:  # noqa: BLE001 - whoever asks for the model is told
            log.warning("intents could not be learned ahead: %s", error)

    async def predict(
        self, session: Session, intents: Sequence[Intent], happening: Happening
    ) -> Prediction:
        """What a message is meant as; journaled, so that a replay sees the same."""
        model = self._models.get(_digest(intents))
        if model is None:
            model = await session.effects.in_thread(partial(self.model, intents))
        text, dated = (
            happening.text,
            any(
                isinstance(slot.entity, Date)
                for intent in intents
                for slot in intent.slots.values()
            ),
        )
        if model.slow or dated:
            slow = model
            data, _ = await session.effects.perform(
                "intent", "", digest(text), lambda: self._asked(session, slow, intents, happening)
            )
        else:
            data = session.effects.draw("intent", partial(_now, model, intents, happening))
        kept = _decoder.decode(data)
        return Prediction(
            name=kept.name,
            confidence=kept.confidence,
            sentence=text,
            parameters=kept.parameters,
            candidates=kept.candidates,
        )

    def model(self, intents: Sequence[Intent]) -> Model:
        """The model of these intents, trained unless it is known. Takes tens of milliseconds."""
        key = _digest(intents)
        with self._lock:
            model = self._models.get(key)
            if model is None:
                examples = {intent.name: intent.sentences() for intent in intents}
                model = self._models[key] = self._flow.classifier.train(examples)
                while len(self._models) > _MODELS:
                    self._models.popitem(last=False)
        return model

    async def _asked(
        self, session: Session, model: Model, intents: Sequence[Intent], happening: Happening
    ) -> tuple[Raw, str]:
        found = await session.effects.in_thread(partial(model.predict, happening.text))
        if inspect.isawaitable(found):
            found = await found
        read = partial(_kept, found, model.threshold, intents, happening)
        return await session.effects.in_thread(read), ""


def _now(model: Model, intents: Sequence[Intent], happening: Happening) -> Raw:
    found = model.predict(happening.text)
    if isinstance(found, Awaitable):
        raise TypeError("a model whose predict is a coroutine says slow = True")
    return _kept(found, model.threshold, intents, happening)


def _kept(
    candidates: Sequence[Candidate],
    threshold: float,
    intents: Sequence[Intent],
    happening: Happening,
) -> Raw:
    best = candidates[0] if candidates else Candidate("", 0.0)
    sure = best.confidence >= threshold
    parameters: dict[str, Any] = {}
    for intent in intents:
        if sure and intent.name == best.name:
            parameters = parameters_of(intent, happening)
    kept = _Kept(best.name if sure else "", best.confidence, parameters, tuple(candidates))
    return encode_value(kept)[0]


def parameters_of(intent: Intent, happening: Happening) -> dict[str, Any]:
    """The values of an intent's parameters in a message; dates are relative to its time."""
    if not intent.slots:
        return {}
    return parameters_in(intent, happening.text, dt.datetime.fromtimestamp(happening.at, dt.UTC))


def _digest(intents: Sequence[Intent]) -> bytes:
    found = blake2b(digest_size=16)
    for intent in intents:
        for part in (intent.name, *intent.sentences(), ""):
            found.update(part.encode() + b"\0")
    return found.digest()
