"""What happens to the server and when: drawn from a seed, the same every time. Pure."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

SECONDS = {
    "kill": (0.0, 0.3),
    "restart": (0.0, 0.3),
    "deploy": (0.0, 0.1),
    "freeze": (0.3, 1.5),
    "full": (0.5, 2.0),
    "broken-disk": (0.5, 1.5),
    "flaky-disk": (0.0, 0.1),
    "read-only": (0.1, 0.4),
    "clock": (0.5, 2.0),
    "descriptors": (0.5, 2.0),
    "memory": (0.5, 2.0),
    "rival": (0.0, 0.0),
}
"""Each kind of fault, and how long it lasts (for a kill: how long nobody answers)."""

ASKED_FOR = frozenset({"broken-disk", "flaky-disk"})
"""Kinds that only come when they are asked for: the machine may need a restart afterwards. Linux's
own ext4 has been seen to fall over them (6.18: a BUG in its block allocator)."""

SOLE = frozenset({"kill", "restart", "deploy", "read-only", "rival"})
"""Faults that leave nothing to kill, or end by themselves."""


@dataclass(frozen=True)
class Strike:
    """A fault, `at` seconds after the beginning. `killed`: it ends by `kill -9` in its midst."""

    at: float
    kind: str
    seconds: float
    size: float
    killed: bool = False


def plan(seed: int, seconds: float, kinds: Iterable[str], *, gap: float = 1.5) -> list[Strike]:
    """Strikes for `seconds` seconds, about `gap` seconds of peace between them, one at a time.

    Every kind comes once before any comes again, as far as there is time.
    """
    dice = random.Random(seed)
    all_kinds = sorted(kinds)
    strikes: list[Strike] = []
    deck: list[str] = []
    at = dice.uniform(0.5, 1.0) * gap
    while all_kinds:
        if not deck:
            deck = dice.sample(all_kinds, len(all_kinds))
        kind = deck.pop()
        lasts = dice.uniform(*SECONDS[kind])
        if at + lasts > seconds:
            break
        killed = kind not in SOLE and dice.random() < 1 / 3
        strikes.append(Strike(round(at, 3), kind, round(lasts, 3), dice.random(), killed))
        at += lasts + dice.uniform(0.5, 1.5) * gap
    return strikes
