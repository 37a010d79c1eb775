import signal

import pytest

HELLO = """
@app.on_open
async def greet(session):
    name = await session.ask("Hello! What's your name?")
    session.set("user_name", name)
    session.reply(f"Nice to meet you, {name}!")

@app.on_message
async def answer(session, message):
    session.reply(f"{session.get('user_name')}, you said: {message.text}")
"""
SLOW = """
async def words():
    yield "It begins well "
    await asyncio.sleep(600)
    yield "never said"

@app.on_message
async def answer(session, message):
    if message.text == "slow":
        await session.stream_from(words())
    else:
        session.reply(f"echo {message.text}")
"""


def test_a_conversation_is_greeted_answered_and_left_with_the_words_to_come_back(app, chat):
    app(HELLO)
    person = chat("bot.py")
    person.sees("Hello! What's your name?")
    person.types("Ada")
    person.sees("Nice to meet you, Ada!")
    person.types("it **rains**")
    person.sees("Ada, you said: it ")
    person.keys("\x04")
    last, code = person.ends()
    assert "To go on: parlour chat bot.py --session " in last
    assert code == 0


@pytest.mark.promise("P7")
def test_a_question_survives_kill_9_of_the_terminal_and_is_answered_in_the_next(
    app, chat, sessions
):
    app(HELLO)
    person = chat("bot.py")
    person.sees("Hello! What's your name?")
    person.sees("› ")
    person.child.kill(signal.SIGKILL)
    person.ends()
    [session] = sessions()
    person = chat("bot.py", "--session", session)
    person.sees("Hello! What's your name?")
    person.types("Grace")
    person.sees("Nice to meet you, Grace!")
    person.keys("\x04")
    person.ends()


@pytest.mark.promise("P6")
def test_resuming_shows_what_was_said_once_each_and_in_order(app, chat, sessions):
    app(HELLO)
    person = chat("bot.py")
    person.sees("name?")
    person.types("Ada")
    person.sees("Nice to meet you, Ada!")
    person.types("one")
    person.sees("you said: one")
    person.keys("\x04")
    person.ends()
    [session] = sessions()
    person = chat("bot.py", "--session", session[:10])
    person.sees("you said: one")
    person.types("two")
    before = person.sees("you said: two")
    assert "you said: one" not in before
    person.keys("\x04")
    person.ends()


@pytest.mark.promise("P14")
def test_ctrl_c_stops_a_running_round_and_the_program_lives(app, chat):
    app(SLOW)
    person = chat("bot.py")
    person.sees("/help")
    person.types("slow")
    person.sees("It begins well")
    person.keys("\x03")
    person.sees("Stopped.")
    person.types("again")
    person.sees("echo again")
    person.keys("\x03")
    last, code = person.ends()
    assert "To go on" in last
    assert code == 0


def test_a_message_typed_while_a_round_runs_waits_and_is_shown_to_wait(app, chat):
    app(SLOW)
    person = chat("bot.py")
    person.sees("/help")
    person.types("slow")
    person.sees("It begins well")
    person.types("next please")
    person.sees("waits until this is done")
    person.keys("\x03")
    person.sees("Stopped.")
    person.sees("echo next please")
    person.keys("\x04")
    person.ends()


def test_ctrl_c_clears_a_half_written_line_before_it_leaves(app, chat):
    app(SLOW)
    person = chat("bot.py")
    person.sees("/help")
    person.keys("half a thou")
    person.sees("half a thou")
    person.keys("\x03")
    person.types("whole")
    person.sees("echo whole")
    person.keys("\x03")
    person.ends()


def test_a_rejected_answer_is_told_with_its_reason_and_asked_for_again(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        count = await session.ask("How many?", int, minimum=1, maximum=5)
        monday = lambda day: "A Monday, please." if day.weekday() else None
        day = await session.ask("When?", dt.date, validate=monday)
        session.reply(f"{count} on {day}")
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("How many?")
    person.sees("a whole number, 1 to 5")
    person.types("9")
    person.sees("at most 5")
    person.keys("\x03")
    person.types("3")
    person.sees("When?")
    person.sees("a date like")
    person.types("2026-11-24")
    person.sees("A Monday, please.")
    person.sees("a date like")
    person.types("2026-11-23")
    person.sees("3 on 2026-11-23")
    person.keys("\x04")
    person.ends()


def test_a_choice_takes_arrows_a_number_or_a_label(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        room = await session.choose("Which room?", {"a": "Attic", "g": "Garden", "r": "River"})
        session.reply(f"room={room}")
    """)
    person = chat("bot.py")
    person.sees("/help")
    for keys, room in (("\x1b[B\r", "g"), ("3\r", "r"), ("attic\r", "a")):
        person.types("go")
        person.sees("Which room?")
        person.sees("a number or its label")
        person.keys(keys)
        person.sees(f"room={room}")
    person.keys("\x04")
    person.ends()


def test_several_choices_are_picked_with_the_space_bar(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        picked = await session.choose_many("Which?", ["red", "green", "blue"], minimum=2)
        session.reply("picked " + "+".join(picked))
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("numbers or labels")
    person.keys(" \r")
    person.sees("at least 2")
    person.keys("\x1b[B\x1b[B ")
    person.sees_like(r"\[x\]")
    person.keys("\r")
    person.sees("picked red+blue")
    person.keys("\x04")
    person.ends()


def test_a_confirmation_has_its_default_and_understands_y_and_n(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        session.reply(f"got {await session.confirm('Sure?', default=True)}")
    """)
    person = chat("bot.py")
    person.sees("/help")
    for line, said in (("", "True"), ("n", "False"), ("YES", "True")):
        person.types("go")
        person.sees("Y/n")
        person.types(line)
        person.sees(f"got {said}")
    person.keys("\x04")
    person.ends()


def test_a_form_is_filled_field_by_field_looked_over_changed_and_sent(app, chat):
    app("""
    @dataclass
    class Stay:
        guest_name: str
        nights: int = 2

    @app.on_message
    async def answer(session, message):
        short = lambda stay: "Too long." if stay.nights > 9 else None
        stay = await session.ask("Your stay?", Stay, validate=short)
        session.reply(f"{stay.guest_name} for {stay.nights}")
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("Guest name")
    person.types("Ada")
    person.sees("Nights")
    person.types("lots")
    person.sees("Please give a whole number")
    person.keys("\x03")
    person.types("30")
    person.sees("2. Nights: 30")
    person.sees("Enter sends it")
    person.keys("\r")
    person.sees("Too long.")
    person.sees("2. Nights: 30")
    person.types("2")
    person.sees("Enter: 30")
    person.types("3")
    person.sees("Enter sends it")
    person.keys("\r")
    person.sees("Ada for 3")
    person.keys("\x04")
    person.ends()


def test_a_file_is_asked_for_by_its_path_with_completion_and_sent_with_a_message(
    app, chat, tmp_path
):
    app("""
    @app.on_message
    async def answer(session, message):
        if message.files:
            session.reply(f"got {message.files[0].name} and {message.text}")
            return
        file = await session.ask_file("The photo?", accept=(".png",))
        session.reply(f"{file.name} has {file.size} bytes")
    """)
    (tmp_path / "my photo.png").write_bytes(b"12345")
    (tmp_path / "passport.png").write_bytes(b"123")
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("a file's path")
    person.types("bot.py")
    person.sees("bot.py is not one of .png")
    person.keys("\x03")
    person.keys("pass\t")
    person.sees("ort.png")
    person.keys("\r")
    person.sees("passport.png has 3 bytes")
    person.types('/file "my photo.png" look at this')
    person.sees("got my photo.png and look at this")
    person.types("/file nothing.png")
    person.sees("There is no file nothing.png")
    person.keys("\x03\x04")
    person.ends()


def test_a_file_of_the_bot_is_saved_beside_the_others_and_never_over_them(app, chat, tmp_path):
    app("""
    @app.on_message
    async def answer(session, message):
        await session.send_file(b"the slip", name="slip.txt", text="Here you are.")
    """)
    (tmp_path / "slip.txt").write_text("mine")
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("[slip.txt]")
    person.types("/save")
    person.sees("Saved as slip-2.txt")
    person.keys("\x04")
    person.ends()
    assert (tmp_path / "slip.txt").read_text() == "mine"
    assert (tmp_path / "slip-2.txt").read_text() == "the slip"


def test_a_question_whose_time_is_up_leaves_the_prompt(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        session.reply("got " + await session.ask("Quick!", timeout=2, default="nothing"))
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("Quick!")
    person.sees("answer within 0:0")
    person.sees("Time is up")
    person.sees("got nothing")
    person.keys("\x04")
    person.ends()


def test_what_steers_a_terminal_is_shown_and_not_obeyed(app, chat):
    app(r"""
    @app.on_message
    async def answer(session, message):
        session.reply("title \x1b]0;owned\x07 clear \x1b[2J back \u202e and \x9b31m done")
        await session.ask("colour \x1b[31m?")
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    seen = person.sees("<U+202E> and <9B>31m done")
    assert "\x1b]0;owned" not in seen
    assert "␛]0;owned␇ clear ␛[2J" in seen
    person.sees("colour ␛[31m?")
    person.keys("\x04")
    person.ends()


def test_new_begins_another_conversation_and_quit_leaves(app, chat, sessions):
    app(HELLO)
    person = chat("bot.py")
    person.sees("name?")
    person.types("Ada")
    person.sees("Nice to meet you, Ada!")
    person.types("/new")
    person.sees("A new conversation.")
    person.sees("name?")
    person.types("/help")
    person.sees("/file PATH")
    person.types("/quit")
    person.ends()
    assert len(sessions()) == 2


def test_what_a_handler_prints_does_not_break_the_prompt(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        print("from the handler")
        session.reply("answered")
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("go")
    person.sees("from the handler")
    person.sees("answered")
    person.keys("\x04")
    person.ends()


def test_a_handler_that_fails_shows_the_users_own_lines_and_the_next_message_goes_on(app, chat):
    app("""
    @app.on_message
    async def answer(session, message):
        if message.text == "boom":
            raise RuntimeError("no such luck")
        session.reply("fine")
    """)
    person = chat("bot.py")
    person.sees("/help")
    person.types("boom")
    trace = person.sees("RuntimeError: no such luck (error")
    assert "parlour/engine" not in trace
    assert "bot.py" in trace
    person.types("again")
    person.sees("fine")
    person.keys("\x04")
    person.ends()
