"""What is left of a round's journal to go through, and what its handler may read meanwhile.

A handler under replay must read what it read the first time: the variables, history and files of
the round's beginning, brought forward by each effect it comes to again. What others did meanwhile
it reads from the place in the log on where it could the first time.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from parlour.errors import Diverged
from parlour.events import (
    AnyEvent,
    MessageAdded,
    QuestionAsked,
    TitleSet,
    VariableDeleted,
    VariableSet,
)
from parlour.state import (
    Effect,
    Entry,
    RoundState,
    Window,
    bring_forward,
    comes_from_outside,
)


class Replay:
    """The recorded effects of a round that its new run has not come to yet.

    `reached` is the newest record that the run has come to.
    """

    __slots__ = (
        "_known",
        "_left",
        "_nested",
        "_next",
        "_outside",
        "_window",
        "_within",
        "reached",
        "view",
    )

    def __init__(self, running: RoundState, window: Window) -> None:
        self._left = dict(running.journal)
        self._within: dict[str, Effect] = {}
        self._nested = sorted(path for path in running.journal if "/" in path)
        self._outside = comes_from_outside(running)
        self._next = 0
        self._known = self._outside[-1][0] if self._outside else 0
        self._window = window
        self.view = running.base
        self.reached = running.started

    @property
    def over(self) -> bool:
        """Whether the run has come to everything that is recorded."""
        return not self._left and not self._within

    @property
    def gone_through(self) -> bool:
        """The same, apart from what an unfinished step has recorded, which is to run again."""
        return not self._left

    @property
    def next(self) -> str:
        """A recorded effect that the run has not come to."""
        return next(iter(self._left or self._within), "")

    def peek(self, path: str) -> Effect | None:
        """The effect recorded at `path`; the run is about to come to it."""
        return self._left.get(path) or self._within.get(path)

    def take(self, path: str) -> Effect | None:
        """The effect recorded at `path`, which the run has come to; None if there is none."""
        effect = self._left.pop(path, None)
        if effect is None:
            return self._within.pop(path, None)
        self.add(effect)
        return effect

    def add(self, effect: Effect) -> None:
        """The run has made or repeated this effect."""
        self._pass(effect.seq - 1)
        entry = (effect.seq, effect.event, effect.at)
        self.view = bring_forward(self.view, entry, self._window)
        self.reached = max(self.reached, effect.seq)

    def add_inside(self, effect: Effect) -> None:
        """A step that runs again has made a new effect, which is read from its place on."""
        insort(self._outside, (effect.seq, effect.event, effect.at), self._next, key=_place)

    def reach(self, seq: int, running: RoundState) -> None:
        """The run has come to record `seq`, the end of a wait."""
        if seq > self._known:
            # It has come since the replay began.
            new = [entry for entry in comes_from_outside(running) if entry[0] > self._known]
            self._outside += new
            self._known = seq
        self._pass(seq)
        self.reached = max(self.reached, seq)

    def enclose(self, path: str, *, finished: bool) -> None:
        """The run has come to the step at `path`: what that has recorded itself is not the run's.

        It is read from the place on where it was recorded. Nobody comes to what a finished step
        has recorded; an unfinished one runs again, and finds it.
        """
        for inner in self._below(path):
            effect = self._left.pop(inner, None)
            if effect is None:
                continue
            self.add_inside(effect)
            if not finished:
                self._within[inner] = effect
        self._pass(self.reached)

    def abandon(self, path: str) -> None:
        """The step at `path` is cancelled before it has come to what it has recorded."""
        for inner in self._below(path):
            self._within.pop(inner, None)

    def _below(self, path: str) -> list[str]:
        nested = self._nested
        first = bisect_left(nested, f"{path}/")
        # The digit 0 is what follows a slash.
        return nested[first : bisect_left(nested, f"{path}0", first)]

    def _pass(self, seq: int) -> None:
        """What others did up to record `seq` can be read."""
        outside = self._outside
        while self._next < len(outside) and outside[self._next][0] <= seq:
            self.view = bring_forward(self.view, outside[self._next], self._window)
            self._next += 1


def _place(entry: Entry) -> int:
    return entry[0]


def diverged(path: str, recorded: AnyEvent, reached: str) -> Diverged:
    """The journal has something else at `path` than what the code came to."""
    return Diverged(
        f"the journal has {brief(recorded)} at {path}, the code reached {reached} there"
    )


def brief(event: AnyEvent) -> str:
    match event:
        case MessageAdded():
            return f"the message {event.text[:60]!r}"
        case QuestionAsked():
            return f"the question {event.text[:60]!r}"
        case VariableSet():
            return f"the variable {event.name!r} set"
        case VariableDeleted():
            return f"the variable {event.name!r} deleted"
        case TitleSet():
            return f"the title {event.title[:60]!r}"
        case _:
            return type(event).__name__
