"""The public test kit: what a store owes, and a clock that stands still until a test moves it."""

from parlour.testing.clock import VirtualClock
from parlour.testing.store_contract import StoreContract
from parlour.testing.walking import Coverage, Stride, Walk, coverage, walk

__all__ = [
    "Coverage",
    "StoreContract",
    "Stride",
    "VirtualClock",
    "Walk",
    "coverage",
    "walk",
]
