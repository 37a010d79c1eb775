"""Runs the live sessions of one app in one process, on any store, for any agent style."""

from parlour.engine.clock import Clock, SystemClock
from parlour.engine.commit import Commit
from parlour.engine.engine import Engine
from parlour.engine.fanout import Listener, Subscription
from parlour.engine.outcome import Accepted

__all__ = ["Accepted", "Clock", "Commit", "Engine", "Listener", "Subscription", "SystemClock"]
