"""What nobody expected to break: whoever waits for an outcome is told one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from house import House, run, settled, until

import parlour
from parlour.engine import Engine
from parlour.engine.activation import Activation
from parlour.engine.runner import Runner
from parlour.errors import Refused
from parlour.events import Say
from parlour.stores.memory import MemoryStore

promise = pytest.mark.promise


def plain_app() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        session.reply(f"heard {message.text}")

    return app


async def outcomes(engine: Engine, session: str, *commands: Any) -> list[Any]:
    async with asyncio.timeout(10):
        return await asyncio.gather(
            *[engine.send(session, None, command) for command in commands], return_exceptions=True
        )


@promise("P13")
@pytest.mark.parametrize("asleep", [False, True])
def test_a_command_that_breaks_the_engine_is_answered_and_so_are_its_neighbours(
    house: House, asleep: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with house.running(plain_app()) as running:
            session = await running.get_session()
            if asleep:
                await settled(session)
                found = running.engine.find_live(session.id)
                assert found is not None
                assert found.release()
            broken, good = await outcomes(
                running.engine, session.id, Say(id=["no id"], text="a"), Say(id="m1", text="b")
            )
            assert isinstance(broken, Refused)
            assert broken.code == "unavailable"
            assert good.seq
            assert (await session.send_message("c")).replies == ("heard c",)
        assert "could not take a command" in caplog.text
        assert "no id" not in "".join(record.getMessage() for record in caplog.records)

    run(main())


def test_a_session_that_breaks_on_waking_tells_all_who_wait_and_wakes_again(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with house.running(plain_app()) as running:
            session = await running.get_session()
        async with house.running(plain_app()) as running:
            with monkeypatch.context() as patched:
                patched.setattr(Activation, "wake", _broken)
                found = await outcomes(
                    running.engine, session.id, Say(id="m1", text="a"), Say(id="m2", text="b")
                )
            assert [error.code for error in found] == ["unavailable", "unavailable"]
            session = await running.get_session(session.id)
            assert (await session.send_message("c")).replies == ("heard c",)
        assert "could not go on" in caplog.text

    run(main())


@promise("P5")
def test_what_the_session_could_not_follow_is_neither_accepted_nor_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with house.running(plain_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            before = len(await session.records())
            with monkeypatch.context() as patched:
                patched.setattr(Runner, "go_on", _broken)
                (refused,) = await outcomes(running.engine, session.id, Say(id="m1", text="b"))
            assert isinstance(refused, Refused)
            assert len(await session.records()) == before
            assert (await session.send_message("c", id="m1")).replies == ("heard c",)

    run(main())


def _broken(*_: object, **__: object) -> None:
    raise LookupError("a defect of the engine")


class Stuck(MemoryStore):
    """A store where a session cannot be claimed in any time."""

    async def claim(self, session: str) -> Any:
        return await asyncio.Event().wait()


def test_who_waits_for_a_session_to_wake_is_told_when_the_engine_stops(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(limits=parlour.Limits(stop_seconds=0.01))
        async with house.running(plain_app(), wrap=lambda _: Stuck()) as running:
            waiting = asyncio.create_task(
                outcomes(running.engine, "0" * 32, Say(id="m1", text="a"))
            )
            await until(lambda: bool(running.engine._waking))
        (refused,) = await waiting
        assert isinstance(refused, Refused)
        assert refused.retry_after is not None

    run(main())
