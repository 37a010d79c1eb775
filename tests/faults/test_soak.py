"""A short haul: what would grow without end in the long one grows already."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.soak import MIB, Course, growth, rise

promise = pytest.mark.promise


@promise("P10")
@promise("P12")
def test_rounds_and_sleeping_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    # In a process of its own: what pytest holds is nobody's growth.
    script = (
        "import json, sys; from pathlib import Path; from faults.soak import soak;"
        "courses = soak(Path(sys.argv[1]), 30_000, 2_400, 12);"
        "print(json.dumps([[str(c), c.failures()] for c in courses]))"
    )
    places = os.pathsep.join(str(Path(__file__).parents[n]) for n in (1,))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for told, failures in json.loads(done.stdout):
        print(told)
        assert failures == []


def test_a_rise_is_seen_and_noise_is_not() -> None:
    flat = [100.0 + number % 3 for number in range(24)]
    assert abs(rise(flat)) < 0.02
    assert 0.4 < rise([100.0 + 5 * number for number in range(24)]) < 0.5
    assert rise([900.0, 500.0, 100.0, 100.0, 100.0, 100.0, 100.0]) == 0.0


def test_a_growth_is_seen_through_the_noise_of_a_busy_machine() -> None:
    noise = [1.0 + number % 4 for number in range(24)]
    assert growth(noise) == 0.0
    assert growth([cost * (1 + number / 12) for number, cost in enumerate(noise)]) > 0.35


def test_what_is_not_flat_is_named() -> None:
    steps = range(24)
    leaky = Course(
        "rounds",
        list(steps),
        resident=[(50 + 3 * number) * MIB for number in steps],
        descriptors=[10.0 + number for number in steps],
        seconds=[1.0 + number / 10 for number in steps],
        written=[1.0 for _ in steps],
        log_bytes=10_000,
    )
    assert [words.split()[1] for words in leaky.failures()] == [
        "memory",
        "descriptors",
        "the",
        "the",
    ]
