"""Saying something else instead, having it answered again, and going back."""

import pytest
from playwright.sync_api import expect
from test_page_threads import Panel

pytestmark = pytest.mark.browser

APP = """
    import itertools
    import parlour

    app = parlour.App(title="Desk")
    number = itertools.count(1)

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        files = [file.name for file in message.files]
        session.reply(f"echo {message.text} {files} number {next(number)}")
"""


def edit(chat, text: str) -> None:
    """Bring the message with that text into the field."""
    turn = chat.page.locator(".turn.user").filter(has_text=text)
    turn.hover()
    turn.locator("+ .tools").get_by_role("button", name="Edit").click()
    expect(chat.composer).to_have_value(text)


def says(chat, *texts: str) -> None:
    expect(chat.mine).to_have_text(list(texts))


def test_an_edited_message_is_answered_in_a_version_of_its_own(house, visit) -> None:
    chat = visit(house(APP))
    for text in ("one", "two", "three"):
        chat.say(text)
        chat.sees(f"echo {text}")
    first = chat.session
    edit(chat, "two")
    expect(chat.page.get_by_text("You are editing an earlier message.")).to_be_visible()
    chat.composer.fill("other")
    chat.composer.press("Enter")
    chat.sees("echo other")
    says(chat, "one", "other")
    assert chat.session != first
    versions = chat.page.get_by_role("group", name="Version 2 of 2")
    expect(versions).to_be_visible()
    versions.get_by_role("button", name="Previous version").click()
    says(chat, "one", "two", "three")
    assert chat.session == first
    back = chat.page.get_by_role("group", name="Version 1 of 2")
    expect(back.get_by_role("button", name="Next version")).to_be_focused()
    chat.page.keyboard.press("Enter")
    says(chat, "one", "other")
    chat.page.go_back()
    says(chat, "one", "two", "three")
    panel = Panel(chat.page).open()
    expect(panel.rows).to_have_count(1)
    current = panel.row("one").get_by_role("link")
    expect(current).to_have_attribute("aria-current", "page")
    current.click()
    says(chat, "one", "other")
    chat.page.reload()
    says(chat, "one", "other")
    expect(versions).to_be_visible()


def test_who_edits_nothing_after_all_gets_the_draft_back(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("one")
    chat.sees("echo one")
    chat.composer.fill("a draft")
    edit(chat, "one")
    chat.composer.press("Escape")
    expect(chat.composer).to_have_value("a draft")
    expect(chat.page.get_by_text("You are editing an earlier message.")).to_have_count(0)
    chat.composer.press("Enter")
    chat.sees("echo a draft")
    says(chat, "one", "a draft")


def test_an_answer_is_given_again_with_the_same_files(house, visit) -> None:
    chat = visit(house(APP))
    chat.is_open()
    note = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"hello"}
    chat.page.locator("#composer input[type=file]").set_input_files([note])
    expect(chat.page.get_by_role("button", name="Remove note.txt")).to_be_visible()
    chat.say("look")
    before = chat.sees("echo look ['note.txt'] number").inner_text()
    for count in (2, 3):
        chat.page.get_by_role("button", name="Answer again").click()
        expect(chat.page.get_by_role("group", name=f"Version {count} of {count}")).to_be_visible()
        expect(chat.replies).to_have_count(1)
        again = chat.sees("echo look ['note.txt'] number").inner_text()
        assert again != before
    link = chat.page.locator(".turn.user").get_by_role("link")
    with chat.page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "note.txt"


def test_versions_that_another_tab_makes_are_there_at_once(house, visit) -> None:
    server = house(APP)
    chat = visit(server)
    chat.say("one")
    chat.sees("echo one")
    other = visit(server, tab_of=chat, path=f"?s={chat.session}")
    other.sees("echo one")
    edit(other, "one")
    other.composer.fill("two")
    other.composer.press("Enter")
    other.sees("echo two")
    expect(chat.page.get_by_role("group", name="Version 1 of 2")).to_be_visible()
    says(chat, "one")


def test_a_connection_that_fails_loses_neither_words_nor_place(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("one")
    chat.sees("echo one")
    edit(chat, "one")
    chat.composer.fill("two")
    chat.page.route("**/branches", lambda route: route.abort())
    chat.composer.press("Enter")
    expect(chat.page.get_by_text("This was not accepted.")).to_be_visible()
    expect(chat.composer).to_have_value("two")
    chat.page.unroute("**/branches")
    chat.composer.press("Enter")
    chat.sees("echo two")
    says(chat, "two")
    expect(chat.page.get_by_role("group", name="Version 2 of 2")).to_be_visible()


def test_an_app_may_forbid_it(serve, visit) -> None:
    chat = visit(serve(APP, PARLOUR_BRANCHING="false"))
    with chat.page.expect_response("**/branches"):
        chat.say("one")
        chat.sees("echo one")
    expect(chat.page.get_by_role("button", name="Copy")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Edit")).to_have_count(0)
    expect(chat.page.get_by_role("button", name="Answer again")).to_have_count(0)
