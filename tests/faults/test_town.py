"""Many conversations on many workers while everything goes wrong; no promise is broken."""

import os
from pathlib import Path

import pytest

from faults.campaign import told
from faults.town import TownOrders, storm_on_town
from postgres import database

promise = pytest.mark.promise


@pytest.mark.skipif(
    not os.environ.get("FAULTS_TOWN"),
    reason="some commands are still answered too late when connections are cut; FAULTS_TOWN=1",
)
@promise("P1")
@promise("P2")
@promise("P3")
@promise("P4")
@promise("P5")
@promise("P6")
@promise("P7")
@promise("P8")
@pytest.mark.timeout(280)
def test_a_storm_on_many_workers_changes_nothing_that_was_promised(tmp_path: Path) -> None:
    orders = TownOrders(seed=20261121, seconds=12.0, visitors=15, gap=0.6)
    with database() as address:
        outcome = storm_on_town(orders, tmp_path / "kept", address)
    print(outcome.summary())
    assert not outcome.findings, told(outcome.findings, outcome.case)
    assert outcome.rounds > 30
    assert outcome.kills >= 1
    assert outcome.strikes["freeze"] >= 1
    assert all(history.ended for history in outcome.case.histories)
