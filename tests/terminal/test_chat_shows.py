"""What a terminal shows of attachments, buttons, parts of the work and progress."""

from __future__ import annotations

import re

BOT = """
    import asyncio
    from parlour import Action, Actions, Table

    @app.on_message
    async def answer(session, message):
        async with session.part("Plan", input={"for": message.text}) as plan:
            async with session.part("Search") as search:
                session.progress(3, 10, "pages")
                if message.text == "wait":
                    await asyncio.sleep(600)
                search.fail("Nothing was found.")
            plan.output = "1. give up"
        session.reply("These are left:", attachments=[
            Table([{"room": 1}], name="rooms", alt="Free rooms"),
            Actions([Action("Book it", "book", {"room": 1}), Action("No", "no")]),
        ])

    @app.on_signal
    async def pressed(session, signal):
        session.reply(f"{signal.name}: {signal.data}")
"""


def test_a_pipe_gets_parts_files_and_buttons_as_lines(app, parlour, tmp_path):
    app(BOT)
    done = parlour("chat", "bot.py", lines="go\n/press 3\n/press Book it\n/press 2\n")
    said = [re.sub(r"\d\.\d s", "0.0 s", line) for line in done.stdout.splitlines()]
    place = re.compile(r"\[file\] rooms\.csv · Free rooms · 7 B · (\S+)")
    assert said[:8] == [
        "    [Search] failed 0.0 s",
        "    < Nothing was found.",
        "  [Plan] 0.0 s",
        "  > ```json",
        "  > {",
        '  >   "for": "go"',
        "  > }",
        "  > ```",
    ]
    assert said[8:10] == ["  < 1. give up", "These are left:"]
    found = place.fullmatch(said[10])
    assert found is not None
    assert (tmp_path / found[1]).read_text(encoding="utf-8") == "room\n1\n"
    assert said[11:] == [
        "(1. Book it",
        "2. No",
        "/press NUMBER presses one of these.)",
        "! There is no button '3': say a number from 1 to 2.",
        "book: {'room': 1}",
        "no: None",
    ]


def test_a_terminal_tells_what_goes_on_and_what_came_of_it(app, chat):
    app(BOT)
    terminal = chat("bot.py")
    terminal.types("wait")
    terminal.sees("Search pages 3/10")
    terminal.keys("\x03")
    terminal.sees("Stopped.")
    terminal.types("go")
    terminal.sees("✗")
    terminal.sees("Nothing was found.")
    terminal.sees("✓")
    terminal.sees("rooms.csv")
    terminal.sees("/press NUMBER")
    terminal.types("/press 1")
    terminal.sees("book:")
    terminal.keys("\x04")
    assert terminal.ends()[1] == 0
