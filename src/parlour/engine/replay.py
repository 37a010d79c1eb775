"""What is left of a round's journal to go through, and what its handler may read meanwhile.

A handler under replay must read what it read the first time: the variables, history and files of
the round's beginning, brought forward by each effect it comes to again.
"""

from __future__ import annotations

from parlour.errors import Diverged
from parlour.events import (
    AnyEvent,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    VariableDeleted,
    VariableSet,
)
from parlour.state import Effect, RoundState, Said, Stored, View


class Replay:
    """The recorded effects of a round that its new run has not come to yet."""

    __slots__ = ("_left", "_outside", "view")

    def __init__(self, running: RoundState) -> None:
        self._left = dict(running.journal)
        self._outside = list(running.outside)
        self.view = running.base

    @property
    def over(self) -> bool:
        """Whether the run has come to everything that is recorded."""
        return not self._left

    @property
    def next(self) -> str:
        """A recorded effect that the run has not come to."""
        return next(iter(self._left))

    def take(self, path: str) -> Effect | None:
        """The effect recorded at `path`, which the run has come to; None if there is none."""
        effect = self._left.pop(path, None)
        if effect is not None:
            self._bring_forward(effect)
        return effect

    def drop_branches(self, base: str, winner: str) -> None:
        """The effects below `base` but not below `winner` are those of branches that lost."""
        lost = [
            path
            for path in self._left
            if path.startswith(f"{base}/") and not path.startswith(winner)
        ]
        for path in lost:
            self.take(path)

    def _bring_forward(self, effect: Effect) -> None:
        variables, history, files = self.view.variables, self.view.history, self.view.files
        while self._outside and self._outside[0][0] < effect.seq:
            variables = _changed(variables, self._outside.pop(0)[1])
        event = effect.event
        match event:
            case VariableSet() | VariableDeleted():
                variables = _changed(variables, event)
            case MessageAdded():
                history = (*history, Said(effect.seq, "bot", event.text, event.files))
                files = files + event.files
            case QuestionAsked():
                history = (*history, Said(effect.seq, "bot", event.text))
                answer = effect.outcome
                if isinstance(answer, QuestionAnswered):
                    said = Said(effect.seq, "user", answer.text, answer.files)
                    history, files = (*history, said), files + answer.files
            case _:
                pass
        self.view = View(variables, history, files)


def diverged(path: str, recorded: AnyEvent, reached: str) -> Diverged:
    """The journal has something else at `path` than what the code came to."""
    return Diverged(
        f"the journal has {brief(recorded)} at {path}, the code reached {reached} there"
    )


def _changed(
    variables: dict[str, Stored], event: VariableSet | VariableDeleted
) -> dict[str, Stored]:
    changed = {name: value for name, value in variables.items() if name != event.name}
    if isinstance(event, VariableSet):
        changed[event.name] = Stored(event.value, event.kind)
    return changed


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
        case _:
            return type(event).__name__
