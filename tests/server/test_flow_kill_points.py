"""`kill -9` in the middle of a flow: each visitor's place, timers and works go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from client import Client
from live_server import LiveServer, wait_until

from faults.case import Log
from faults.checker import violations

APP = """
import asyncio
from pathlib import Path

import parlour

HERE = Path(__file__).parent
flow = parlour.Flow("shop")
states = flow.states("browse", "asking", "searching", "done", initial="browse")
browse, asking, searching, done = states


async def hold(point):
    '''Stand still here, if the test wants that.'''
    place = HERE / "hold-at"
    if place.exists() and place.read_text() == point:
        (HERE / "reached").touch()
        await asyncio.Event().wait()


async def reserve():
    with (HERE / "ran.txt").open("a") as file:
        file.write("reserve\\n")
    return "B7"


async def search(size):
    await hold("in what was invoked")
    return f"found {size}"


browse.say("Welcome!")
browse.when_message().go_to(asking)


@asking.body
async def ask(session):
    number = await session.step(reserve)
    session.set("size", await session.ask(f"{number}: which size?"))
    await hold("in a body")


asking.go_to(searching)
searching.invoke(search, "size")
searching.when_done(search).do(lambda session, event: session.reply(event.value)).go_to(done)
done.say("Now we wait.")
done.after(seconds=1).go_to(browse)
app = parlour.App(flow)
"""

TRANSCRIPT = [
    "bot: Welcome!",
    "user: hello",
    "bot? B7: which size?",
    "user! XL",
    "bot: found XL",
    "bot: Now we wait.",
    "bot: Welcome!",
]


@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
@pytest.mark.parametrize("point", ["in a question", "in a body", "in what was invoked", "waiting"])
def test_a_flow_that_is_killed_goes_on_where_it_was(
    point: str, serve: Callable[..., LiveServer], visit: Callable[..., Client]
) -> None:
    server = serve(APP)
    (server.folder / "hold-at").write_text(point)
    client = visit(server, name="ada")
    session = client.open()
    client.acked(client.say(session, "hello"))
    question = client.question(session)
    if point != "in a question":
        client.acked(client.answer(session, question, text="XL"))
    if point in ("in a body", "in what was invoked"):
        wait_until((server.folder / "reached").exists, f"the flow stands {point}")
    if point == "waiting":
        client.wait(lambda: "bot: Now we wait." in client.texts(session), "the flow waits")
    server.kill()
    (server.folder / "hold-at").unlink()
    server.start()
    if point == "in a question":
        client.acked(client.answer(session, client.question(session), text="XL"))
    client.wait(lambda: client.texts(session) == TRANSCRIPT, "the flow has come round")
    assert server.lines("ran.txt") == ["reserve"]
    server.kill()
    logs = {session: Log(client.history.user, server.log(session))}
    assert violations([client.history], logs) == []
