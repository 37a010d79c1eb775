import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SLOW = """
    import parlour

    app = parlour.App(title="Desk")

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if message.text == "ask":
            await session.sleep(0.5)
            await session.ask("Which city?")
            return
        for number in range(2):
            await session.sleep(0.5)
            session.reply(f"answer {number}")
"""

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
NOTIFICATIONS = """
    window.told = [];
    window.Notification = class {
        static permission = "default";
        static requestPermission = async () => (this.permission = "granted");
        constructor(title, { body }) { window.told.push([title, body]); }
    };
"""


def hide(page: Page, hidden: bool = True) -> None:
    page.evaluate(HIDE, hidden)


def test_the_title_tells_that_something_came_and_where_the_new_begins(house, visit) -> None:
    chat = visit(house(SLOW))
    chat.say("hello")
    expect(chat.stop).to_be_visible()
    hide(chat.page)
    expect(chat.page).to_have_title("● Desk")
    chat.sees("answer 1")
    hide(chat.page, hidden=False)
    expect(chat.page).to_have_title("Desk")
    mark = chat.page.get_by_text("New", exact=True)
    expect(mark).to_be_visible()
    after = mark.evaluate("mark => mark.nextElementSibling.textContent")
    assert "answer 0" in after
    chat.say("thanks")
    expect(mark).to_have_count(0)


def test_who_asked_for_it_is_notified_of_answers_and_questions(house, visit) -> None:
    server = house(SLOW)
    chat = visit(server)
    chat.page.add_init_script(NOTIFICATIONS)
    chat.page.reload()
    chat.is_open()
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_role("checkbox", name="Notify me").check()
    chat.page.keyboard.press("Escape")
    chat.say("hello")
    expect(chat.stop).to_be_visible()
    hide(chat.page)
    chat.sees("answer 1")
    chat.page.wait_for_function("() => told.length")
    assert chat.page.evaluate("told") == [["The answer is there.", "answer 1"]]
    hide(chat.page, hidden=False)
    chat.say("ask")
    expect(chat.stop).to_be_visible()
    hide(chat.page)
    chat.page.wait_for_function("() => told.length > 1")
    assert chat.page.evaluate("told[1]") == ["There is a question for you.", "Which city?"]


def test_nobody_is_notified_who_did_not_ask_for_it_or_who_looks(house, visit) -> None:
    chat = visit(house(SLOW))
    chat.page.add_init_script(NOTIFICATIONS)
    chat.page.reload()
    chat.say("hello")
    expect(chat.stop).to_be_visible()
    hide(chat.page)
    chat.sees("answer 1")
    expect(chat.page).to_have_title("● Desk")
    assert chat.page.evaluate("told") == []
