"""The parts of the bot's work and its progress, as one sees them: live, nested, after a reload."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

APP = """
    import asyncio

    import parlour

    app = parlour.App(title="Worker")

    @app.on_message
    async def work(session: parlour.Session, message: parlour.Message) -> None:
        async with session.part("Plan", input={"for": message.text}, cost=True) as plan:
            plan.write("1. **look**\\n2. book\\n")
            session.add_cost(0.25, input_tokens=1200, output_tokens=34)
            async with session.part("Search", kind="tool") as search:
                session.progress(3, 10, "pages")
                search.write("three of ten")
                await session.ask("Go on?")
                search.output = "```python\\nprint('found')\\n```"
            async with session.part("Book") as book:
                book.fail("No room is free.")
            await session.step(len, "secret", show=True)
        if message.text == "stop":
            async with session.part("Endless"):
                session.progress(1, 4, "going on")
                await session.sleep(600)
        session.progress(5, 8, "writing")
        await session.sleep(0.3)
        session.reply("done")
"""


def test_parts_are_seen_while_they_run_and_folded_when_they_are_done(serve, visit) -> None:
    server = serve(APP)
    chat = visit(server)
    chat.say("go")
    expect(chat.page.get_by_text("three of ten")).to_be_visible()
    expect(chat.page.get_by_text("3 / 10")).to_be_visible()
    expect(chat.page.locator(".part strong")).to_have_text("look")
    expect(chat.page.locator(".part-name")).to_have_text(["Plan, Working", "Search, Working"])

    chat.page.reload()
    expect(chat.page.get_by_text("three of ten")).to_be_visible()
    expect(chat.page.get_by_text("3 / 10")).to_be_visible()

    other = visit(server, tab_of=chat, path=f"?s={chat.session}")
    expect(other.page.get_by_text("three of ten")).to_be_visible()

    chat.page.locator("form.question input, form.question textarea").first.fill("yes")
    chat.page.keyboard.press("Enter")
    for each in (chat, other):
        each.sees("done")
        expect(each.page.locator(".part-name")).to_have_text(["Plan"])
        expect(each.page.locator(".part-about").first).to_contain_text("1,234 tokens")
        expect(each.page.locator(".part-about").first).to_contain_text("$0.25")

    chat.page.reload()
    chat.sees("done")
    expect(chat.page.locator("progress")).to_have_count(0)
    chat.page.locator(".part summary").focus()
    chat.page.keyboard.press("Enter")
    expect(chat.page.locator(".part-name")).to_have_text(["Plan", "Search", "Book, Failed", "len"])
    expect(chat.page.locator(".part-body")).not_to_contain_text("secret")
    chat.page.get_by_text("Search").click()
    expect(chat.page.locator(".part .code pre").last).to_have_text("print('found')")
    chat.page.get_by_text("Book", exact=False).first.click()
    expect(chat.page.get_by_text("No room is free.")).to_be_visible()


def test_a_stopped_round_leaves_no_part_running(serve, visit) -> None:
    chat = visit(serve(APP))
    chat.say("stop")
    expect(chat.page.get_by_text("three of ten")).to_be_visible()
    chat.page.locator("form.question input, form.question textarea").first.fill("yes")
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_text("going on")).to_be_visible()
    chat.stop.click()
    expect(chat.notices).to_have_text("Stopped")
    expect(chat.page.locator(".part-line[data-state=running]")).to_have_count(0)
    expect(chat.page.locator(".part-line[data-state=stopped]")).to_have_count(1)
    expect(chat.page.locator("progress")).to_have_count(0)
