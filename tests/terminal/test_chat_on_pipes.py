import signal
import subprocess
import sys

import pytest

BOT = """
@app.on_open
async def greet(session):
    session.reply(f"Hello {await session.ask('Your name?')}")

@app.on_message
async def answer(session, message):
    if message.text == "choose":
        session.reply("you took " + await session.choose("Which?", ["red", "green"]))
    elif message.text == "slow":
        await session.sleep(0.5)
        session.reply("slowly done")
    else:
        session.reply(f"**echo** {message.text}")
"""


def test_lines_go_in_and_plain_text_comes_out_until_the_end_of_input(app, parlour):
    app(BOT)
    done = parlour("chat", "bot.py", lines="Ada\nhi\nchoose\nblue\n2\nslow\nbye\n")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Your name?",
        "Hello Ada",
        "**echo** hi",
        "Which?",
        "  1. red",
        "  2. green",
        "  a number or its label",
        "! Please give a number from 1 to 2, or a label.",
        "you took green",
        "slowly done",
        "**echo** bye",
    ]
    assert done.stderr.startswith("To go on: parlour chat bot.py --session ")
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.promise("P7")
def test_the_input_may_end_at_a_question_which_waits_for_the_next_time(app, parlour, sessions):
    app(BOT)
    assert parlour("chat", "bot.py").stdout == "Your name?\n"
    [session] = sessions()
    resumed = parlour("chat", "bot.py", "--session", session, lines="Ada\n")
    assert resumed.stdout == "Your name?\nHello Ada\n"


def test_nothing_that_steers_a_terminal_passes_a_pipe(app, parlour):
    app(r"""
    @app.on_message
    async def answer(session, message):
        session.reply(f"\x1b[31m{message.text}\x07")
    """)
    done = parlour("chat", "bot.py", "--store", "memory:", lines="a\x1b[2Jb\n")
    assert done.stdout == "␛[31ma␛[2Jb␇\n"
    assert done.stderr == ""


def test_a_form_is_read_line_by_line(app, parlour):
    app("""
    @dataclass
    class Stay:
        name: str
        arrival: dt.date
        nights: int = 2

    @app.on_message
    async def answer(session, message):
        stay = await session.ask("Your stay?", Stay)
        session.reply(f"{stay.name}, {stay.arrival}, {stay.nights}")
    """)
    done = parlour("chat", "bot.py", lines="go\nAda\nsoon\n2026-11-21\n\n")
    assert done.stdout.splitlines()[-1] == "Ada, 2026-11-21, 2"
    assert "! Please give a date like 2026-11-21." in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.promise("P14")
def test_an_interrupt_stops_the_round_and_the_next_line_is_taken(app, tmp_path):
    app("""
    @app.on_message
    async def answer(session, message):
        session.reply(f"begin {message.text}")
        if message.text == "slow":
            await asyncio.sleep(600)
    """)
    with subprocess.Popen(
        [sys.executable, "-m", "parlour", "chat", "bot.py"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as chat:
        assert chat.stdin
        assert chat.stdout
        chat.stdin.write("slow\nquick\n")
        chat.stdin.flush()
        assert chat.stdout.readline() == "begin slow\n"
        chat.send_signal(signal.SIGINT)
        assert chat.stdout.readline() == "(Stopped.)\n"
        assert chat.stdout.readline() == "begin quick\n"
        chat.stdin.close()
        assert chat.wait(30) == 0


def test_a_session_that_is_not_there_is_one_clear_line(app, parlour):
    app(BOT)
    done = parlour("chat", "bot.py", "--session", "0" * 32)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "there is no session 000" in done.stderr
    assert "parlour sessions ls" in done.stderr


def test_a_component_is_said_in_words_and_a_key_comes_from_the_environment(
    app, parlour, sessions, monkeypatch
):
    app("""
    app.user_env = parlour.offers.user_keys(["MODEL_KEY"])

    @app.on_message
    async def answer(session, message):
        session.show("room-map", {"room": 7}, text=f"Room {len(session.user_env['MODEL_KEY'])}")
    """)
    monkeypatch.setenv("MODEL_KEY", "sk-1234")
    done = parlour("chat", "bot.py", lines="hi\n")
    assert done.stdout.splitlines() == ["Room 7"]
    [session] = sessions()
    assert "bot  Room 7" in parlour("sessions", "show", session[:8]).stdout
