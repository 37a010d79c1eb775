import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

WRITER = """
    import asyncio
    import parlour

    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if message.text == "flow":
            async with session.stream() as out:
                for number in range(300):
                    out.write(f"line {number}\\n\\n")
                    await asyncio.sleep(0.02)
            return
        if message.text == "many":
            for number in range(100):
                session.reply(f"message {number}\\n\\nwith two paragraphs")
            return
        session.reply(message.text)
"""

LONG_LINE = "x = '" + "long " * 60 + "'"


def test_mathematics_is_typeset_and_dollar_amounts_survive(house, visit) -> None:
    chat = visit(house(WRITER))
    chat.say(r"It costs $4.2M, and $y=β_0$, so $$\sum_{n=1}^\infty \frac{1}{n^2}$$")
    reply = chat.sees("It costs $4.2M")
    expect(reply.locator(".katex")).to_have_count(2)
    expect(reply.locator(".formula math")).to_have_count(2)
    fonts = "document.fonts.ready.then(() => [...document.fonts].map(font => font.status))"
    assert "loaded" in chat.page.evaluate(fonts)
    assert "error" not in chat.page.evaluate(fonts)


def test_a_formula_that_is_none_is_shown_as_it_was_written(house, visit) -> None:
    chat = visit(house(WRITER))
    chat.say("first $x^2$")
    expect(chat.page.locator(".katex")).to_be_attached()
    chat.say(r"so $\frac{1$ it is")
    expect(chat.replies.last).to_contain_text(r"\frac{1")


def test_code_has_colours_and_can_be_wrapped(house, visit) -> None:
    chat = visit(house(WRITER))
    chat.say(f"```python\ndef f():\n    {LONG_LINE}\n```")
    code = chat.sees("def f()").locator("pre")
    expect(code.locator(".hljs-keyword")).to_have_text("def")
    wide = "element => element.scrollWidth > element.clientWidth"
    assert code.evaluate(wide)
    wrap = chat.page.get_by_role("button", name="Wrap lines")
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "true")
    assert not code.evaluate(wide)


def test_code_of_a_language_nobody_knows_stands_as_it_is(house, visit) -> None:
    chat = visit(house(WRITER))
    chat.say("```klingon\nnuqneH <b>\n```")
    expect(chat.sees("nuqneH").locator("code")).to_have_text("nuqneH <b>")


def test_who_scrolls_up_while_it_writes_is_left_in_peace(serve, visit) -> None:
    chat = visit(serve(WRITER))
    chat.say("flow")
    chat.sees("line 60")
    scroller = chat.page.locator("#scroller")
    scroller.hover()
    chat.page.mouse.wheel(0, -400)
    jump = chat.page.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_visible()
    top = scroller.evaluate("element => element.scrollTop")
    chat.sees("line 120")
    assert scroller.evaluate("element => element.scrollTop") == top
    jump.click()
    chat.sees("line 299")
    expect(chat.replies.last.locator("p").last).to_be_in_viewport()


@pytest.mark.promise("P6")
def test_a_round_goes_on_with_the_tab_closed_and_is_read_on_another_device(serve, visit) -> None:
    server = serve(WRITER)
    chat = visit(server)
    chat.say("flow")
    chat.sees("line 10")
    session = chat.session
    cookies = chat.page.context.cookies()
    chat.page.close()
    other = visit(server, path="healthz")
    other.page.context.clear_cookies()
    other.page.context.add_cookies(cookies)
    other.page.goto(f"{server.url}?s={session}")
    other.sees("line 299")
    lines = other.replies.last.inner_text().split()
    assert [int(part) for part in lines[1::2]] == list(range(300))


def test_the_log_says_when_it_is_busy_and_there_is_one_status_line(serve, visit) -> None:
    chat = visit(serve(WRITER))
    chat.is_open()
    expect(chat.status).to_have_count(1)
    chat.say("flow")
    expect(chat.log).to_have_attribute("aria-busy", "true")
    expect(chat.log).to_have_attribute("aria-live", "polite")
    chat.page.keyboard.press("Escape")
    expect(chat.log).to_have_attribute("aria-busy", "false")


def test_the_text_so_far_stays_when_it_is_stopped(serve, visit) -> None:
    chat = visit(serve(WRITER))
    chat.say("flow")
    chat.sees("line 20")
    chat.stop.click()
    expect(chat.notices).to_have_text("Stopped")
    written = chat.sees("line 20").inner_text().count("line")
    assert written < 300
    chat.say("after")
    chat.sees("after")
    chat.page.reload()
    chat.sees("after")
    assert chat.replies.first.inner_text().count("line") == written


def test_a_long_conversation_opens_at_its_end_and_shows_the_rest_as_one_scrolls(
    house, visit
) -> None:
    chat = visit(house(WRITER))
    chat.say("many")
    chat.sees("message 99")
    chat.page.reload()
    expect(chat.sees("message 99")).to_be_in_viewport()
    assert chat.replies.count() < 100
    first = chat.replies.first
    drawn = chat.replies.count()
    read = chat.page.locator(".prose", has_text=first.locator("p").first.inner_text())
    place = "element => element.getBoundingClientRect().y"
    before = read.evaluate(f"element => {{ element.scrollIntoView(); return ({place})(element) }}")
    expect(chat.replies).not_to_have_count(drawn)
    assert read.evaluate(place) == pytest.approx(before, abs=2)
    chat.page.locator("#scroller").hover()
    while (before := chat.replies.count()) < 100:
        chat.page.mouse.wheel(0, -3000)
        expect(chat.replies).not_to_have_count(before)
    expect(chat.mine).to_have_count(1)
    numbers = [text.split()[1] for text in chat.replies.all_inner_texts()]
    assert numbers == [str(number) for number in range(100)]
    expect(chat.page.get_by_role("button", name="Show earlier messages")).to_have_count(0)
