"""Runs the live sessions of one app in one process, on any store, for any agent style."""

from parlour.engine.activation import Accepted
from parlour.engine.clock import Clock, SystemClock
from parlour.engine.commit import Commit
from parlour.engine.engine import Engine
from parlour.engine.fanout import Listener, Subscription

__all__ = ["Accepted", "Clock", "Commit", "Engine", "Listener", "Subscription", "SystemClock"]
