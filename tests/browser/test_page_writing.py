import pytest
from playwright.sync_api import Route, expect

pytestmark = pytest.mark.browser

DESK = """
    import asyncio
    import parlour

    app = parlour.App()
    failures = iter([True, False])

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        match message.text:
            case "fail once":
                if next(failures):
                    raise ValueError
                session.reply("this time it went well")
            case "wait":
                await session.sleep(600)
            case "keep":
                await session.ask("Which city?")
                session.reply("I see.")
            case text:
                session.reply(f"{text}: {[file.name for file in message.files]}")
"""


def note(name: str = "note.txt", size: int = 10) -> dict[str, object]:
    return {"name": name, "mimeType": "text/plain", "buffer": b"x" * size}


def test_what_failed_is_tried_again_without_being_typed_again(serve, visit) -> None:
    chat = visit(serve(DESK))
    chat.say("fail once")
    expect(chat.notices).to_contain_text("Something went wrong")
    chat.notices.get_by_role("button", name="Try again").click()
    chat.sees("this time it went well")
    expect(chat.mine).to_have_text(["fail once", "fail once"])
    expect(chat.page.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_message_that_is_refused_keeps_its_words_to_be_edited(serve, visit) -> None:
    chat = visit(serve(DESK, PARLOUR_LIMITS__QUEUED_MESSAGES="1"))
    chat.say("wait")
    expect(chat.stop).to_be_visible()
    chat.say("one")
    expect(chat.page.get_by_text("Waiting for its turn")).to_be_visible()
    chat.say("two")
    refused = chat.page.locator(".turn.refused")
    expect(refused.get_by_text("It is busy now.")).to_be_visible()
    refused.get_by_role("button", name="Edit").click()
    expect(chat.composer).to_have_value("two")
    expect(refused).to_have_count(0)


def test_a_draft_survives_a_reload_with_its_files(house, visit) -> None:
    chat = visit(house(DESK))
    chat.is_open()
    chat.page.locator("#composer input[type=file]").set_input_files([note()])
    expect(chat.page.get_by_role("button", name="Remove note.txt")).to_be_visible()
    chat.composer.fill("see this")
    chat.page.reload()
    expect(chat.composer).to_have_value("see this")
    chat.page.get_by_role("button", name="Send", exact=True).click()
    chat.sees("see this: ['note.txt']")
    chat.page.reload()
    chat.sees("see this")
    expect(chat.composer).to_have_value("")


@pytest.mark.promise("P7")
def test_a_question_stays_after_a_reload_and_a_restart(serve, visit) -> None:
    server = serve(DESK)
    chat = visit(server)
    chat.say("keep")
    expect(chat.question).to_be_visible()
    chat.page.reload()
    expect(chat.question).to_be_visible()
    server.kill()
    server.start()
    chat.page.reload()
    chat.question.get_by_role("textbox").fill("Paris")
    chat.question.get_by_role("button", name="Answer").click()
    chat.sees("I see.")


def hold(_: Route) -> None:
    """A request that gets no answer."""


def test_an_upload_shows_its_progress_and_can_be_cancelled(house, visit) -> None:
    chat = visit(house(DESK))
    chat.is_open()
    chat.page.route("**/files?*", hold)
    chat.page.locator("#composer input[type=file]").set_input_files([note("slow.txt")])
    expect(chat.page.get_by_role("progressbar", name="Uploading slow.txt")).to_be_visible()
    send = chat.page.get_by_role("button", name="Send", exact=True)
    chat.composer.fill("with a file")
    expect(send).to_be_disabled()
    chat.composer.press("Enter")
    expect(chat.page.get_by_text("A file is still on its way up.")).to_be_visible()
    chat.page.get_by_role("button", name="Cancel slow.txt").click()
    expect(chat.page.get_by_text("slow.txt")).to_have_count(0)
    send.click()
    chat.sees("with a file: []")


def test_an_upload_that_fails_says_why_and_is_tried_again(house, visit) -> None:
    chat = visit(house(DESK))
    chat.is_open()
    chat.page.route("**/files?*", lambda route: route.abort())
    chat.page.locator("#composer input[type=file]").set_input_files([note()])
    expect(chat.page.get_by_text("The connection was lost.")).to_be_visible()
    chat.page.unroute("**/files?*")
    chat.page.get_by_role("button", name="Try again").click()
    expect(chat.page.get_by_role("progressbar")).to_have_count(0)
    chat.say("again")
    chat.sees("again: ['note.txt']")


def test_more_files_than_a_message_takes_are_refused_with_the_number(serve, visit) -> None:
    chat = visit(serve(DESK, PARLOUR_LIMITS__FILES_PER_MESSAGE="2"))
    chat.is_open()
    files = [note(f"{number}.txt") for number in range(3)]
    chat.page.locator("#composer input[type=file]").set_input_files(files)
    expect(chat.page.get_by_text("Only 2 files fit.")).to_have_count(1)
    chat.page.get_by_role("button", name="Remove 2.txt").click()
    chat.say("two")
    chat.sees("two: ['0.txt', '1.txt']")


def test_where_files_can_be_dropped_is_shown_while_they_are_dragged(house, visit) -> None:
    chat = visit(house(DESK))
    chat.is_open()
    drag = """(kind) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["hello"], "a.txt", { type: "text/plain" }));
        document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, dataTransfer }));
    }"""
    chat.page.evaluate(drag, "dragenter")
    expect(chat.composer).to_have_attribute("placeholder", "Drop files here")
    chat.page.evaluate(drag, "dragleave")
    expect(chat.composer).to_have_attribute("placeholder", "Write a message")
