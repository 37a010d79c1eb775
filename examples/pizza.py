"""A pizzeria that takes orders: a flow with intents, entities, questions, a timeout and a picture.

    parlour run examples/pizza.py        in the browser
    parlour flow examples/pizza.py       its diagram
    pip install 'parlour[flow]'          what it needs

Say "two large diavola please". Say "I want to talk to somebody" at any time: a colleague takes
over, of which the application tells by the events `ColleagueSays` and `ColleagueLeaves`.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import parlour
from parlour.agents.flow import BlockingFlowSession, FlowSession

PRICES = {"small": 6, "medium": 9, "large": 12}
COLOURS = {"Margherita": "#f2e6b8", "Funghi": "#a98467", "Diavola": "#a4161a", "Hawaii": "#ffd60a"}


@dataclass
class ColleagueSays:
    """Somebody of the staff writes to the customer."""

    text: str


@dataclass
class ColleagueLeaves:
    """The staff gives the conversation back."""


flow = parlour.Flow("pizza", fallback="Sorry, I only know about pizza. Which one would you like?")
flow.entity(
    "pizza",
    {
        "Margherita": ["cheese", "plain"],
        "Funghi": ["mushroom", "mushrooms"],
        "Diavola": ["salami", "spicy", "pepperoni"],
        "Hawaii": ["pineapple"],
    },
)
flow.entity("size", {"small": ["little"], "medium": ["normal"], "large": ["big", "family"]})

order = flow.intent(
    "order",
    [
        "I would like a pizza",
        "a {size:size} {pizza:pizza} please",
        "{count:int} {size:size} {pizza:pizza}",
        "can I have a {pizza:pizza}",
        "one more {pizza:pizza}",
        "I want to order something to eat",
    ],
    ask={"pizza": "Which pizza?", "size": "Which size?"},
)
finished = flow.intent(
    "finished",
    ["that is all", "nothing else", "I am done", "no thanks, that was it", "finish my order"],
)
cancel = flow.intent("cancel", ["cancel my order", "forget it", "start again", "never mind"])
human = flow.intent(
    "human",
    ["I want to talk to somebody", "a human please", "let me speak to your staff", "call somebody"],
)

welcome, ordering, baking, done = flow.states(
    "welcome", "ordering", "baking", "done", initial="welcome", final="done"
)
basket, checkout = ordering.states("basket", "checkout", initial="basket")

# -- a colleague, from anywhere ------------------------------------------------------------------

handover = parlour.Flow("colleague", fallback="")
waiting = handover.state("waiting", initial=True)
waiting.say("I am asking a colleague to join. Just write, they will read it.")
waiting.when(ColleagueSays).do(
    lambda session, event: session.reply(f"Colleague: {event.text}")
).stay()
waiting.when(ColleagueLeaves).end()
waiting.after(minutes=5, silence=True).end(say="My colleagues are busy, I am sorry.")
waiting.when_message().do(lambda session, event: session.set("for_staff", event.text)).stay()

flow.any.when_intent(human).call(handover, back="remind")
flow.any.when_intent(cancel).go_to(welcome, say="All right, nothing is ordered.")

# -- the order -----------------------------------------------------------------------------------


@welcome.body
async def greet(session: FlowSession) -> None:
    session.set("basket", [])
    session.reply(f"Welcome! We bake {', '.join(COLOURS)}, each small, medium or large.")


@welcome.reminder
@basket.reminder
def go_on(session: BlockingFlowSession) -> None:
    session.reply("I am back. What else would you like?")


def add(session: BlockingFlowSession, _event: object, parameters: dict[str, Any]) -> None:
    count = min(max(parameters.get("count", 1), 1), 20)
    line = {"pizza": parameters["pizza"], "size": parameters["size"], "count": count}
    session.set("basket", [*session.get("basket", []), line])


welcome.when_intent(order).do(add).go_to(ordering)
basket.when_intent(order).do(add).go_to(basket)
basket.when_intent(finished).go_to(checkout)
ordering.after(minutes=15, silence=True).go_to(
    welcome, say="I have not heard of you for a while, so I have put your order away."
)


@basket.body
async def show(session: FlowSession) -> None:
    lines = session.get("basket", [])
    listed = "\n".join(f"- {line['count']} × {line['size']} {line['pizza']}" for line in lines)
    await session.send_file(
        picture(lines), name="order.png", text=f"{listed}\n\n{total(lines)} euros. Anything else?"
    )


@checkout.body
async def where_to(session: FlowSession) -> None:
    address = await session.ask("Where shall we bring it?", minimum=5)
    if not await session.confirm(f"{total(session.get('basket', []))} euros, to {address}?"):
        session.signal("changed")
        return
    session.set("address", address)
    number = await session.step(send_to_kitchen, session.get("basket"), at_most_once=True)
    session.set("number", number)


checkout.when("changed").go_to(basket)
checkout.when_variable("number", ">", 0).go_to(baking)
checkout.when_error(parlour.StepInterrupted).go_to(
    basket, say="I am not sure that the kitchen has your order; please finish it once more."
)


def send_to_kitchen(lines: list[dict[str, Any]]) -> int:
    return 100 + len(lines)  # the call to the kitchen's own system


async def bake(lines: list[dict[str, Any]]) -> float:
    await asyncio.sleep(0.05)  # the oven; a real one takes longer and is asked now and then
    return 10.0 + 2.0 * len(lines)


baking.say("Order {number} is in the oven.")
baking.invoke(bake, "basket")
baking.when_done(bake).do(
    lambda session, event: session.reply(f"It will be with you in {event.value:.0f} minutes.")
).go_to(done)
baking.when_failed(bake).go_to(done, say="The oven is cold; we will call you.")
baking.when_message().stay(say="It is in the oven, one moment.")


@done.body
async def thank(session: FlowSession) -> None:
    session.delete("number")
    session.reply("Enjoy your meal!")


# -- pictures ------------------------------------------------------------------------------------


def total(lines: list[dict[str, Any]]) -> int:
    return sum(PRICES[line["size"]] * line["count"] for line in lines)


def picture(lines: list[dict[str, Any]]) -> bytes:
    """The order as a PNG: every pizza as large as it is."""
    from mermaidx import svg_to_png  # pyright: ignore[reportMissingTypeStubs]

    parts: list[str] = []
    left = 10.0
    for line in lines[-6:]:
        radius = {"small": 28, "medium": 38, "large": 48}[line["size"]]
        for _ in range(min(line["count"], 4)):
            parts.append(_pizza(left + radius, 60, radius, COLOURS[line["pizza"]]))
            left += 2 * radius + 8
    size = f'width="{left:.0f}" height="120"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'
    return bytes(svg_to_png(svg))


def _pizza(x: float, y: float, radius: float, colour: str) -> str:
    dots = "".join(
        f'<circle cx="{x + radius * 0.55 * math.cos(turn):.1f}" '
        f'cy="{y + radius * 0.55 * math.sin(turn):.1f}" r="{radius * 0.16:.1f}" fill="{colour}"/>'
        for turn in (0.3, 1.4, 2.4, 3.6, 4.7, 5.7)
    )
    return (
        f'<circle cx="{x:.1f}" cy="{y}" r="{radius}" fill="#d9a066"/>'
        f'<circle cx="{x:.1f}" cy="{y}" r="{radius * 0.85:.1f}" fill="#e63946"/>{dots}'
    )


app = parlour.App(flow, title="Pizzeria")
