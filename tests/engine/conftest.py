"""Every test of the engine that asks for a house runs on each store."""

from __future__ import annotations

from pathlib import Path

import pytest
from house import House


@pytest.fixture(params=["memory", "sqlite"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    return House(request.param, tmp_path)
