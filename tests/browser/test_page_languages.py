import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

GREETER = """
    import parlour

    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if await session.confirm("?"):
            session.reply("!")
"""

SENDS = {
    "en-GB": "Send",
    "de-AT": "Senden",
    "fr-CA": "Envoyer",
    "es-MX": "Enviar",
    "zh-TW": "发送",
    "ja": "送信",
    "ar-EG": "إرسال",
    "pt-BR": "Send",
}


@pytest.mark.parametrize("locale", SENDS)
def test_the_chat_speaks_the_browser_s_language(house, visit, locale: str) -> None:
    chat = visit(house(GREETER), locale=locale)
    expect(chat.page.get_by_role("button", name=SENDS[locale], exact=True)).to_be_visible()
    lang = chat.page.evaluate("document.documentElement.lang")
    assert lang == ("en" if locale == "pt-BR" else locale)


def test_arabic_goes_from_right_to_left(house, visit) -> None:
    chat = visit(house(GREETER), locale="ar")
    field = chat.page.get_by_role("textbox", name="رسالة")
    field.fill("مرحبا")
    field.press("Enter")
    expect(chat.question.get_by_role("button", name="نعم")).to_be_visible()
    assert chat.page.evaluate("document.documentElement.dir") == "rtl"
    send = chat.page.get_by_role("button", name="إرسال", exact=True).bounding_box()
    box = field.bounding_box()
    assert send is not None
    assert box is not None
    assert send["x"] < box["x"]
    assert chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("scheme", "light"), [("light", True), ("dark", False)])
def test_the_theme_is_the_system_s_until_the_user_chooses(
    house, visit, scheme: str, light: bool
) -> None:
    chat = visit(house(GREETER), color_scheme=scheme)
    chat.is_open()
    assert is_light(chat) is light
    other = "Dark" if light else "Light"
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_role("radio", name=other).check()
    assert is_light(chat) is not light
    chat.page.reload()
    chat.is_open()
    assert is_light(chat) is not light
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_role("radio", name="System").check()
    assert is_light(chat) is light


def is_light(chat) -> bool:
    """Whether the chat's ground is bright."""
    ground = "element => getComputedStyle(element).backgroundColor"
    colour = chat.page.locator(".chat").evaluate(ground)
    red = int(colour.removeprefix("rgb(").split(",")[0])
    return red > 128
