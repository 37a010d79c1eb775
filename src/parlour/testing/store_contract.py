"""What a store must do, as tests: subclass `StoreContract` and a store of your own is tested.

::

    class TestMyStore(StoreContract):
        async def make_store(self):
            return MyStore(...)          # new and empty, not opened

        async def reopen(self, store):   # only if it is durable
            await store.close()
            return MyStore(...)          # the same data, not opened

It needs no pytest plugin: each test runs its own event loop and gives up after `seconds`. A test
that carries a promise has its ids in the attribute `promises`. Knows stores by their protocol only.
"""

from __future__ import annotations

from parlour.testing.command_contract import CommandContract
from parlour.testing.durability_contract import DurabilityContract
from parlour.testing.ends_contract import EndsContract
from parlour.testing.log_contract import LogContract
from parlour.testing.session_contract import SessionContract
from parlour.testing.thread_contract import ThreadContract


class StoreContract(
    LogContract,
    CommandContract,
    SessionContract,
    ThreadContract,
    EndsContract,
    DurabilityContract,
):
    """All tests of a store; see the module's docstring for the two hooks."""
