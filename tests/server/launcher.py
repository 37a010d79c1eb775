"""`parlour`, with a store that kills its own process just before or just after an append.

`FRAGILE=before:StepFinished` ends the process when records of that type are about to be written,
`after:` when they are durable and nobody has been told; `slow:` only makes such an append last.
"""

import asyncio
import os
import signal
from collections.abc import Sequence

from parlour.cli import main
from parlour.stores.sqlite import SqliteStore
from parlour.stores.store import Append, Outcome

when, _, sign = os.environ.pop("FRAGILE").partition(":")
SLOW_SECONDS = 0.5
append = SqliteStore.append


async def fragile(store: SqliteStore, batch: Sequence[Append]) -> Sequence[Outcome]:
    entries = [entry for item in batch for entry in item.entries]
    meant = any(sign.encode() in entry.data for entry in entries)
    if meant and when == "slow":
        await asyncio.sleep(SLOW_SECONDS)
    elif meant and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    outcomes = await append(store, batch)
    if meant and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return outcomes


SqliteStore.append = fragile  # type: ignore[method-assign]
main()
