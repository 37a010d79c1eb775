"""The receipts of effects: awaiting one waits until its record is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parlour.engine.scope import current_scope

if TYPE_CHECKING:
    from parlour.engine.activation import Activation


class Written:
    """The receipt of an effect."""

    __slots__ = ("_activation", "seq")

    def __init__(self, activation: Activation, seq: int) -> None:
        self._activation = activation
        self.seq = seq

    def __await__(self) -> Any:
        scope = current_scope.get()
        durable = self._activation.until_durable(self.seq)
        if scope is None:
            yield from durable.__await__()
            return self.seq
        turns = scope.journal.crowd(scope)
        scope.depth += 1
        try:
            waiting = durable if turns is None else turns.after(self.seq, durable)
            yield from waiting.__await__()
        finally:
            scope.depth -= 1
        return self.seq
