"""What a round shows of its work: parts that are under way, and how far it has come.

A part's begin and end are records like any other; what comes out of it meanwhile, and progress,
pass by. Whoever comes back in the middle is told what there is so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parlour.engine.scope import Scope
from parlour.engine.streams import OpenStream
from parlour.events import CostAdded, Delta, PartCost, PartStreamed, ProgressShown

if TYPE_CHECKING:
    from parlour.engine.activation import Activation
    from parlour.engine.run import Run
    from parlour.engine.streams import Streams

END = "end#1"
_PAUSE = 0.1
"""Progress is shown at most this often, in seconds; its last word always."""


class OpenPart(OpenStream):
    """A part of the work that is under way; `ended` says that its end is recorded."""

    __slots__ = ("before", "ended", "scope")

    def __init__(self, streams: Streams, path: str, scope: Scope, *, ended: bool) -> None:
        super().__init__(streams, path, None)
        self.scope = scope
        self.before = scope.enter(path)
        self.ended = ended

    @property
    def recorded(self) -> bool:
        return self.ended

    def _delta(self, offset: int, piece: str) -> PartStreamed:
        number = self._streams.journal.number
        return PartStreamed(round=number, path=self.path, offset=offset, text=piece)


class Parts:
    """The parts and the progress of one run of a round."""

    __slots__ = ("_activation", "_journal", "_open", "_progress", "_waiting")

    def __init__(self, journal: Run, activation: Activation) -> None:
        self._journal = journal
        self._activation = activation
        self._open: dict[str, OpenPart] = {}
        self._progress: dict[str, ProgressShown] = {}
        self._waiting: set[str] = set()

    def begin(self, streams: Streams, path: str, scope: Scope) -> OpenPart:
        ended = self._journal.peek(f"{path}/{END}") is not None
        part = OpenPart(streams, path, scope, ended=ended)
        if not ended:
            self._open[path] = part
        return part

    def close(self, part: OpenPart) -> None:
        """Nothing more comes out of it."""
        part.scope.leave(part.before)
        part.done = True
        self._open.pop(part.path, None)
        self._progress.pop(part.path, None)
        self._activation.forget_deltas(part.path)

    def cost(self, path: str) -> PartCost | None:
        """What was used below `path`; None for nothing."""
        running = self._activation.state.round
        journal = {} if running is None else running.journal
        below = f"{path}/"
        found = [
            effect.event
            for where, effect in journal.items()
            if where.startswith(below) and isinstance(effect.event, CostAdded)
        ]
        if not found:
            return None
        amounts = [cost.amount for cost in found if cost.amount is not None]
        currencies = {cost.currency for cost in found}
        whole = len(amounts) == len(found) and len(currencies) == 1
        return PartCost(
            input_tokens=sum(cost.input_tokens for cost in found),
            output_tokens=sum(cost.output_tokens for cost in found),
            amount=sum(amounts) if whole else None,
            currency=currencies.pop() if len(currencies) == 1 else "USD",
        )

    def progress(self, shown: ProgressShown) -> None:
        """Show how far it is; what comes too soon after the last waits for its turn."""
        self._progress[shown.path] = shown
        if shown.path not in self._waiting:
            self._waiting.add(shown.path)
            self._show(shown)
            loop = self._activation.engine.loop
            loop.call_later(_PAUSE, self._show_newest, shown.path, shown)

    def _show_newest(self, path: str, last: ProgressShown) -> None:
        self._waiting.discard(path)
        newest = self._progress.get(path)
        if newest is not None and newest is not last:
            self.progress(newest)

    def _show(self, shown: ProgressShown) -> None:
        if self._journal.dead is None:
            self._activation.show(shown)

    def so_far(self) -> list[Delta]:
        """All that passes by just now, each as one delta from its start."""
        held_back = self._activation.held_back
        deltas: list[Delta | None] = [
            part.so_far(held_back(part.path)) for part in self._open.values()
        ]
        return [*(delta for delta in deltas if delta is not None), *self._progress.values()]
