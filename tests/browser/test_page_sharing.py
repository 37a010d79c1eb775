"""Links to a conversation, and conversations to keep."""

import re
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import expect
from test_page_threads import APP, Panel

pytestmark = pytest.mark.browser


def test_a_link_shows_a_conversation_as_it_was_until_it_is_revoked(serve, visit) -> None:
    server = serve(APP, PARLOUR_SHARING="true")
    chat = visit(server, permissions=["clipboard-read", "clipboard-write"])
    chat.say("hello *you*")
    chat.sees("echo hello you")
    panel = Panel(chat.page).open()
    panel.act("hello", "Share")
    dialog = chat.page.get_by_role("dialog", name="Share this conversation")
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.get_by_role("button", name="Copy link")).to_be_visible()
    address = chat.page.evaluate("navigator.clipboard.readText()")
    chat.page.keyboard.press("Escape")
    chat.say("a secret")
    chat.sees("echo a secret")
    path = address.removeprefix(server.url)
    assert re.fullmatch(r"shared/[\w-]{32}", path)
    reader = visit(server, path=path)
    expect(reader.page.get_by_role("heading", level=1)).to_have_text("hello *you*")
    expect(reader.replies).to_have_text(["echo hello you"])
    expect(reader.composer).to_have_count(0)
    assert "secret" not in reader.page.locator("parlour-chat").inner_text()
    assert reader.page.context.cookies() == []
    panel.act("hello", "Share")
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog.get_by_role("button", name="Revoke")).to_have_count(0)
    reader.page.reload()
    expect(reader.page.get_by_text("This link leads nowhere")).to_be_visible()


def test_where_sharing_is_off_nobody_is_offered_it(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("hello")
    chat.sees("echo hello")
    panel = Panel(chat.page).open()
    panel.row("hello").hover()
    panel.row("hello").get_by_role("button", name=re.compile("^More about")).click()
    expect(chat.page.get_by_role("button", name="Delete")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Share")).to_have_count(0)


def test_a_conversation_is_kept_as_text_and_as_data(house, visit) -> None:
    chat = visit(house(APP))
    chat.say("hello there")
    chat.sees("echo hello there")
    panel = Panel(chat.page).open()
    with chat.page.expect_download() as text:
        panel.act("hello there", "Save as text (Markdown)")
    assert text.value.suggested_filename == "hello there.md"
    assert "\n\nhello there\n" in Path(text.value.path()).read_text("utf-8")
    with chat.page.expect_download() as data:
        panel.act("hello there", "Save as data (zip)")
    assert data.value.suggested_filename == "hello there.zip"
    with ZipFile(data.value.path()) as archive:
        assert f"sessions/{chat.session}/records.jsonl" in archive.namelist()
