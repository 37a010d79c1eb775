"""Flows: conversations as state machines, checked before they run, durable for each session."""

from parlour.agents.flow.entities import Entity, Found
from parlour.agents.flow.flow import Flow
from parlour.agents.flow.happening import (
    Began,
    Changed,
    Done,
    Failed,
    FlowEvent,
    Lost,
    Raised,
    Returned,
    Said,
    Signalled,
    TimedOut,
)
from parlour.agents.flow.intents import Candidate, Classifier, Intent, Model, Prediction
from parlour.agents.flow.ngrams import NgramClassifier
from parlour.agents.flow.semantic import SemanticClassifier
from parlour.agents.flow.session import BlockingFlowSession, FlowSession
from parlour.agents.flow.state import State, Transition

__all__ = [
    "Began",
    "BlockingFlowSession",
    "Candidate",
    "Changed",
    "Classifier",
    "Done",
    "Entity",
    "Failed",
    "Flow",
    "FlowEvent",
    "FlowSession",
    "Found",
    "Intent",
    "Lost",
    "Model",
    "NgramClassifier",
    "Prediction",
    "Raised",
    "Returned",
    "Said",
    "SemanticClassifier",
    "Signalled",
    "State",
    "TimedOut",
    "Transition",
]
