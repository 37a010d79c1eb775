import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HELLO = """
    import parlour

    app = parlour.App(title="The <parlour>")

    @app.on_open
    async def greet(session: parlour.Session) -> None:
        name = await session.ask("Hello! What's your name?")
        session.set("user_name", name)
        session.reply(f"Nice to meet you, {name}!")

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        session.reply(f"{session.get('user_name', 'User')}, you said: {message.text}")
"""

ECHO = """
    import parlour

    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if message.text == "fail":
            raise ValueError("a secret of the operator's")
        session.reply(message.text)
"""


def test_a_name_that_was_asked_for_is_remembered(house, visit) -> None:
    chat = visit(house(HELLO))
    chat.sees("What's your name?")
    chat.question.get_by_role("textbox").fill("Ada")
    chat.question.get_by_role("button", name="Answer").click()
    chat.sees("Nice to meet you, Ada!")
    chat.say("good morning")
    chat.sees("Ada, you said: good morning")
    expect(chat.mine).to_have_text(["Ada", "good morning"])


def test_the_composer_answers_an_open_question_too(house, visit) -> None:
    chat = visit(house(HELLO))
    chat.sees("What's your name?")
    chat.say("Grace")
    chat.sees("Nice to meet you, Grace!")
    expect(chat.question).to_have_count(0)
    expect(chat.mine).to_have_text(["Grace"])


def test_the_keyboard_alone_is_enough_for_a_conversation(house, visit) -> None:
    chat = visit(house(HELLO))
    expect(chat.question.get_by_role("textbox")).to_be_focused()
    chat.page.keyboard.type("Ada")
    chat.page.keyboard.press("Enter")
    chat.sees("Nice to meet you, Ada!")
    expect(chat.composer).to_be_focused()
    chat.page.keyboard.type("one")
    chat.page.keyboard.press("Shift+Enter")
    chat.page.keyboard.type("two")
    chat.page.keyboard.press("Enter")
    chat.sees("you said: one")
    expect(chat.mine.last).to_have_text("one\ntwo", use_inner_text=True)


def test_the_title_of_the_app_is_shown_as_text(house, visit) -> None:
    chat = visit(house(HELLO))
    expect(chat.page).to_have_title("The <parlour>")
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("The <parlour>")


def test_an_app_that_does_not_begin_invites_the_user_to(house, visit) -> None:
    chat = visit(house(ECHO))
    expect(chat.page.get_by_text("Write a message to begin.")).to_be_visible()
    expect(chat.composer).to_be_focused()
    chat.say("hello")
    chat.sees("hello")
    expect(chat.page.get_by_text("Write a message to begin.")).to_be_hidden()


def test_a_reload_shows_the_same_conversation(house, visit) -> None:
    chat = visit(house(HELLO))
    chat.say("Ada")
    chat.sees("Nice to meet you, Ada!")
    before = chat.transcript()
    session = chat.session
    chat.page.reload()
    chat.sees("Nice to meet you, Ada!")
    assert chat.transcript() == before
    assert chat.session == session


def test_a_draft_survives_a_reload(house, visit) -> None:
    chat = visit(house(ECHO))
    chat.is_open()
    chat.composer.fill("not yet sent")
    chat.page.reload()
    expect(chat.composer).to_have_value("not yet sent")


@pytest.mark.promise("P1")
def test_two_visitors_never_see_each_other(house, visit) -> None:
    server = house(HELLO)
    ada, grace = visit(server), visit(server)
    ada.say("Ada")
    grace.say("Grace")
    ada.sees("Nice to meet you, Ada!")
    grace.sees("Nice to meet you, Grace!")
    ada.say("my secret")
    ada.sees("Ada, you said: my secret")
    grace.say("anything new?")
    grace.sees("Grace, you said: anything new?")
    assert ada.session != grace.session
    assert "secret" not in grace.transcript()
    assert "Ada" not in grace.transcript()
    assert "Grace" not in ada.transcript()


@pytest.mark.promise("P17")
def test_anothers_conversation_looks_like_one_that_does_not_exist(house, visit) -> None:
    server = house(ECHO)
    ada = visit(server)
    ada.say("my secret")
    ada.sees("my secret")
    grace = visit(server, path=f"?s={ada.session}")
    expect(grace.page.get_by_text("This conversation is not here")).to_be_visible()
    shown = grace.page.locator("main").inner_text()
    nobody = visit(server, path="?s=00000000000000000000000000000000")
    expect(nobody.page.get_by_text("This conversation is not here")).to_be_visible()
    assert nobody.page.locator("main").inner_text() == shown
    grace.page.get_by_role("link", name="New conversation").last.click()
    grace.say("a fresh start")
    grace.sees("a fresh start")


def test_a_new_conversation_begins_and_the_earlier_one_can_be_gone_back_to(house, visit) -> None:
    chat = visit(house(ECHO))
    chat.say("the first one")
    chat.sees("the first one")
    first = chat.session
    chat.page.get_by_role("link", name="New conversation").click()
    expect(chat.page).not_to_have_url(re.compile(first))
    chat.say("the second one")
    chat.sees("the second one")
    assert chat.session != first
    expect(chat.log).not_to_contain_text("the first one")
    chat.page.get_by_role("button", name="Conversations").click()
    chat.page.get_by_role("link", name="the first one").click()
    chat.sees("the first one")
    assert chat.session == first


@pytest.mark.promise("P13")
def test_a_round_that_fails_says_so_without_internals_and_the_session_goes_on(house, visit) -> None:
    chat = visit(house(ECHO))
    chat.say("fail")
    expect(chat.notices).to_contain_text("Error ")
    expect(chat.notices).not_to_contain_text("a secret of the operator's")
    chat.say("still there?")
    chat.sees("still there?")


def test_markdown_is_inert(house, visit) -> None:
    chat = visit(house(ECHO))
    chat.page.evaluate("void (window.pwned = () => { window.harmed = true })")
    attacks = [
        "<img src=x onerror=pwned()>",
        "<script>pwned()</script>",
        "[click](javascript:pwned())",
        "[click]( JaVaScRiPt:pwned() )",
        "[click](data:text/html,<script>pwned()</script>)",
        "<javascript:pwned()>",
        "![picture](javascript:pwned())",
        "`<b onclick=pwned()>`",
        "| <i>a</i> | b |\n|---|---|\n| <svg onload=pwned()> | c |",
    ]
    for attack in attacks:
        chat.say(attack)
    chat.say("the end")
    chat.sees("the end")
    expect(chat.replies.first).to_have_text("<img src=x onerror=pwned()>")
    assert chat.log.locator("img, script, svg:not(.icon), i, b").count() == 0
    assert chat.log.locator("a[href]").count() == 0
    assert chat.page.evaluate("window.harmed") is None


def test_links_lead_away_safely(house, visit) -> None:
    chat = visit(house(ECHO))
    chat.say(
        "[a page](https://example.org/x) and https://example.org/y. [mail](mailto:a@b.example)"
    )
    links = chat.sees("a page").get_by_role("link")
    expect(links).to_have_count(3)
    for link in links.all():
        expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(links.nth(1)).to_have_attribute("href", "https://example.org/y")


def test_a_message_while_an_input_method_composes_is_not_sent(house, visit) -> None:
    chat = visit(house(ECHO))
    chat.is_open()
    chat.composer.fill("にほ")
    chat.composer.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    chat.composer.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    expect(chat.composer).to_have_value("にほ")
    chat.composer.press("Enter")
    chat.sees("にほ")
    expect(chat.mine).to_have_count(1)


def test_on_a_phone_enter_is_a_newline_and_nothing_scrolls_sideways(house, visit) -> None:
    phone = {"width": 320, "height": 640}
    chat = visit(house(ECHO), viewport=phone, has_touch=True, is_mobile=True)
    chat.is_open()
    wide = (
        "w" * 200
        + "\n\n```\n"
        + "c" * 200
        + "\n```\n\n| a | b |\n|---|---|\n|"
        + "t" * 100
        + "| u |"
    )
    chat.composer.fill(wide)
    chat.composer.press("Enter")
    expect(chat.composer).to_have_value(wide + "\n")
    chat.page.get_by_role("button", name="Send", exact=True).click()
    chat.sees("www")
    for selector in ("html", "#scroller"):
        fits = "element => element.scrollWidth <= element.clientWidth"
        assert chat.page.locator(selector).evaluate(fits)
    size = chat.composer.evaluate("element => parseFloat(getComputedStyle(element).fontSize)")
    assert size >= 16


def test_who_reads_further_up_is_left_in_peace_and_can_jump_back(house, visit) -> None:
    chat = visit(house(ECHO))
    for number in range(12):
        chat.say(f"line {number}\n\nof\n\nmany")
        chat.sees(f"line {number}")
    jump = chat.page.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_hidden()
    scroller = chat.page.locator("#scroller")
    scroller.hover()
    chat.page.mouse.wheel(0, -5000)
    expect(jump).to_be_visible()
    expect(chat.mine.first).to_be_in_viewport()
    jump.click()
    expect(chat.replies.last).to_be_in_viewport()
    expect(jump).to_be_hidden()


def test_code_can_be_copied(house, visit) -> None:
    chat = visit(house(ECHO), permissions=["clipboard-read", "clipboard-write"])
    chat.say("```python\nprint('<hello>')\n```")
    chat.sees("print('<hello>')")
    copy = chat.page.get_by_role("button", name="Copy code")
    copy.click()
    expect(copy).to_have_text("Copied")
    expect(chat.status).to_have_text("Copied")
    assert chat.page.evaluate("navigator.clipboard.readText()") == "print('<hello>')"


def test_a_message_that_is_too_long_is_kept_and_named(serve, visit) -> None:
    chat = visit(serve(ECHO, PARLOUR_LIMITS__MESSAGE_BYTES="1000"))
    chat.is_open()
    chat.say("x" * 1500)
    expect(chat.page.get_by_text("a message may have 1 kB")).to_be_visible()
    expect(chat.composer).to_have_value("x" * 1500)


def test_what_is_sent_before_the_conversation_has_begun_is_sent_when_it_has(house, visit) -> None:
    server = house(ECHO)
    chat = visit(server)
    chat.page.add_init_script("""
        const send = WebSocket.prototype.send;
        const held = [];
        WebSocket.prototype.send = function (data) { held.push([this, data]) };
        window.release = () => {
            WebSocket.prototype.send = send;
            held.forEach(([socket, data]) => send.call(socket, data));
        };
    """)
    chat.page.goto(server.url)
    chat.composer.fill("too early")
    chat.composer.press("Enter")
    expect(chat.composer).to_have_value("too early")
    chat.page.evaluate("release()")
    chat.sees("too early")
    expect(chat.composer).to_have_value("")
