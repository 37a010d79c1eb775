"""What is recorded happens once: replay of the running round after a crash."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from house import House, run, said, settled, until

import parlour
from parlour.events import QuestionAsked, RoundFinished, StepFinished

promise = pytest.mark.promise


def asking_app(log: list[str]) -> parlour.App:
    app = parlour.App()

    def effect() -> int:
        log.append("effect")
        return 42

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        log.append("handler")
        number = await session.step(effect)
        session.reply(f"step gave {number}")
        session.set("count", session.get("count", 0) + 1)
        name = await session.ask("Name?")
        session.reply(f"Hello {name}, count is {session.get('count')}")

    return app


@promise("P7")
@promise("P8")
def test_a_waiting_question_survives_a_crash_and_nothing_before_it_is_done_again(
    house: House,
) -> None:
    async def main() -> None:
        log: list[str] = []
        async with house.running(asking_app(log)) as running:
            session = await running.get_session()
            waiting = await session.send_message("go")
            assert waiting.status == "waiting"
            await house.crash(running)
        async with house.running(asking_app(log)) as running:
            session = await running.get_session(session.id)
            done = await session.answer("Ada")
            assert done.status == "done"
            assert log == ["handler", "effect", "handler"]
            assert await said(session) == [
                "user: go",
                "bot: step gave 42",
                "bot: Name?",
                "user: Ada",
                "bot: Hello Ada, count is 1",
            ]

    run(main())


@promise("P8")
def test_a_round_that_was_working_goes_on_by_itself_when_the_engine_starts_again(
    house: House,
) -> None:
    async def main() -> None:
        log: list[str] = []
        blocked = asyncio.Event()

        def app(first: bool) -> parlour.App:
            app = parlour.App()

            async def hang() -> str:
                log.append("hang")
                if first:
                    blocked.set()
                    await asyncio.Event().wait()
                return "ready"

            def effect() -> None:
                log.append("effect")

            @app.on_message
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                session.reply("one")
                await session.step(effect)
                session.reply(await session.step(hang))

            return app

        async with house.running(app(first=True)) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("go", id="m1"))
            await blocked.wait()
            await house.crash(running)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        async with house.running(app(first=False)) as running:
            session = await running.get_session(session.id)
            await settled(session)
            again = await session.send_message("go", id="m1")
            assert again.replies == ("one", "ready")
            assert log == ["effect", "hang", "hang"]

    run(main())


@promise("P8")
def test_what_time_and_chance_gave_is_the_same_in_a_replay(house: House) -> None:
    async def main() -> None:
        seen: list[tuple[Any, ...]] = []
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            seen.append((session.now(), session.random(), session.uuid()))
            await session.ask("Go on?")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("hi")
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            await session.answer("yes")
            assert len(seen) == 2
            assert seen[0] == seen[1]

    run(main())


@promise("P8")
def test_a_failed_step_fails_the_same_way_after_a_crash_without_running_again(
    house: House,
) -> None:
    async def main() -> None:
        runs: list[int] = []

        def broken() -> None:
            runs.append(1)
            raise ValueError("no luck")

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            try:
                await session.step(broken)
            except parlour.StepFailed as failure:
                session.reply(f"{failure.type}: {failure.reason}")
            await session.ask("Go on?")
            session.reply("done")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("hi")
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.answer("yes")
            assert result.status == "done"
            assert runs == [1]
            assert "bot: ValueError: no luck" in await said(session)

    run(main())


def test_a_step_is_tried_again_as_its_retry_says(house: House) -> None:
    async def main() -> None:
        tries: list[int] = []

        async def flaky() -> str:
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError("not yet")
            return "third time"

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply(await session.step(flaky, retry=parlour.Retry(attempts=3, delay=0.001)))

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("hi")
            assert result.reply == "third time"
            assert len(tries) == 3

    run(main())


@promise("P8")
def test_an_at_most_once_step_that_was_interrupted_is_not_repeated(house: House) -> None:
    async def main() -> None:
        runs: list[int] = []
        started = asyncio.Event()

        async def pay() -> None:
            runs.append(1)
            started.set()
            await asyncio.Event().wait()

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            try:
                await session.step(pay, at_most_once=True)
            except parlour.StepInterrupted:
                session.reply("please check your account")

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("pay", id="m"))
            await started.wait()
            await house.crash(running)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.send_message("pay", id="m")
            assert result.replies == ("please check your account",)
            assert runs == [1]

    run(main())


@promise("P8")
def test_branches_side_by_side_find_their_own_effects_again(house: House) -> None:
    async def main() -> None:
        log: list[str] = []

        async def look(what: str) -> str:
            log.append(what)
            return what.upper()

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async def branch(what: str) -> str:
                found = await session.step(look, what)
                answer = await session.ask(f"{what}?")
                return f"{found}={answer}"

            both = await session.gather(branch("a"), branch("b"))
            session.reply(" ".join(both))

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("go"))
            while (running_round := (await session.state()).round) is None or len(
                running_round.questions
            ) < 2:
                await asyncio.sleep(0.001)
            first, second = running_round.questions
            await sending
            await session.answer("2", question=second)
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.answer("1", question=first)
            assert result.status == "done"
            answers = {"a": "1" if log[0] == "a" else "2", "b": "2" if log[0] == "a" else "1"}
            assert (await said(session))[-1] == f"bot: A={answers['a']} B={answers['b']}"
            assert sorted(log) == ["a", "b"]

    run(main())


@promise("P8")
def test_the_winner_of_a_race_wins_again(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async def slow() -> str:
                await session.sleep(3600)
                return "slow"

            async def quick() -> str:
                session.reply("quick was here")
                return "quick"

            winner = await session.race(slow(), quick())
            await session.ask("Go on?")
            session.reply(winner)

        async with house.running(app) as running:
            session = await running.get_session()
            waiting = await session.send_message("go")
            assert waiting.status == "waiting"
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.answer("yes")
            assert (result.status, result.reply) == ("done", "quick")
            assert (await said(session)).count("bot: quick was here") == 1

    run(main())


@promise("P9")
def test_code_that_no_longer_matches_ends_the_round_and_names_both_sides(house: House) -> None:
    async def main() -> None:
        def app(question: str) -> parlour.App:
            app = parlour.App()

            @app.on_message
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                if message.text == "ask":
                    await session.ask(question)
                session.reply("fine")

            return app

        async with house.running(app("Which city?")) as running:
            session = await running.get_session()
            await session.send_message("ask")
            await house.crash(running)
        async with house.running(app("Which town?")) as running:
            session = await running.get_session(session.id)
            result = await session.answer("Ulm")
            assert result.status == "diverged"
            finished = result.events[-1]
            assert isinstance(finished, RoundFinished)
            assert "Which city?" in finished.detail
            assert "Which town?" in finished.detail
            after = await session.send_message("hello")
            assert (after.status, after.reply) == ("done", "fine")

    run(main())


@promise("P9")
def test_an_effect_that_the_code_does_not_reach_any_more_is_divergence(house: House) -> None:
    async def main() -> None:
        def app(*, greets: bool) -> parlour.App:
            app = parlour.App()

            @app.on_message
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                if greets:
                    session.reply("Good day")
                await session.ask("Well?")

            return app

        async with house.running(app(greets=True)) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        async with house.running(app(greets=False)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("so")
            assert result.status == "diverged"
            finished = result.events[-1]
            assert isinstance(finished, RoundFinished)
            assert "reply#1" in finished.detail

    run(main())


@promise("P9")
def test_an_edit_that_leaves_the_recorded_effects_alone_goes_on(house: House) -> None:
    async def main() -> None:
        old, new = parlour.App(), parlour.App()

        @old.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.ask("Name?", name="name")
            session.reply("bye")

        @new.on_message
        async def talk_more(session: parlour.Session, message: parlour.Message) -> None:
            session.set("version", 2)
            name = await session.ask("Name?", name="name")
            session.reply(f"bye {name}, from version {session.get('version')}")

        async with house.running(old) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        async with house.running(new) as running:
            session = await running.get_session(session.id)
            result = await session.answer("Ada")
            assert (result.status, result.reply) == ("done", "bye Ada, from version 2")

    run(main())


@promise("P9")
def test_a_diverged_round_begins_again_if_the_settings_say_so(house: House) -> None:
    async def main() -> None:
        def app(question: str) -> parlour.App:
            app = parlour.App()

            @app.on_message
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                session.reply(f"{question} {await session.ask(question)}")

            return app

        house.settings = parlour.Settings(on_divergence="restart")
        async with house.running(app("City?")) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        async with house.running(app("Town?")) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("Ulm")).status == "diverged"
            while (question := await session.question()) is None:
                await asyncio.sleep(0.001)
            assert question.text == "Town?"
            result = await session.answer("Bonn")
            assert result.reply == "Town? Bonn"

    run(main())


def test_an_unjournaled_wait_in_a_replay_is_an_error_in_development(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await asyncio.sleep(0.001)
            await session.ask("Well?")

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("x")).status == "waiting"
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.answer("so")
            assert result.status == "failed"
            assert "session.step" in result.reason

    run(main())


def test_an_unjournaled_wait_in_a_replay_is_a_warning_in_production(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await asyncio.sleep(0.001)
            session.reply(await session.ask("Well?"))

        house.settings = parlour.Settings()
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        with caplog.at_level(logging.WARNING):
            async with house.running(app) as running:
                session = await running.get_session(session.id)
                result = await session.answer("so")
                assert (result.status, result.reply) == ("done", "so")
        assert "not journaled" in caplog.text

    run(main())


@promise("P8")
def test_a_streamed_message_that_is_recorded_is_not_streamed_again(house: House) -> None:
    async def main() -> None:
        asked: list[str] = []

        async def model() -> Any:
            asked.append("model")
            for token in ("Hel", "lo"):
                yield token

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            text = await session.stream_from(model())
            session.reply(f"{text} {await session.ask('And?')}")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.answer("so")
            assert result.reply == "Hello so"
            assert asked == ["model"]

    run(main())


def test_a_round_that_never_gets_any_further_is_given_up(house: House) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "hang":
                session.reply("begun")
                await session.step(hang)
            session.reply("fine")

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("hang", id="m"))
            await started.wait()
            await house.crash(running)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        for _ in range(house.settings.limits.resumptions):
            started.clear()
            async with house.running(app) as running:
                await started.wait()
                await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.send_message("hang", id="m")
            assert result.status == "failed"
            assert (await session.send_message("hello")).reply == "fine"

    run(main())


def test_a_large_step_result_is_refused_with_the_cure(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.step(lambda: "x" * 1_000_000, name="big")

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("x")
            assert result.status == "failed"
            assert "workspace" in result.reason

    run(main())


def test_steps_give_back_what_their_annotation_says(house: House) -> None:
    async def main() -> None:
        import datetime as dt

        def tomorrow() -> dt.date:
            return dt.date(2026, 11, 22)

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply(repr(await session.step(tomorrow)))

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("x")
            assert result.reply == "datetime.date(2026, 11, 22)"
            steps = [event for event in result.events if isinstance(event, StepFinished)]
            assert [step.path for step in steps] == ["step:tomorrow#1"]

    run(main())


def test_the_same_question_in_a_loop_has_a_place_for_each_turn(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            names = [await session.ask("Name?") for _ in range(3)]
            session.reply(",".join(names))

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("x")
            for name in ("a", "b", "c"):
                assert result.status == "waiting"
                await until(lambda: True)
                result = await session.answer(name)
            assert result.reply == "a,b,c"
            asked = [r.event for r in await session.records() if isinstance(r.event, QuestionAsked)]
            assert [event.path for event in asked] == ["ask#1", "ask#2", "ask#3"]

    run(main())


@promise("P9")
@pytest.mark.parametrize("what", ["reply", "set", "step", "delete"])
def test_an_effect_with_other_arguments_than_recorded_is_divergence(
    house: House, what: str
) -> None:
    async def main() -> None:
        def app(text: str) -> parlour.App:
            app = parlour.App()

            @app.on_message
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                if what == "reply":
                    session.reply(text)
                elif what == "set":
                    session.set("name", text)
                elif what == "delete":
                    session.delete("name" if text == "one" else "other")
                else:
                    await session.step(str.upper, text, name="upper")
                await session.ask("Well?")

            return app

        async with house.running(app("one")) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        async with house.running(app("two")) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("so")).status == "diverged"

    run(main())


@promise("P9")
def test_a_session_that_was_to_close_and_diverges_begins_again(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(on_divergence="restart")
        old, new = parlour.App(), parlour.App()

        @old.on_open
        async def ask(session: parlour.Session) -> None:
            session.close()
            await session.ask("Name?")

        @new.on_open
        async def leave(session: parlour.Session) -> None:
            session.close()
            session.reply("bye")

        async with house.running(old) as running:
            session = await running.get_session()
            await house.crash(running)
        async with house.running(new) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("Ada")).status == "diverged"
            while (await session.state()).phase != "closed":
                await asyncio.sleep(0.001)
            assert (await said(session))[-1] == "bot: bye"

    run(main())


@promise("P8")
def test_raw_tasks_and_task_groups_find_their_effects_again(house: House) -> None:
    async def main() -> None:
        log: list[str] = []

        async def look(what: str) -> str:
            log.append(what)
            return what.upper()

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async with asyncio.TaskGroup() as group:
                one = group.create_task(session.step(look, "a"))
                two = group.create_task(session.step(look, "b"))
            name = await session.ask("Name?")
            session.reply(f"{one.result()}{two.result()} {name}")

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("x")).status == "waiting"
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            result = await session.answer("Ada")
            assert (result.status, result.reply) == ("done", "AB Ada")
            assert sorted(log) == ["a", "b"]

    run(main())
