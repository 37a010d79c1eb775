"""The parts of a round's work as a terminal tells them: each when it is over, with its time."""

from __future__ import annotations

from parlour.events import Delta, PartBegun, PartCost, PartEnded, ProgressShown, Record
from parlour.transports.terminal.screen import ShownPart

_MINUTE = 60


class Work:
    """What goes on in the round that runs."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[PartBegun, float]] = {}
        self._progress: dict[str, ProgressShown] = {}

    @property
    def doing(self) -> str:
        """The newest part that is under way, and how far it is."""
        path = next(reversed(self._open), "")
        name = self._open[path][0].name if path else ""
        progress = self._progress.get(path) or self._progress.get("")
        return " ".join(word for word in (name, _far(progress)) if word)

    def take_delta(self, delta: Delta) -> bool:
        """Whether it is of the work."""
        if isinstance(delta, ProgressShown):
            self._progress[delta.path] = delta
        return isinstance(delta, ProgressShown)

    def begin(self, record: Record, begun: PartBegun) -> None:
        self._open[begun.path] = (begun, record.at)

    def end(self, record: Record, ended: PartEnded) -> ShownPart | None:
        path = ended.path.rpartition("/")[0]
        self._progress.pop(path, None)
        found = self._open.pop(path, None)
        if found is None:
            return None
        begun, since = found
        about = [_time(record.at - since), *_cost(ended.cost)]
        return ShownPart(
            name=begun.name,
            depth=sum(path.startswith(f"{other}/") for other in self._open),
            status=ended.status,
            about=" · ".join(about),
            input=begun.input,
            output=ended.output,
        )

    def clear(self) -> None:
        self._open.clear()
        self._progress.clear()


def _far(progress: ProgressShown | None) -> str:
    if progress is None:
        return ""
    share = f"{progress.done:g}"
    if progress.total is not None:
        share = f"{progress.done:g}/{progress.total:g}"
    return f"{progress.text} {share}".strip()


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(0.0, seconds):.1f} s"
    return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"


def _cost(cost: PartCost | None) -> list[str]:
    if cost is None:
        return []
    tokens = cost.input_tokens + cost.output_tokens
    shown = [f"{tokens:,} tokens"] if tokens else []
    if cost.amount is not None:
        shown.append(f"{cost.amount:.4f} {cost.currency}")
    return shown
