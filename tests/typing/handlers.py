"""What a type checker knows of handlers, as users write them. `make types` checks this file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import msgspec
import pydantic

import parlour
from parlour.questions import NumberQuestion, Option

app = parlour.App(title="Desk", settings=parlour.Settings(limits=parlour.Limits(threads=4)))


@dataclass
class Stay:
    arrival: dt.date
    nights: int = 1


class Room(msgspec.Struct):
    number: int


class Guest(pydantic.BaseModel):
    name: str


def price(room: Room, nights: int) -> float:
    return float(room.number * nights)


async def book(room: Room) -> str:
    return str(room.number)


@app.on_open
async def greet(session: parlour.Session) -> None:
    assert_type(await session.ask("Name?"), str)
    assert_type(await session.ask("Name?", str, minimum=2, multiline=True), str)
    assert_type(await session.ask("How many?", int), int)
    assert_type(await session.ask("How many?", int, default=1, minimum=1, maximum=9), int)
    assert_type(await session.ask("How much?", float, timeout=dt.timedelta(hours=1)), float)
    assert_type(await session.ask("Sure?", bool), bool)
    assert_type(await session.ask("When?", dt.date, minimum=dt.date(2026, 1, 1)), dt.date)
    assert_type(await session.ask("Which?", Stay), Stay)
    assert_type(await session.ask("Which?", Room), Room)
    assert_type(await session.ask("Who?", Guest, timeout=5), Guest)
    assert_type(await session.ask("?", NumberQuestion(integer=True)), Any)
    assert_type(await session.choose("Which?", ["a", "b"]), str)
    assert_type(await session.choose("Which?", {"a": "A"}, default="a"), str)
    assert_type(await session.choose("Which?", [Option(value="a", label="A")]), str)
    assert_type(await session.choose_many("Which?", ("a", "b"), minimum=1), list[str])
    assert_type(await session.confirm("Sure?", default=True), bool)
    assert_type(await session.ask_file("Photo?", accept=["image/*"]), parlour.File)
    assert_type(await session.ask_files("Photos?", maximum=3), list[parlour.File])
    assert_type(await session.ask_form("Form", {"type": "object"}), dict[str, Any])


@app.on_message
async def answer(session: parlour.Session, message: parlour.Message) -> None:
    assert_type(message.text, str)
    assert_type(message.files, tuple[parlour.File, ...])

    assert_type(session.get("count"), Any)
    assert_type(session.get("count", 0, int), int)
    assert_type(session.get("count", None, int), int | None)
    assert_type(session.get("stay", type=Stay), Stay | None)
    session.set("count", session.get("count", 0, int) + 1)
    session.delete("count")
    assert_type(session.variables, dict[str, Any])
    assert_type(session.history, tuple[parlour.Message, ...])
    assert_type(session.file, parlour.File | None)
    assert_type(session.files, tuple[parlour.File, ...])
    assert_type(session.workspace, Path)
    assert_type(session.id, str)
    session.local["model"] = object()

    assert_type(await session.step(price, Room(7), 2), float)
    assert_type(await session.step(book, Room(7), retry=3, timeout=5.0), str)
    assert_type(
        await session.step(book, Room(7), retry=parlour.Retry(attempts=2), at_most_once=True), str
    )
    assert_type(await session.step(lambda: 3, name="three"), int)

    assert_type(session.now(), dt.datetime)
    assert_type(session.random(), float)
    assert_type(session.uuid(), UUID)
    assert_type(await session.race(book(Room(1)), book(Room(2))), str)
    await session.sleep(1.5)
    await session.sleep(dt.timedelta(days=1))

    async with session.stream() as out:
        assert_type(out, parlour.Stream)
        out.write("token")
        assert_type(out.text, str)
    assert_type(await session.stream_from(["a", "b"]), str)

    await session.reply("done")
    await session.user.set("visits", 1)
    visits: int = await session.user.get("visits", 0)
    session.add_cost(0.01, input_tokens=visits, model="m")
    assert_type(await session.send_file(b"...", name="a.txt"), parlour.File)
    assert_type(await session.fetch_history(limit=3), list[parlour.Message])
    assert_type(session.take_messages(), tuple[parlour.Message, ...])
    session.close()


@app.on_signal
async def signalled(session: parlour.Session, signal: parlour.SignalMessage) -> None:
    assert_type(signal.name, str)
    assert_type(signal.data, Any)


@app.on_stop
@app.on_close
@app.on_wake
async def quietly(session: parlour.Session) -> None:
    try:
        await session.step(book, Room(7))
    except parlour.StepInterrupted as interrupted:
        assert_type(interrupted.name, str)
    except (parlour.StepFailed, parlour.AskTimeout, parlour.NotStorable) as failed:
        assert_type(failed, parlour.StepFailed | parlour.AskTimeout | parlour.NotStorable)


desk = app.profile("desk", label="Guest desk", starters=["A room", parlour.Starter(label="Wi-Fi")])


@app.settings
@dataclass
class Taste:
    stars: int = 3


@app.starters
async def begin(visitor: parlour.Visitor) -> list[parlour.Starter]:
    assert_type(visitor.languages, tuple[str, ...])
    return [parlour.Starter(label=visitor.profile)]


@desk.on_message
async def at_desk(session: parlour.Session, message: parlour.Message) -> None:
    assert_type(session.settings(Taste), Taste)
    assert_type(session.settings(Taste).stars, int)
    assert_type(session.profile, str)
    assert_type(session.user_env["KEY"], str)
    session.show(message.text, {"room": 7}, text="Room 7")


@app.on_feedback
async def learn(session: parlour.Session, feedback: parlour.Feedback) -> None:
    assert_type(feedback.message, int)
    session.set("reason", feedback.reason)
