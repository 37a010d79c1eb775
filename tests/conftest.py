"""What holds for all tests: how hypothesis works, and asserts of the test kit that explain."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("parlour.testing")

# Machines differ, so there are no deadlines; in CI every run tries the same examples.
settings.register_profile(
    "here",
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "ci", parent=settings.get_profile("here"), derandomize=True, database=None, print_blob=True
)
settings.load_profile("ci" if os.environ.get("CI") else "here")
