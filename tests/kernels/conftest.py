"""Real kernels for the tests, and whoever may run them here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
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
def probed() -> Iterator[Callable[[str, str], dict[str, str]]]:
    """What came of all probes, for a level and for who runs the engine; each is tried once."""
    made: list[Path] = []

    @lru_cache
    def run(who: str, level: str) -> dict[str, str]:
        root = os.geteuid() == 0
        if who == "root" and not root:
            pytest.skip("only root can try what an engine of root's lets through")
        if level != "none":
            need(level)
        # Not below pytest's own folder, which it closes to others again and again.
        folder = Path(tempfile.mkdtemp(prefix="parlour-probes-"))
        folder.chmod(0o755)
        made.append(folder)
        command = [sys.executable, str(HERE / "prober.py"), level, str(folder)]
        if who == "unprivileged" and root:
            command = [sys.executable, str(HERE / "as_nobody.py"), str(NOBODY), *command]
            os.chown(folder, NOBODY, NOBODY)
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

    yield run
    for folder in made:
        shutil.rmtree(folder)
