from __future__ import annotations

import asyncio

import pytest

from parlour.errors import StoreUnavailable
from parlour.stores.memory import MemoryStore
from parlour.stores.store import Append, Appended, Entry, Store
from parlour.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    async def make_store(self) -> Store:
        return MemoryStore()


class TestMemoryStoreOpenedAgain(StoreContract):
    """The same object opened again keeps its logs, which stands for a restart in tests."""

    async def make_store(self) -> Store:
        return MemoryStore()

    async def reopen(self, store: Store) -> Store:
        await store.close()
        return store


def test_a_store_that_is_not_open_says_so():
    async def scenario():
        store = MemoryStore()
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.create("a", "ann", 0.0)
        await store.open()
        claim = await store.create("a", "ann", 0.0)
        append = Append(
            session="a", epoch=claim.epoch, after=0, at=0.0, entries=(Entry("", b"[1]", 1),)
        )
        assert await store.append([append]) == [Appended(1)]
        await store.close()
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.read("a", 0)

    asyncio.run(scenario())
