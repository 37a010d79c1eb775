"""What a message brings besides words: shown as what it is, in the theme, kept after a reload."""

import re

import pytest
from playwright.sync_api import expect
from test_page_threads import Panel

pytestmark = pytest.mark.browser

APP = '''
    import io
    import math
    import struct
    import wave

    import parlour

    app = parlour.App(title="Analyst")

    PDF = (
        b"%PDF-1.4\\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\\n2 0 obj<</Type/Pages/Kids[3 0 R]"
        b"/Count 1>>endobj\\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 90]>>endobj\\n"
        b"trailer<</Root 1 0 R>>"
    )
    SVG = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40">'
        "<script>parent.hacked = true; alert(1)</script><rect width='60' height='40'/></svg>"
    )
    PAGE = """<h1>Hello</h1><p id="p"></p><script>
        p.textContent = "ran in " + origin;
        try { parent.document.title = "hacked"; } catch { p.textContent += ", walled"; }
    </script>"""

    def tone() -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            for number in range(800):
                sound.writeframes(struct.pack("<h", int(9000 * math.sin(number / 5))))
        return buffer.getvalue()

    def frame(rows: int):
        import pandas as pd

        return pd.DataFrame({
            "city": [("Porto", "Zürich", "Kyoto")[at % 3] for at in range(rows)],
            "visitors": [(at * 7919) % 10_007 for at in range(rows)],
            "note": ["" if at % 2 else f"a, \\"quoted\\" note {at}" for at in range(rows)],
        })

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        match message.text:
            case "table":
                attached = [parlour.Table(frame(3000), alt="Visitors", rows=2000)]
            case "plotly":
                import plotly.express as px

                figure = px.bar(frame(9), x="city", y="visitors", title="Visitors by city")
                attached = [parlour.Figure(figure)]
            case "many points":
                import plotly.express as px

                figure = px.scatter(frame(1500), x="visitors", y="visitors", title="Many")
                attached = [parlour.Figure(figure)]
            case "vega":
                import altair as alt

                chart = alt.Chart(frame(9), title="Charted").mark_bar()
                attached = [parlour.Figure(chart.encode(x="city", y="sum(visitors)"))]
            case "matplotlib":
                from matplotlib.figure import Figure

                figure = Figure()
                figure.subplots().plot([1, 3, 2])
                attached = [parlour.Figure(figure, "A line that goes up and down")]
            case "broken":
                attached = [parlour.Figure({"$schema": "vega-lite", "mark": "no such mark"})]
            case "svg":
                attached = [parlour.Image(SVG, "A rectangle", name="drawing.svg")]
            case "media":
                attached = [
                    parlour.Audio(tone(), "A tone", name="tone.wav"),
                    parlour.Pdf(PDF, "The contract"),
                    parlour.Html(PAGE, "A page", height=200),
                    parlour.File(name="notes.txt", content="some notes"),
                ]
            case "page":
                attached = [parlour.File(name="evil.html", content=PAGE, type="text/html")]
            case _:
                attached = [
                    parlour.Actions([
                        parlour.Action("Book it", "book", {"room": 7}),
                        parlour.Action("No", "no"),
                    ])
                ]
        session.reply(f"This is **{message.text}**.", attachments=attached)

    @app.on_signal
    async def pressed(session: parlour.Session, signal: parlour.SignalMessage) -> None:
        session.reply(f"signal {signal.name} {signal.data}")
'''


@pytest.fixture
def server(house):
    return house(APP)


def cells(chat, column: int) -> list[str]:
    return chat.page.locator(f".sheet tbody tr:not(.room) td:nth-child({column})").all_inner_texts()


def test_a_long_table_is_scrolled_sorted_by_keyboard_and_downloaded(server, visit) -> None:
    chat = visit(server)
    chat.say("table")
    expect(chat.page.get_by_text("Visitors · The first 2,000 of 3,000 rows")).to_be_visible()
    assert cells(chat, 1)[:2] == ["Porto", "Zürich"]
    # of thousands of rows only some are on the page
    assert len(cells(chat, 1)) < 200
    head = chat.page.get_by_role("columnheader", name="visitors")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").focus()
    chat.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    numbers = [int(text) for text in cells(chat, 2)]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    chat.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert int(cells(chat, 2)[0]) > 10_000
    chat.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "none")
    chat.page.locator(".sheet-scroller").evaluate("place => place.scrollTo(0, 1e9)")
    expect(chat.page.locator("tr[aria-rowindex='2001']")).to_be_visible()
    with chat.page.expect_download() as downloading:
        chat.page.get_by_role("link", name="Download table.csv").click()
    text = downloading.value.path().read_text(encoding="utf-8")
    assert text.splitlines()[1] == 'Porto,0,"a, ""quoted"" note 0"'
    assert len(text.splitlines()) == 2001


@pytest.mark.parametrize(
    ("what", "title", "mark"),
    [
        ("plotly", "Visitors by city", ".bars path"),
        ("many points", "Many", ".scatterlayer path"),
        ("vega", "Charted", ".mark-rect path"),
    ],
)
def test_a_figure_lives_and_is_there_after_a_reload(server, visit, what, title, mark) -> None:
    chat = visit(server)
    chat.say(what)
    chat.sees(what)
    figure = chat.page.get_by_role("img", name=title)
    expect(figure.locator(mark).first).to_be_attached()
    chat.page.reload()
    expect(figure.locator(mark).first).to_be_attached()
    with chat.page.expect_download() as downloading:
        chat.page.get_by_role("button", name="PNG").click()
    assert downloading.value.path().read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("what", ["plotly", "vega"])
def test_a_figure_is_in_the_theme_and_turns_with_it(server, visit, what: str) -> None:
    chat = visit(server, color_scheme="light")
    chat.say(what)
    words = chat.page.locator(".drawing text").first
    colour = "element => getComputedStyle(element).fill"
    expect(words).to_be_attached()
    light = words.evaluate(colour)
    chat.page.emulate_media(color_scheme="dark")
    expect(chat.page.locator(".drawing text").first).not_to_have_css("fill", light)


def test_what_cannot_be_drawn_can_be_downloaded(server, visit) -> None:
    chat = visit(server)
    chat.say("broken")
    expect(chat.page.get_by_text("This kind of figure cannot be drawn here.")).to_be_visible()
    expect(chat.page.get_by_role("link", name="figure.json")).to_be_visible()


def test_a_picture_has_its_place_and_its_words_and_opens_large(server, visit) -> None:
    chat = visit(server)
    chat.say("matplotlib")
    picture = chat.page.get_by_role("img", name="A line that goes up and down")
    expect(picture).to_be_visible()
    width, height = picture.get_attribute("width"), picture.get_attribute("height")
    natural = picture.evaluate("image => [image.naturalWidth, image.naturalHeight].map(String)")
    assert [width, height] == natural
    picture.click()
    large = chat.page.get_by_role("dialog", name="A line that goes up and down")
    expect(large).to_be_visible()
    chat.page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    expect(chat.page.locator("button.picture")).to_be_focused()


def test_a_script_in_a_picture_never_runs(server, visit) -> None:
    chat = visit(server)
    chat.say("svg")
    picture = chat.page.get_by_role("img", name="A rectangle")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", value=True)
    address = picture.evaluate("image => image.src")
    headers = chat.page.request.get(address).headers
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["x-content-type-options"] == "nosniff"
    assert chat.page.evaluate("window.hacked") is None


def test_sound_papers_pages_and_files_are_shown_and_walled(server, visit) -> None:
    chat = visit(server)
    chat.say("media")
    sound = chat.page.locator("audio")
    expect(sound).to_have_attribute("aria-label", "A tone")
    chat.page.wait_for_function(
        """() => document.querySelector("parlour-chat").shadowRoot
            .querySelector("audio")?.duration > 0.05""",
        timeout=20_000,
    )
    frame = chat.page.frame_locator("iframe[sandbox='allow-scripts']")
    expect(frame.get_by_text("ran in null, walled")).to_be_visible()
    expect(chat.page).to_have_title("Analyst")
    paper = chat.page.get_by_role("link", name="The contract")
    answer = chat.page.request.get(paper.evaluate("link => link.href"))
    assert answer.headers["content-disposition"].startswith("inline")
    with chat.page.expect_download() as downloading:
        chat.page.get_by_role("link", name="notes.txt").click()
    assert downloading.value.path().read_text() == "some notes"


def test_a_page_that_was_only_sent_as_a_file_is_never_shown(server, visit) -> None:
    chat = visit(server)
    chat.say("page")
    link = chat.page.get_by_role("link", name="evil.html")
    expect(link).to_be_visible()
    expect(chat.page.locator("iframe")).to_have_count(0)
    address = link.evaluate("link => link.href") + "?view=frame"
    headers = chat.page.request.get(address).headers
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_a_button_sends_its_signal_and_stays_after_a_reload(server, visit) -> None:
    chat = visit(server)
    chat.say("buttons")
    chat.page.get_by_role("button", name="Book it").click()
    chat.sees("signal book {'room': 7}")
    chat.page.reload()
    chat.page.get_by_role("button", name="No", exact=True).click()
    chat.sees("signal no None")


def test_on_a_phone_nothing_is_wider_than_the_screen(server, visit) -> None:
    phone = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}
    chat = visit(server, **phone)
    for what in ("table", "plotly", "vega", "matplotlib", "media", "buttons"):
        chat.is_settled()
        chat.composer.fill(what)
        chat.page.locator("#composer button.send").click()
        chat.sees(what)
    expect(chat.page.locator(".drawing svg").nth(1)).to_be_attached()
    assert chat.page.evaluate("document.documentElement.scrollWidth") == 360
    scroller = chat.page.locator("#scroller")
    assert scroller.evaluate("place => place.scrollWidth <= place.clientWidth")


def test_files_of_others_are_as_if_they_were_not_there(server, visit) -> None:
    chat = visit(server)
    chat.say("svg")
    address = chat.page.get_by_role("img", name="A rectangle").evaluate("image => image.src")
    other = visit(server)
    other.is_open()
    answer = other.page.request.get(address)
    assert answer.status == 404
    assert re.search(r"unknown_(session|file)", answer.text())


def test_who_reads_a_link_sees_what_was_shown_and_can_press_nothing(serve, visit) -> None:
    server = serve(APP, PARLOUR_SHARING="true")
    chat = visit(server, permissions=["clipboard-read", "clipboard-write"])
    for what in ("media", "table", "buttons"):
        chat.say(what)
        chat.sees(what)
    panel = Panel(chat.page).open()
    panel.act("media", "Share")
    dialog = chat.page.get_by_role("dialog", name="Share this conversation")
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.get_by_role("button", name="Copy link")).to_be_visible()
    address = chat.page.evaluate("navigator.clipboard.readText()")
    reader = visit(server, path=address.removeprefix(server.url))
    frame = reader.page.frame_locator("iframe[sandbox='allow-scripts']")
    expect(frame.get_by_text("ran in null, walled")).to_be_visible()
    expect(reader.page.get_by_text("Visitors · The first 2,000 of 3,000 rows")).to_be_visible()
    reader.sees("This is buttons.")
    expect(reader.page.get_by_role("button", name="Book it")).to_have_count(0)
