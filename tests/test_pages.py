from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from parlour.events import EVENT_TYPES
from parlour.settings import KernelSettings, Limits, Settings
from parlour.testing.diagrams import PAGES, settings_page, states_page, write_pages

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_drawn_from_the_code_says_what_the_code_says(name):
    """If this fails: `python -m parlour.testing.diagrams`."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_event_is_on_the_page_of_states():
    page = states_page()

    assert all(f"| `{kind.__name__}` |" in page for kind in EVENT_TYPES)
    assert "    idle --> running : RoundStarted\n" in page


def _fields(kind: type[Struct]) -> int:
    return len(kind.__struct_fields__)


def test_every_setting_is_on_the_page_of_settings_with_its_meaning():
    rows = [line for line in settings_page().splitlines() if line.startswith("| `")]

    assert len(rows) == _fields(Settings) - 2 + _fields(Limits) + _fields(KernelSettings)
    assert all(row.count(" | ") == 4 and row.endswith(". |") for row in rows)


def test_the_pages_are_written_where_one_wants_them(tmp_path):
    write_pages(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)
