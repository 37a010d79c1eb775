"""A disk that takes no more: nothing is accepted, nothing is shown, and all goes on afterwards."""

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from client import Client
from live_server import LiveServer, wait_until

from faults.case import Log
from faults.checker import violations

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux limits a process that runs already"
)
promise = pytest.mark.promise
Serve = Callable[..., LiveServer]
Visit = Callable[..., Client]

APP = """
import asyncio
from pathlib import Path

import parlour

HERE = Path(__file__).parent
app = parlour.App()


async def held():
    while (HERE / "hold").exists():
        await asyncio.sleep(0.005)
    return "done"


@app.on_message
async def talk(session, message):
    if message.text == "work":
        session.reply("I begin.")
        session.reply("It is " + await session.step(held, name="first"))
        session.reply("All is " + await session.step(held, name="second"))
    else:
        session.reply("echo " + message.text)
"""


@contextmanager
def full_disk(server: LiveServer, *, room: int = 0) -> Iterator[None]:
    """No file of the server can grow past `room` bytes, as on a disk that is full."""
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


@promise("P5")
@promise("P4")
def test_what_a_full_disk_cannot_keep_is_refused_and_succeeds_later(
    serve: Serve, visit: Visit
) -> None:
    server = serve(APP)
    client = visit(server, name="ada")
    session = client.open()
    client.say(session, "one")
    client.wait_finished(session, 1)
    seen = list(client.history.seen[session])
    with full_disk(server):
        say = client.say(session, "two")
        opening = client.command("open")
        for command in (say, opening):
            refusal = client.refusal(command)
            assert refusal["code"] == "unavailable"
            assert refusal["retry_after"] > 0
        client.ping()
        assert client.history.seen[session] == seen, "something was shown that is not kept"
        client.again(say)
        assert client.refusal(say)["code"] == "unavailable"
        assert server.is_well()
    for command in (say, opening):
        client.again(command)
        client.wait(lambda: command in client.history.acks, "it is accepted")  # noqa: B023
    client.wait_text(session, "bot: echo two")
    assert client.texts(session) == ["user: one", "bot: echo one", "user: two", "bot: echo two"]
    assert client.connections == 1
    server.kill()
    logs = {session: Log(user, server.log(session)) for session, user in server.owners().items()}
    assert violations([client.history], logs) == []


@promise("P8")
@promise("P13")
def test_a_round_that_meets_a_full_disk_goes_on_when_there_is_room(
    serve: Serve, visit: Visit
) -> None:
    server = serve(APP)
    (server.folder / "hold").touch()
    client = visit(server, name="ada")
    session = client.open()
    client.say(session, "work")
    client.wait_text(session, "bot: I begin.")
    with full_disk(server):
        (server.folder / "hold").unlink()
        wait_until(lambda: "refused a batch" in server.errors, "the store refuses", 10)
        client.ping()
        assert client.texts(session) == ["user: work", "bot: I begin."]
    client.wait_finished(session, 1)
    assert client.texts(session)[1:] == ["bot: I begin.", "bot: It is done", "bot: All is done"]
    assert client.finished(session) == ["done"]


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing(serve: Serve, visit: Visit) -> None:
    server = serve(APP)
    client = visit(server, name="ada")
    session = client.open()
    url = f"{server.url}/files?session={session}&name=x"
    bearer = {"Authorization": f"Bearer {client.resume}"}
    folder = server.folder / "parlour.db.files"
    # With some room the file itself fits, and what describes it does not.
    for room, content in ((0, 500_000 * b"x"), (50, b"short")):
        with full_disk(server, room=room):
            answer = httpx.post(url, content=content, headers=bearer)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert httpx.post(url, content=500_000 * b"x", headers=bearer).status_code == 201
