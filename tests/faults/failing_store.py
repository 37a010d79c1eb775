"""A process with a SQLite store that does what it is told on its standard input, and says how."""

import asyncio
import secrets
import sys

from parlour.errors import StoreError
from parlour.stores.sqlite import SqliteStore
from parlour.stores.sqlite_writer import Writer
from parlour.stores.store import Append, Entry


async def main(path: str) -> None:
    store = SqliteStore(path)
    await store.open()
    claim = await store.claim("s") or await store.create("s", "ann", 1.0)
    assert claim is not None
    epoch, head = claim.epoch, claim.head
    print("head", head, flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line == "rewind\n":
            # What comes next is written over the log's beginning, whose blocks are there.
            await store._between(Writer.checkpoint)
            print("rewound", flush=True)
            continue
        entry = Entry("", b'["%s"]' % secrets.token_hex(2000).encode(), 1)
        try:
            await store.append(
                [Append(session="s", epoch=epoch, after=head, at=1.0, entries=(entry,))]
            )
        except StoreError as error:
            print("refused", error, flush=True)
        else:
            head += 1
            print("kept", head, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
