"""The list of conversations: to find, name and delete them, and to see how they stand."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect
from test_page_budgets import AXE, RULES, VIOLATIONS

pytestmark = pytest.mark.browser

APP = """
    import parlour

    app = parlour.App(title="Desk")

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        match message.text:
            case "ask":
                await session.choose("Which room?", ["Single", "Double"])
            case "wait":
                await session.ask("Say when.", name="when")
                await session.sleep(2)
                session.reply("waited")
            case "title":
                session.title = "Named by the app"
                session.reply("named")
            case _:
                session.reply(f"echo {message.text}")
"""

MANY = """async (count) => {
    const socket = new WebSocket(`ws://${location.host}/ws`);
    await new Promise((resolve) => { socket.onopen = resolve; });
    let answered = 0;
    let opened = 0;
    const open = () => {
        if (opened === count) return;
        socket.send(JSON.stringify({ t: "open", id: `open${opened}` }));
        opened += 1;
    };
    const done = new Promise((resolve) => {
        socket.onmessage = ({ data }) => {
            for (const line of data.split("\\n")) {
                const frame = JSON.parse(line);
                if (frame.t !== "ack") continue;
                if (frame.id.startsWith("open")) {
                    const text = `thread ${frame.id.slice(4)}`;
                    const say = { t: "say", session: frame.session, id: "s", text };
                    socket.send(JSON.stringify(say));
                } else {
                    if (++answered === count) resolve();
                    open();
                }
            }
        };
    });
    socket.send(JSON.stringify({ t: "hello", versions: [1] }));
    for (let number = 0; number < 10; number++) open();
    await done;
    socket.close();
}"""


class Panel:
    """The list as its user sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.toggle = page.get_by_role("button", name="Conversations")
        self.search = page.get_by_role("searchbox", name="Search conversations")
        self.rows = page.locator(".thread")

    def open(self) -> "Panel":
        self.toggle.click()
        expect(self.search).to_be_visible()
        return self

    def row(self, title: str) -> Locator:
        return self.rows.filter(has_text=title)

    def act(self, title: str, action: str) -> None:
        row = self.row(title)
        row.hover()
        row.get_by_role("button", name=re.compile("^More about")).click()
        self.page.get_by_role("button", name=action, exact=True).click()


def another(chat, text: str) -> None:
    """A new conversation in which something is said."""
    before = chat.page.url
    chat.page.get_by_role("link", name="New conversation").click()
    expect(chat.page).not_to_have_url(before)
    chat.say(text)


def test_conversations_are_listed_and_kept(house, visit) -> None:
    server = house(APP)
    chat = visit(server)
    chat.say("a room with a view")
    chat.sees("echo a room with a view")
    first = chat.session
    another(chat, "title")
    chat.sees("named")
    panel = Panel(chat.page).open()
    expect(panel.rows).to_have_text([re.compile("Named by the app"), re.compile("a room with")])
    current = panel.row("Named by the app").get_by_role("link")
    expect(current).to_have_attribute("aria-current", "page")
    panel.row("a room").get_by_role("link").click()
    chat.sees("echo a room with a view")
    assert chat.session == first
    expect(panel.row("a room").get_by_role("link")).to_have_attribute("aria-current", "page")
    chat.page.reload()
    chat.sees("echo a room with a view")
    expect(panel.rows).to_have_count(2)
    stranger = visit(server)
    stranger.is_open()
    Panel(stranger.page).open()
    expect(stranger.page.get_by_text("No conversations yet.")).to_be_visible()


def test_a_search_finds_what_was_said_and_shows_where(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("hello")
    chat.sees("echo hello")
    chat.say("Is the café open on Sundays?")
    chat.sees("Sundays")
    another(chat, "something else")
    chat.sees("echo something else")
    panel = Panel(chat.page).open()
    expect(panel.rows).to_have_count(2)
    panel.search.fill("CAFE sund")
    expect(panel.rows).to_have_count(1)
    expect(panel.rows.locator(".thread-excerpt")).to_contain_text("café open on Sundays?")
    expect(panel.rows.locator("mark")).to_have_text(["Sund"])
    expect(chat.status.filter(has_text="1 found")).to_have_count(1)
    panel.search.press("Escape")
    expect(panel.rows).to_have_count(2)
    panel.search.fill("nothing like it")
    expect(panel.page.locator(".threads-list").get_by_text("Nothing found.")).to_be_visible()


def test_a_conversation_renamed_in_one_tab_is_called_that_in_the_other(house, visit) -> None:
    server = house(APP)
    chat = visit(server)
    chat.say("hello")
    chat.sees("echo hello")
    panel = Panel(chat.page).open()
    other = visit(server, tab_of=chat, path=f"?s={chat.session}")
    there = Panel(other.page)
    expect(there.row("hello")).to_be_visible()
    panel.act("hello", "Rename")
    field = chat.page.get_by_role("textbox", name="Title")
    expect(field).to_be_focused()
    field.fill("dropped")
    field.press("Escape")
    expect(panel.row("hello").get_by_role("link")).to_be_focused()
    panel.act("hello", "Rename")
    field.fill("My trip")
    field.press("Enter")
    expect(panel.row("My trip")).to_be_visible()
    expect(there.row("My trip")).to_be_visible()
    chat.page.reload()
    expect(panel.row("My trip")).to_be_visible()


def test_a_deleted_conversation_is_gone_in_all_tabs(house, visit) -> None:
    server = house(APP)
    chat = visit(server)
    chat.say("keep this")
    chat.sees("echo keep this")
    another(chat, "delete this")
    chat.sees("echo delete this")
    gone = chat.session
    panel = Panel(chat.page).open()
    other = visit(server, tab_of=chat, path=f"?s={gone}")
    other.sees("echo delete this")
    there = Panel(other.page)
    panel.act("delete this", "Delete")
    dialog = chat.page.get_by_role("dialog", name="Delete this conversation?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(panel.rows).to_have_count(2)
    panel.act("delete this", "Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(panel.rows).to_have_count(1)
    expect(there.rows).to_have_count(1)
    chat.is_open()
    assert chat.session != gone
    expect(other.page.get_by_text("This conversation has been erased.")).to_be_visible()


def test_what_happens_in_other_conversations_is_seen_in_the_list(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("wait")
    expect(chat.question).to_be_visible()
    chat.say("now")
    expect(chat.stop).to_be_visible()
    another(chat, "ask")
    expect(chat.question).to_be_visible()
    another(chat, "hello")
    chat.sees("echo hello")
    badge = Panel(chat.page).toggle.locator(".badge")
    expect(badge).to_be_visible()
    expect(chat.page).to_have_title("● Desk")
    panel = Panel(chat.page).open()
    expect(panel.row("ask").get_by_text("Needs you")).to_be_visible()
    expect(panel.row("wait").locator(".thread-fresh")).to_be_visible()
    panel.row("wait").get_by_role("link").click()
    chat.sees("waited")
    expect(panel.row("wait").locator(".thread-fresh")).to_have_count(0)
    expect(chat.page).to_have_title("Desk")


def test_what_is_at_work_is_marked(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("wait")
    expect(chat.question).to_be_visible()
    panel = Panel(chat.page).open()
    expect(panel.row("wait").get_by_text("Needs you")).to_be_visible()
    chat.say("now")
    expect(panel.row("wait").locator(".thread-works")).to_be_visible()
    chat.sees("waited")
    expect(panel.row("wait").locator(".thread-works")).to_have_count(0)


def test_a_long_list_comes_page_by_page(house, visit) -> None:
    chat = visit(house(APP))
    chat.is_open()
    chat.page.evaluate(MANY, 120)
    panel = Panel(chat.page).open()
    expect(panel.rows.first).to_be_visible()
    assert panel.rows.count() < 120
    listed = chat.page.locator(".threads-list")
    for _ in range(4):
        listed.evaluate("list => list.scrollTo(0, list.scrollHeight)")
        panel.rows.last.scroll_into_view_if_needed()
    expect(panel.rows).to_have_count(120)
    panel.search.fill("thread 77")
    expect(panel.rows).to_have_count(1)


def test_keys_go_through_the_list_and_nothing_keeps_anyone_out(house, visit) -> None:
    chat = visit(house(APP), color_scheme="dark")
    for text in ("first", "second"):
        if text == "second":
            another(chat, text)
        else:
            chat.say(text)
        chat.sees(f"echo {text}")
    panel = Panel(chat.page).open()
    expect(panel.rows).to_have_count(2)
    chat.page.evaluate(AXE.read_text(encoding="utf-8"))
    assert chat.page.evaluate(VIOLATIONS, RULES) == []
    panel.search.press("ArrowDown")
    links = panel.rows.get_by_role("link")
    expect(links.nth(0)).to_be_focused()
    chat.page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    chat.page.keyboard.press("Home")
    expect(links.nth(0)).to_be_focused()
    chat.page.keyboard.press("Tab")
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("button", name="Rename")).to_be_visible()
    menu = chat.page.locator(".thread-menu:popover-open")
    expect(menu).to_have_css("opacity", "1")
    expect(menu).to_have_css("translate", "0px")
    assert chat.page.evaluate(VIOLATIONS, RULES) == []
    chat.page.keyboard.press("Escape")
    panel.act("first", "Delete")
    expect(chat.page.get_by_role("dialog")).to_be_visible()
    assert chat.page.evaluate(VIOLATIONS, RULES) == []


def test_on_a_phone_the_list_lies_over_the_conversation(house, visit) -> None:
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    chat = visit(house(APP), **phone)
    chat.is_settled()
    chat.composer.fill("hello")
    chat.page.get_by_role("button", name="Send").click()
    chat.sees("echo hello")
    panel = Panel(chat.page).open()
    expect(panel.row("hello")).to_be_visible()
    chat.page.evaluate(AXE.read_text(encoding="utf-8"))
    assert chat.page.evaluate(VIOLATIONS, RULES) == []
    chat.page.keyboard.press("Escape")
    expect(panel.search).to_have_count(0)
    panel.open()
    panel.row("hello").get_by_role("link").click()
    expect(panel.search).to_have_count(0)
    expect(chat.composer).to_be_visible()
    width = "document.documentElement.scrollWidth - innerWidth"
    assert chat.page.evaluate(width) <= 0


def test_from_right_to_left_the_list_is_on_the_right(house, visit) -> None:
    chat = visit(house(APP), locale="ar")
    chat.is_settled()
    chat.page.get_by_role("button", name="المحادثات").click()
    side = chat.page.locator(".side")
    expect(side.get_by_role("searchbox")).to_be_visible()
    box = side.bounding_box()
    assert box is not None
    assert box["x"] > 600
