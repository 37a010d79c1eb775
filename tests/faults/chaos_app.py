"""The app of the storms: one handler for each way in which a round can be honest or misbehave.

It is copied beside the store and run by `parlour run`. Each effect on the world outside is a line
in `world.txt`, which is opened once, so that it works without free file descriptors, and lies on a
disk that is never full. Everything a visitor is told names the visitor, so that a leak shows.
"""

import asyncio
import contextlib
import json
import os
import time
import uuid
from pathlib import Path

import parlour

HERE = Path(__file__).parent
VERSION = (HERE / "version.txt").read_text() if (HERE / "version.txt").exists() else "1"
WORLD = os.open(HERE / "world.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
FLOOD = 100_000
app = parlour.App()


def world(what, session, source, **more):
    line = {"at": time.monotonic(), "what": what, "session": session, "source": source, **more}
    os.write(WORLD, json.dumps(line).encode() + b"\n")


async def effect(session, source, label):
    """Something that is done to the world, and its receipt."""
    token = f"token-{uuid.uuid4().hex[:16]}"
    world("ran", session, source, label=label, token=token)
    await asyncio.sleep(0.005)
    return token


def plain_effect(session, source, label):
    """The same in a thread."""
    token = f"token-{uuid.uuid4().hex[:16]}"
    world("ran", session, source, label=label, token=token)
    time.sleep(0.01)
    return token


class Work:
    """One message's round."""

    def __init__(self, session, message):
        self.session = session
        self.source = message.seq
        self.name, self.kind, self.number = message.text.split()

    async def step(self, label, fn=effect, **options):
        call = (self.session.id, self.source, label)
        return await self.session.step(fn, *call, name=label, **options)

    # -- honest ---------------------------------------------------------------------------------

    async def echo(self):
        return "nothing"

    async def draw(self):
        first = await self.step("first")
        self.session.reply(f"{self.name} drew first {first}")
        return f"drew {await self.step('second')}"

    async def thread(self):
        return f"drew {await self.step('threaded', plain_effect)}"

    async def gather(self):
        both = await self.session.gather(self.step("left"), self.step("right"))
        return f"drew {' '.join(both)}"

    async def once(self):
        try:
            return f"drew {await self.step('once', at_most_once=True)}"
        except parlour.StepInterrupted:
            return "was interrupted"

    async def ask(self):
        self.session.reply(f"{self.name} will be asked")
        first = await self.session.ask(f"{self.name}, what first?")
        second = await self.session.ask(f"{self.name}, what after {first}?")
        return f"wants {first} and {second}"

    async def patient(self):
        token = await self.step("before")
        answer = await self.session.ask(f"{self.name}, what in the end?")
        return f"wants {answer} for {token}"

    async def timed(self):
        answer = await self.session.ask(f"{self.name}, quick?", timeout=0.8, default="nobody")
        return f"heard {answer}"

    async def stream(self):
        async with self.session.stream() as out:
            for piece in range(25):
                out.write(f"{self.name} {self.number} {piece} ")
                await asyncio.sleep(0.01)
        return "streamed"

    async def sleep(self):
        await self.session.sleep(0.4)
        return "slept"

    async def user(self):
        await self.session.user.set("last", f"{self.name}-{self.number}")
        return f"remembers {await self.session.user.get('last')}"

    async def edit(self):
        world("edit", self.session.id, self.source, version=VERSION)
        token = await self.step("before")
        self.session.reply(f"{self.name} will be asked")
        answer = await self.session.ask(f"{self.name}, version {VERSION}?")
        return f"wants {answer} for {token}"

    async def close(self):
        self.session.close()
        return "closes"

    async def tick(self):
        """Works in child tasks until it is stopped."""

        async def child():
            while True:
                world("tick", self.session.id, self.source)
                await asyncio.sleep(0.02)

        await asyncio.gather(child(), child())

    # -- misbehaving ----------------------------------------------------------------------------

    async def fail(self):
        raise RuntimeError(f"internal-detail of {self.name}")

    async def hang(self):
        await asyncio.Event().wait()

    async def spin(self):
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass
        return "spun"

    async def swallow(self):
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0.2)
        self.session.reply(f"{self.name} ghost")

    async def flood(self):
        for number in range(FLOOD):
            self.session.reply(f"{self.name} floods {number}")
        return "flooded"

    async def hoard(self):
        """Wants memory, which may not be there."""
        return f"had {len(bytearray(48 * 1024 * 1024))} bytes"

    async def sabotage(self):
        """Ends all that it finds; nobody else is to feel it."""
        for task in asyncio.all_tasks():
            task.cancel()
        return "ended all"

    async def leak(self):
        async def ghost():
            await asyncio.sleep(0.1)
            with contextlib.suppress(parlour.ParlourError):
                # It must be refused: the round is over.
                self.session.reply(f"{self.name} ghost")

        for _ in range(3):
            self.session.local.setdefault("leaked", []).append(asyncio.create_task(ghost()))
        return "leaked"


@app.on_open
async def greet(session):
    session.reply("Welcome.")


@app.on_message
async def talk(session, message):
    work = Work(session, message)
    count = session.get("count", 0) + 1
    session.set("count", count)
    result = await getattr(work, work.kind)()
    session.reply(f"{work.name} {work.kind} {work.number} done, {result}, message {count}")
