"""Many conversations while everything goes wrong with the server; no promise is broken."""

from pathlib import Path

import pytest

from faults.campaign import Orders, storm, told
from faults.disks import disk_at
from faults.injection import possible

promise = pytest.mark.promise
SEED = 20251121


@promise("P1")
@promise("P2")
@promise("P3")
@promise("P4")
@promise("P5")
@promise("P6")
@promise("P7")
@promise("P8")
@promise("P9")
@promise("P10")
@promise("P11")
@promise("P12")
@promise("P13")
@promise("P14")
@pytest.mark.timeout(280)
def test_a_storm_of_all_faults_changes_nothing_that_was_promised(tmp_path: Path) -> None:
    orders = Orders(seed=SEED, seconds=26.0, visitors=40, gap=1.2)
    outcome = storm(orders, tmp_path / "kept")
    print(outcome.summary())
    assert not outcome.findings, told(outcome.findings, outcome.case)
    _was_a_storm(outcome.case.count, outcome.rounds)
    assert outcome.kills >= 3
    histories = outcome.case.histories
    assert all(history.ended for history in histories)
    assert sum(len(history.of("cut")) for history in histories) >= 10
    assert len({history.user for history in histories}) == 40


def _was_a_storm(count, rounds) -> None:
    assert rounds > 300
    assert count("RoundResumed") > 20
    assert count("QuestionAnswered") > 20
    assert count("SessionClosed") >= 3


def test_every_kind_of_fault_can_be_had_or_it_is_said_which_not(tmp_path: Path) -> None:
    disk = disk_at(tmp_path / "disk")
    try:
        missing = {"broken-disk", "flaky-disk", "read-only"} - possible(disk)
        if missing:
            pytest.skip(f"not here, where file systems cannot be mounted: {sorted(missing)}")
    finally:
        disk.close()
