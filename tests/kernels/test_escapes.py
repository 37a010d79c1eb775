"""No cell gets out: every probe of a list, at each level, whoever runs the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from probes import HARMLESS, ORDINARY, PROBES
from rig import LEVELS, WHO

Probed = Callable[[str, str], dict[str, str]]

WITHOUT_NAMESPACES = {"use_several_processes"}
"""What takes shared memory, and so a /dev/shm of one's own."""


@pytest.mark.promise("P1")
@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("who", WHO)
def test_a_cell_does_not_get_to(who: str, level: str, probe: str, probed: Probed) -> None:
    assert probed(who, level)[probe] == "stopped"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("who", WHO)
def test_nothing_was_planted_outside_of_the_workspace(who: str, level: str, probed: Probed) -> None:
    assert probed(who, level)["planted"] == "False"


@pytest.mark.parametrize("ordinary", ORDINARY)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("who", WHO)
def test_a_cell_can(who: str, level: str, ordinary: str, probed: Probed) -> None:
    found = probed(who, level)[ordinary]
    if level == "landlock" and ordinary in WITHOUT_NAMESPACES:
        assert "PermissionError" in found
    else:
        assert found == "works"


@pytest.mark.parametrize("probe", HARMLESS)
def test_the_probe_finds_the_way_out_where_there_is_one(probe: str, probed: Probed) -> None:
    assert probed(WHO[0], "none")[probe].startswith("escaped")
