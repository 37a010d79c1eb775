import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

STREAMING = """
    import asyncio
    import parlour

    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        match message.text:
            case "count":
                async with session.stream() as out:
                    for number in range(200):
                        out.write(f"{number} ")
                        await asyncio.sleep(0.025)
            case "work":
                await session.sleep(600)
                session.reply("done")
            case "ask":
                city = await session.ask("Which city?")
                session.reply(f"You come from {city}.")
            case text:
                session.reply(f"You said: {text}")
"""

COUNTED = " ".join(str(number) for number in range(200))


@pytest.mark.again
@pytest.mark.promise("P6")
def test_a_reload_in_mid_answer_shows_the_whole_answer(serve, visit) -> None:
    chat = visit(serve(STREAMING))
    chat.say("count")
    chat.sees("10 11 12")
    chat.page.reload()
    chat.sees("10 11 12 13")
    expect(chat.page.locator(".turn.streaming")).to_have_count(1)
    expect(chat.replies.last).to_have_text(COUNTED)
    expect(chat.page.locator(".turn.streaming")).to_have_count(0)
    expect(chat.replies).to_have_count(1)


@pytest.mark.again
@pytest.mark.promise("P6")
def test_a_second_tab_joins_in_mid_answer(serve, visit) -> None:
    server = serve(STREAMING)
    one = visit(server)
    one.say("count")
    one.sees("10 11 12")
    two = visit(server, tab_of=one, path=f"?s={one.session}")
    two.sees("10 11 12 13")
    expect(two.replies.last).to_have_text(COUNTED)
    expect(one.replies.last).to_have_text(COUNTED)


@pytest.mark.promise("P7")
def test_a_question_survives_kill_9_and_is_answered_in_the_same_page(serve, visit) -> None:
    server = serve(STREAMING)
    chat = visit(server)
    chat.say("ask")
    field = chat.question.get_by_role("textbox", name="Which city?")
    field.fill("Par")
    server.kill()
    expect(chat.status).to_contain_text("Reconnecting")
    field.press_sequentially("is")
    server.start()
    expect(chat.status).to_be_empty()
    expect(field).to_have_value("Paris")
    field.press("Enter")
    chat.sees("You come from Paris.")
    expect(chat.mine).to_have_text(["ask", "Paris"])


@pytest.mark.again
@pytest.mark.promise("P4")
@pytest.mark.promise("P5")
def test_what_is_said_without_a_connection_arrives_once_when_it_is_back(serve, visit) -> None:
    server = serve(STREAMING)
    chat = visit(server)
    chat.say("before")
    chat.sees("You said: before")
    server.kill()
    expect(chat.status).to_contain_text("Reconnecting")
    chat.say("one")
    chat.say("two")
    expect(chat.page.get_by_text("Waiting for the connection")).to_have_count(2)
    server.start()
    chat.sees("You said: one")
    chat.sees("You said: two")
    expect(chat.mine).to_have_text(["before", "one", "two"])
    expect(chat.page.get_by_text("Waiting for the connection")).to_have_count(0)
    chat.page.reload()
    chat.sees("You said: two")
    expect(chat.mine).to_have_text(["before", "one", "two"])


@pytest.mark.promise("P4")
def test_what_is_said_without_a_connection_survives_a_reload(serve, visit) -> None:
    server = serve(STREAMING)
    chat = visit(server)
    chat.say("before")
    chat.sees("You said: before")
    # what the page sends from now on gets lost on its way
    chat.page.evaluate("void (WebSocket.prototype.send = () => {})")
    chat.say("kept")
    expect(chat.mine).to_have_text(["before", "kept"])
    chat.page.reload()
    chat.sees("You said: kept")
    expect(chat.mine).to_have_text(["before", "kept"])


@pytest.mark.promise("P6")
def test_an_answer_given_while_offline_is_there_afterwards(serve, visit) -> None:
    server = serve(STREAMING)
    chat = visit(server)
    chat.say("count")
    chat.sees("3 4 5")
    chat.page.context.set_offline(True)
    expect(chat.status).to_contain_text("Reconnecting")
    other = visit(server, tab_of=None)
    other.say("meanwhile")
    other.sees("You said: meanwhile")
    chat.page.context.set_offline(False)
    expect(chat.replies.last).to_have_text(COUNTED)
    chat.say("after")
    chat.sees("You said: after")
    expect(chat.replies).to_have_count(2)


@pytest.mark.promise("P14")
def test_the_stop_button_stops_and_the_session_is_ready(serve, visit) -> None:
    chat = visit(serve(STREAMING))
    chat.say("work")
    expect(chat.page.get_by_label("Answering")).to_be_visible()
    chat.stop.click()
    expect(chat.notices).to_have_text("Stopped")
    expect(chat.stop).to_have_count(0)
    chat.say("hello")
    chat.sees("You said: hello")


@pytest.mark.promise("P14")
def test_escape_stops_an_answer_that_is_being_written(serve, visit) -> None:
    chat = visit(serve(STREAMING))
    chat.say("count")
    chat.sees("3 4 5")
    chat.page.keyboard.press("Escape")
    expect(chat.notices).to_have_text("Stopped")
    expect(chat.page.locator(".turn.streaming")).to_have_count(0)
    chat.say("hello")
    chat.sees("You said: hello")


def test_a_message_that_waits_for_its_turn_stands_below_the_answer_before_it(serve, visit) -> None:
    chat = visit(serve(STREAMING))
    chat.say("count")
    chat.sees("3 4 5")
    chat.say("next")
    expect(chat.page.get_by_text("Waiting for its turn")).to_be_visible()
    chat.sees("You said: next")
    turns = chat.page.locator(".turn .said, .turn .prose")
    expect(turns).to_have_text(["count", COUNTED, "next", "You said: next"])
    chat.page.reload()
    expect(turns).to_have_text(["count", COUNTED, "next", "You said: next"])


def test_an_orderly_restart_is_hardly_noticed(serve, visit) -> None:
    server = serve(STREAMING)
    chat = visit(server)
    chat.say("before")
    chat.sees("You said: before")
    server.stop()
    server.start()
    chat.say("after")
    chat.sees("You said: after")
    expect(chat.status).to_be_empty()
