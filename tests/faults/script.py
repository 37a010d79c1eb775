"""What visitors say to `chaos_app`, and what may become of it. Pure."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

ASKS = {"ask": 2, "patient": 1, "edit": 1}
STOPPED = frozenset({"tick", "hang", "swallow"})
"""Rounds that the visitor stops."""

HONEST = ("echo", "draw", "thread", "gather", "once", "ask", "timed", "stream", "sleep", "user")
MISBEHAVING = ("fail", "hang", "spin", "swallow", "flood", "leak", "hoard", "sabotage")
WEIGHTS = {
    **dict.fromkeys(HONEST, 6),
    "echo": 12,
    "edit": 3,
    "tick": 3,
    "close": 2,
    **dict.fromkeys(MISBEHAVING, 1),
}
_DONE = frozenset({"done"})
STATUSES: dict[str, frozenset[str]] = {
    **dict.fromkeys(HONEST, _DONE),
    "patient": _DONE,
    "close": _DONE,
    "spin": _DONE,
    "leak": _DONE,
    "sabotage": _DONE,
    "hoard": _DONE,
    "edit": frozenset({"done", "diverged"}),
    "tick": frozenset({"stopped", "failed"}),
    "hang": frozenset({"stopped", "failed"}),
    "swallow": frozenset({"stopped", "failed"}),
    "fail": frozenset({"failed"}),
    "flood": frozenset({"failed"}),
}
"""How a round of each kind may end. One that is to be stopped fails if it outlives its time."""

SAYING = re.compile(r"^(visitor\d{3}) (\w+) (\d+)$")
TOKEN = re.compile(r"token-[0-9a-f]{16}")
DONE = re.compile(r"^(visitor\d{3}) (\w+) (\d+) done, (.*), message (\d+)$")
SECRET = "internal-detail"


@dataclass(frozen=True)
class Habits:
    """How a visitor behaves.

    `slow` reads with pauses, `cuts` is the chance to pull the cable after anything it does,
    `doubles` sends every frame twice, `tabs` are the sockets on which it does everything at once.
    """

    name: str
    slow: bool = False
    cuts: float = 0.02
    doubles: bool = False
    tabs: int = 1
    pause: float = 0.2
    weights: tuple[tuple[str, int], ...] = tuple(WEIGHTS.items())


def cast(count: int, dice: random.Random, weights: Mapping[str, int] | None = None) -> list[Habits]:
    """`count` visitors; of each eight one is slow, one flaps, one doubles and one has two tabs."""
    given = tuple((WEIGHTS | dict(weights or {})).items())
    visitors: list[Habits] = []
    for number in range(count):
        name, pause = f"visitor{number:03}", dice.uniform(0.05, 0.4)
        match number % 8:
            case 1:
                habits = Habits(name, slow=True, pause=pause, weights=given)
            case 3:
                habits = Habits(name, cuts=0.5, pause=pause, weights=given)
            case 5:
                habits = Habits(name, doubles=True, pause=pause, weights=given)
            case 7:
                habits = Habits(name, tabs=2, pause=pause, weights=given)
            case _:
                habits = Habits(name, pause=pause, weights=given)
        visitors.append(habits)
    return visitors
