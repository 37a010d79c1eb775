"""Real kernels for the tests, and whoever may run them here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from rig import LEVELS, Rig, need, with_level

HERE = Path(__file__).parent
NOBODY = 65534


@pytest.fixture(scope="module", params=LEVELS)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Kernels at each level, without anything preloaded."""
    need(request.param)
    made = Rig(tmp_path_factory.mktemp("places"), with_level(request.param))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_kernel_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "rig" in request.fixturenames:
        request.getfixturevalue("rig").close_kernels()


@pytest.fixture(scope="session")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict[str, str]]:
    """What came of all probes, for a level and for who runs the engine; each is tried once."""

    @lru_cache
    def run(who: str, level: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp(f"{who}-{level}")
        command = [sys.executable, str(HERE / "prober.py"), level, str(folder)]
        root = os.geteuid() == 0
        if who == "root" and not root:
            pytest.skip("only root can try what an engine of root's lets through")
        if level != "none":
            need(level)
        if who == "unprivileged" and root:
            command = [sys.executable, str(HERE / "as_nobody.py"), str(NOBODY), *command]
            os.chown(folder, NOBODY, NOBODY)
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run
