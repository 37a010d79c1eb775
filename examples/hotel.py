"""The guest desk of a small hotel: a whole conversation in one file, with no key and no network.

    parlour run examples/hotel.py        in the browser
    parlour chat examples/hotel.py       in the terminal

Kill it while it asks you something, start it again, and answer: it goes on from that line.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import parlour
from parlour.questions import Option

app = parlour.App(title="The Heron, guest desk")

PRICES = {"attic": 64, "garden": 88, "river": 120}
ROOMS = [
    Option(value="attic", label="Attic room, €64", description="small, quiet, with the swifts"),
    Option(value="garden", label="Garden room, €88", description="a door to the pear trees"),
    Option(value="river", label="River room, €120", description="the balcony the herons look at"),
]
HELP = """\
I am the whole staff at this hour, so just say what you need:

- **book** a room, **my booking** to see it, **cancel** to give it back
- **photo** to leave your picture or passport with the reception
- **town** and I will not stop talking about it
"""
TOWN = """\
## Our town

It is small enough to cross in **twelve minutes**, and nobody has ever needed so few.

Begin at the *mill bridge*, where the river turns twice before it makes up its mind. The bakery \
opposite opens at six; ask for the plum loaf, and do not ask what is in it. From there the lane \
climbs to the bell tower, which has struck a quarter past three since 1911. We set our lunch by it.

1. In the morning, the market: cheese, knives, gossip.
2. In the afternoon, the boats: the blue one leaks least.
3. In the evening, the terrace here: the herons come at dusk, as they are paid to.

If it rains, there is a museum of umbrellas. It is bigger than you expect.
"""


@dataclass
class Stay:
    """What the desk has to know."""

    name: str
    arrival: dt.date
    departure: dt.date


@app.on_open
async def welcome(session: parlour.Session) -> None:
    name = await session.user.get("name")
    if name:
        session.reply(f"Welcome back to The Heron, {name}! {HELP}")
        return
    session.reply("Welcome to **The Heron**! Eleven rooms, one river, and me at the desk.")
    await book(session)


@app.on_message
async def answer(session: parlour.Session, message: parlour.Message) -> None:
    count = session.get("messages", 0) + 1
    session.set("messages", count)
    words = message.text.lower()
    if message.files:
        keep(session, message.files[-1])
    elif "my booking" in words or "cancel" in words:
        await look_up(session, cancel="cancel" in words)
    elif "book" in words or "room" in words:
        await book(session)
    elif "photo" in words or "passport" in words:
        wanted = "Your photo or passport, please: a picture or PDF of up to 5 MB."
        accept = ("image/*", ".pdf")
        keep(session, await session.ask_file(wanted, accept=accept, max_bytes=5_000_000))
    elif "town" in words:
        await session.stream_from(tell_about_town())
    elif "help" in words or "hello" in words:
        session.reply(f"{HELP}\nMessages from you in the book so far: {count}.")
    else:
        session.reply(f"I have been asked stranger things, but not today. {HELP}")


@app.on_stop
async def hush(session: parlour.Session) -> None:
    session.reply("Say no more, and neither shall I. What else can I do for you?")


async def book(session: parlour.Session) -> None:
    today = session.now().date()

    def check(stay: Stay) -> str | None:
        if stay.arrival < today:
            return "That arrival is in the past, and we have let the room since."
        if stay.departure <= stay.arrival:
            return "You would leave before you come; the departure must be after the arrival."
        return None

    stay = await session.ask("Whom may we expect, and when?", Stay, validate=check)
    session.user.set("name", stay.name)
    nights = (stay.departure - stay.arrival).days
    room = await session.choose(f"Nights: {nights}. Lovely. Which room?", ROOMS)
    price = f"€{nights * PRICES[room]:,}"
    offer = f"the {room} room from {stay.arrival:%d %B} to {stay.departure:%d %B}, {price}"
    if not await session.confirm(f"That is {offer}. Shall I write it down?"):
        session.reply("Then the page stays white. Say **book** whenever you like.")
        return
    number = f"H-{session.uuid().hex[:6].upper()}"
    slip = session.workspace / f"{number}.txt"
    # The one thing done to the world outside; once recorded, a step is not done again.
    await session.step(write_slip, str(slip), f"The Heron\n{number}\n{stay.name}: {offer}\n")
    session.set("booking", f"**{number}**, {offer}")
    await session.send_file(slip, text=f"Written down, {stay.name}! You are **{number}**.")
    session.reply("Leave a **photo** and you need not queue. Or ask me about the **town**.")


def write_slip(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")


async def look_up(session: parlour.Session, *, cancel: bool) -> None:
    booking = session.get("booking")
    if booking is None:
        session.reply("The page under your name is white. Say **book** and it will not be.")
    elif not cancel:
        photo = session.get("photo")
        papers = f"We have your {photo}." if photo else "We have no **photo** of you yet."
        session.reply(f"You are {booking}. {papers}")
    elif await session.confirm(f"Shall I cross out {booking}?", default=False):
        session.delete("booking")
        session.reply("Crossed out. The herons will ask where you are.")
    else:
        session.reply("I saw nothing. It stands.")


def keep(session: parlour.Session, file: parlour.File) -> None:
    session.set("photo", file.name)
    session.reply(
        f"Thank you, {file.name} ({file.size:,} bytes) is in the drawer. A good likeness."
    )


async def tell_about_town() -> AsyncIterator[str]:
    for word in TOWN.split(" "):
        yield f"{word} "
        await asyncio.sleep(0.04)
