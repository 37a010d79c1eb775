"""The app of the pictures: says or asks what its user names."""

import asyncio
import dataclasses
import datetime as dt
from typing import Annotated, Literal

import msgspec

import parlour

app = parlour.App(title="Guest desk")

PROSE = r"""## A week by the sea

The house stands **on the cliff**, ten minutes from the village. Breakfast is from *seven to ten*;
bring your own towels. See [the map](https://example.org/map) for the way.

1. Take the ferry at 9:40.
2. Walk along the coast:
   - past the lighthouse,
   - and up the stairs.

> The wind is strong in March. Mind the gulls.

| Room | Nights | Price |
|:-----|-------:|------:|
| Sea view | 3 | $420.00 |
| Garden | 2 | $198.50 |

It costs $420, or $4.2M for the whole house. The path has the length $\ell = \int_0^1
\lVert \gamma'(t) \rVert \, dt$, and in general:

$$e^{i\pi} + 1 = 0 \qquad \sum_{n=1}^{\infty} \frac{1}{n^2} = \frac{\pi^2}{6}$$

That is all."""

CODE = """Here is a function that finds its way:

```python
from dataclasses import dataclass

@dataclass(frozen=True)
class Stay:
    \"\"\"A guest's time with us.\"\"\"
    nights: int = 1

    def price(self, rate: float) -> float:
        # long stays are cheaper, and this comment is so long that it will not fit on the screen
        return self.nights * rate * (0.9 if self.nights > 6 else 1.0)

print(f"{Stay(3).price(140.0):.2f}")
```

Call it with `Stay(7).price(140)`. Done."""


@dataclasses.dataclass
class Address:
    street: str
    city: str


@dataclasses.dataclass
class Wishes:
    guest_name: str
    arrival: dt.date
    nights: Annotated[int, msgspec.Meta(ge=1, le=30, description="At most thirty")]
    room: Literal["single", "double"]
    address: Address
    extras: list[Literal["sauna", "parking"]]
    breakfast: bool = False
    email: str | None = None


ROOMS = {"s": "Sea view", "g": "Garden view", "a": "Attic, with a skylight"}


MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun"]
BOOKINGS = {
    "data": [
        {"type": "bar", "name": "Sea view", "x": MONTHS, "y": [12, 14, 22, 31, 38, 45]},
        {"type": "bar", "name": "Garden", "x": MONTHS, "y": [8, 9, 19, 36, 33, 40]},
    ],
    "layout": {"title": {"text": "Bookings"}, "barmode": "group", "height": 340},
}
OFFERS = [parlour.Action("Show the rooms", "rooms"), parlour.Action("Compare with 2025", "old")]
ROOMS_OF_WEEK = [
    {
        "room": f"{('Sea view', 'Garden', 'Attic')[at % 3]} {at + 1}",
        "guest": ("Ada Lovelace", "Grace Hopper", "Emmy Noether", "")[at % 4],
        "nights": (3, 2, 7, None)[at % 4],
        "price": (420.0, 198.5, 1015.0, None)[at % 4],
    }
    for at in range(40)
]


async def plan(session: parlour.Session, *, wait: bool) -> None:
    async with session.part("Plan the week", cost=True) as whole:
        whole.write("1. look for free rooms\n2. compare prices\n3. write the offer\n")
        session.add_cost(0.0123, input_tokens=812, output_tokens=95)
        async with session.part("Search the rooms", kind="tool", input={"nights": 3}) as part:
            await asyncio.sleep(0.6)
            part.output = [{"room": "Sea view 4", "price": 420}]
        async with session.part("Ask the booking service", kind="tool") as part:
            part.fail("The service does not answer.")
        async with session.part("Compare prices"):
            session.progress(3, 8, "rooms compared")
            await asyncio.sleep(60 if wait else 0.1)
    session.reply("The sea view is free from *Thursday*.")


@app.on_message
async def show(session: parlour.Session, message: parlour.Message) -> None:
    match message.text:
        case "prose":
            session.reply(PROSE)
        case "code":
            session.reply(CODE)
        case "stream":
            async with session.stream() as out:
                for number in range(200):
                    out.write(f"word {number} " if number % 20 else "\n\nA new thought. ")
                    await asyncio.sleep(0.02)
        case "figure":
            session.reply(
                "Bookings went up in **spring**, and the garden rooms were the first to go.",
                attachments=[parlour.Figure(BOOKINGS), parlour.Actions(OFFERS)],
            )
        case "table":
            session.reply("All rooms of this week:", attachments=[parlour.Table(ROOMS_OF_WEEK)])
        case "steps" | "steps-running":
            await plan(session, wait=message.text != "steps")
        case "work":
            await session.sleep(60)
        case "fail":
            raise ValueError
        case _:
            await ask(session, message.text)


async def ask(session: parlour.Session, kind: str) -> None:
    match kind:
        case "text":
            await session.ask("Which colour?", timeout=600)
        case "number":
            await session.ask("How many guests?", int, minimum=1, maximum=9)
        case "date":
            await session.ask("Which day?", dt.date)
        case "confirm":
            await session.confirm("Shall I book it?")
        case "choose":
            await session.choose("Which room?", ROOMS)
        case "many":
            await session.choose_many("Which extras?", ["Sauna", "Parking", "Dog"], minimum=1)
        case "file":
            await session.ask_file("A photo, please.", accept=["image/*", ".pdf"])
        case "form":
            await session.ask("Please tell us about your stay.", Wishes)
        case text:
            session.reply(text)
