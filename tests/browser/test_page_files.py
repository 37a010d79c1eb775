import base64
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/eL9GtQAAAABJRU5ErkJggg=="
)

FILES = """
    import parlour

    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if message.text == "ask":
            file = await session.ask_file("A photo, please.", accept=["image/*"])
            await session.send_file(file.path, name=f"copy of {file.name}", text="Thank you.")
            return
        for file in message.files:
            content = file.path.read_bytes()
            session.reply(f"{file.name}: {file.size} bytes, {content[:5]!r}")
"""


def document(name: str, content: bytes, kind: str = "text/plain") -> dict[str, object]:
    return {"name": name, "mimeType": kind, "buffer": content}


def test_files_go_up_with_a_message(house, visit) -> None:
    chat = visit(house(FILES))
    chat.is_open()
    picker = chat.page.locator("#composer input[type=file]")
    picker.set_input_files([document("a.txt", b"alpha"), document("b & c.txt", b"beta" * 1000)])
    expect(chat.page.get_by_role("button", name="Remove a.txt")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Remove b & c.txt")).to_be_visible()
    chat.say("two files")
    chat.sees("a.txt: 5 bytes, b'alpha'")
    chat.sees("b & c.txt: 4000 bytes, b'betab'")
    links = chat.page.locator(".turn.user").get_by_role("link")
    expect(links).to_have_count(2)
    with chat.page.expect_download() as download:
        links.first.click()
    assert download.value.suggested_filename == "a.txt"
    assert Path(download.value.path()).read_bytes() == b"alpha"


def test_a_file_can_be_removed_before_it_is_sent(house, visit) -> None:
    chat = visit(house(FILES))
    chat.is_open()
    picker = chat.page.locator("#composer input[type=file]")
    picker.set_input_files([document("keep.txt", b"keep"), document("drop.txt", b"drop")])
    chat.page.get_by_role("button", name="Remove drop.txt").click()
    expect(chat.page.get_by_text("drop.txt")).to_have_count(0)
    chat.page.get_by_role("button", name="Send", exact=True).click()
    chat.sees("keep.txt: 4 bytes")
    expect(chat.log).not_to_contain_text("drop.txt")


def test_a_question_for_a_file_is_answered_by_picking_one(house, visit) -> None:
    chat = visit(house(FILES))
    chat.say("ask")
    chat.sees("A photo, please.")
    picker = chat.question.locator("input[type=file]")
    picker.set_input_files([document("notes.txt", b"no picture")])
    expect(chat.question.get_by_text("Not of the kind that is asked for")).to_be_visible()
    chat.question.get_by_role("button", name="Remove notes.txt").click()
    picker.set_input_files([document("me.png", PICTURE, "image/png")])
    chat.question.get_by_role("button", name="Send").click()
    reply = chat.page.locator(".turn.bot", has_text="Thank you.")
    thumbnail = reply.get_by_role("img", name="copy of me.png")
    expect(thumbnail).to_be_visible()
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    expect(chat.page.locator(".turn.user").get_by_role("img", name="me.png")).to_be_visible()
    expect(chat.question).to_have_count(0)


def test_a_file_can_be_dropped_anywhere_or_pasted(house, visit) -> None:
    chat = visit(house(FILES))
    chat.is_open()
    for kind, name in (("drop", "dropped.txt"), ("paste", "pasted.txt")):
        chat.page.evaluate(
            """([kind, name]) => {
                const data = new DataTransfer();
                data.items.add(new File(["hello"], name, { type: "text/plain" }));
                const options = { bubbles: true, cancelable: true };
                const target = document.querySelector("parlour-chat");
                target.dispatchEvent(kind === "drop"
                    ? new DragEvent("drop", { ...options, dataTransfer: data })
                    : new ClipboardEvent("paste", { ...options, clipboardData: data }));
            }""",
            [kind, name],
        )
        expect(chat.page.get_by_role("button", name=f"Remove {name}")).to_be_visible()
    chat.page.get_by_role("button", name="Send", exact=True).click()
    chat.sees("dropped.txt: 5 bytes, b'hello'")
    chat.sees("pasted.txt: 5 bytes, b'hello'")


@pytest.mark.promise("P12")
def test_a_file_that_is_too_large_is_refused_with_the_limit(serve, visit) -> None:
    chat = visit(serve(FILES, PARLOUR_LIMITS__UPLOAD_BYTES="2000"))
    chat.is_open()
    picker = chat.page.locator("#composer input[type=file]")
    picker.set_input_files([document("large.bin", b"x" * 3000)])
    expect(chat.page.get_by_text("Larger than 2 kB")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Try again")).to_have_count(0)


@pytest.mark.promise("P17")
def test_nobody_else_can_download_a_file(house, visit) -> None:
    server = house(FILES)
    ada = visit(server)
    ada.is_open()
    ada.page.locator("#composer input[type=file]").set_input_files([document("a.txt", b"alpha")])
    expect(ada.page.get_by_role("button", name="Remove a.txt")).to_be_visible()
    ada.say("mine")
    ada.sees("a.txt: 5 bytes")
    link = ada.page.locator(".turn.user").get_by_role("link").evaluate("link => link.href")
    grace = visit(server)
    grace.is_open()
    assert grace.page.request.get(link).status == 404
    assert ada.page.request.get(link).status == 200
