"""Commands of wrong types from the same process are refused; nothing of them is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from house import House, run, said
from msgspec import Raw

import parlour
from parlour.errors import Refused
from parlour.events import Answer, AnswerRejected, Assign, Close, Say, Signal, Stop

promise = pytest.mark.promise


@asynccontextmanager
async def asking(house: House) -> AsyncGenerator[Any]:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        session.reply(f"hello {await session.ask_form('?', {})}")

    @app.on_signal
    async def signalled(session: parlour.Session, signal: parlour.SignalMessage) -> None: ...

    async with house.running(app) as running:
        session = await running.get_session()
        assert (await session.send_message("go")).status == "waiting"
        yield session


@pytest.mark.parametrize(
    "command",
    [
        Say(id="a", text=5),
        Say(id="a", text="a", files=("x",)),
        Say(id=5, text="a"),
        Answer(id="a", question=1.0, text="a"),
        Answer(id="a", question=True, text="a"),
        Answer(id="a", value=5),
        Answer(id="a", value=Raw(b"[" * 900 + b"]" * 900)),
        Signal(id="a", name=5),
        Signal(id="a", name="a", data=5),
        Signal(id="a", name="a", data=Raw(b"[" * 900 + b"]" * 900)),
        Assign(id="a", name=5, value=Raw(b"1")),
        Assign(id="a", name=[], value=None),
        Assign(id="a", name="a", value=5),
        Assign(id="a", name="a", value=Raw(b"{bad")),
        Assign(id="a", name="a", value=Raw(b"1"), kind=5),
        Close(id="a", reason="bored"),
        Stop(id="a", round="x"),
        Say(id=["a"], text="a"),
        5,
    ],
    ids=repr,
)
def test_a_command_of_wrong_types_is_refused_and_leaves_no_trace(
    house: House, command: Any
) -> None:
    async def main() -> None:
        async with asking(house) as session:
            engine = session._engine
            before = len(await session.records())
            outcome = await asyncio.gather(
                engine.send(session.id, None, command), return_exceptions=True
            )
            left = [type(record.event) for record in (await session.records())[before:]]
            assert [AnswerRejected] == left or (isinstance(outcome[0], Refused) and not left)
            assert (await session.answer({})).replies == ("hello {}",)
            assert (await said(session))[-1] == "bot: hello {}"

    run(main())
