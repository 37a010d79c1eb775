from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "parlour.testing.contract_base",
    "parlour.testing.log_contract",
    "parlour.testing.command_contract",
    "parlour.testing.session_contract",
    "parlour.testing.ends_contract",
    "parlour.testing.thread_contract",
    "parlour.testing.durability_contract",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of the store contract the promises that they carry."""
    for item in items:
        for promise in getattr(getattr(item, "function", None), "promises", ()):
            item.add_marker(pytest.mark.promise(promise))
