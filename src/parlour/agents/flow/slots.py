"""Asking for what an intent lacks, and asking back which intent was meant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parlour.agents.flow.happening import Happening
from parlour.agents.flow.intents import Intent, Prediction, Slot
from parlour.agents.flow.session import FlowSession
from parlour.agents.flow.state import State
from parlour.agents.flow.triggers import OnIntent

if TYPE_CHECKING:
    from parlour.agents.flow.flow import Flow

_SURE = 0.9
"""An answer is another wish if it is one as surely as this, and no value."""
_OFFERED = 3
_NONE = "-"


async def meant(
    session: FlowSession,
    prediction: Prediction,
    intents: Sequence[Intent],
    band: tuple[float, str],
) -> str:
    """The name of the intent that was meant; asked where that is likely, but not sure."""
    below, text = band
    least = below / 3
    likely = [found for found in prediction.candidates if found.confidence >= least][:_OFFERED]
    if not likely or likely[0].confidence >= below:
        return prediction.name
    titles = {intent.name: intent.title for intent in intents}
    options = {found.name: titles[found.name] for found in likely}
    options[_NONE] = "None of these"
    chosen = await session.choose(text, options)
    return "" if chosen == _NONE else chosen


async def fill(
    flow: Flow,
    session: FlowSession,
    intent: Intent,
    prediction: Prediction,
    roots: Sequence[State],
) -> tuple[dict[str, Any], str | None]:
    """The parameters of an intent, asked for where they are needed and missing.

    If an answer is no value but surely one of the intents of the flow's root, as "cancel" is, the
    answer is given back as the second, and the asking is over.
    """
    values = dict(prediction.parameters)
    for slot in intent.slots.values():
        if not slot.required or slot.name in values:
            continue
        found, other = await _ask(flow, session, slot, roots)
        if other is not None:
            return values, other
        values[slot.name] = found
    return values, None


async def _ask(
    flow: Flow, session: FlowSession, slot: Slot, roots: Sequence[State]
) -> tuple[Any, str | None]:
    question, complaint = slot.ask, ""
    if slot.entity.hint:
        question = f"{question} ({slot.entity.hint})"
    while True:
        text = f"{complaint} {question}".strip()
        answer = await session.ask(text, name=slot.name)
        now = session.now()
        try:
            return await session.effects.in_thread(lambda: slot.entity.read(answer, now)), None  # noqa: B023
        except ValueError as unfit:
            if await _is_wish(flow, session, answer, now, roots):
                return None, answer
            complaint = str(unfit)


async def _is_wish(
    flow: Flow, session: FlowSession, answer: str, now: dt.datetime, roots: Sequence[State]
) -> bool:
    intents = [
        row.trigger.intent
        for root in roots
        for row in root.transitions
        if isinstance(row.trigger, OnIntent)
    ]
    if not intents:
        return False
    asked = Happening("message", text=answer, at=now.timestamp())
    found = await flow.predictor.predict(session, intents, asked)
    return bool(found.name) and found.confidence >= _SURE
