"""What an app makes of the page: looks, profiles, starters, settings, ratings, keys, components."""

import re
import textwrap
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect
from test_page_budgets import AXE, VIOLATIONS

pytestmark = pytest.mark.browser

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
APP = """
    import dataclasses
    from pathlib import Path
    from typing import Literal

    import parlour

    HERE = Path(__file__).parent

    app = parlour.App(title="House")

    @app.settings
    @dataclasses.dataclass
    class Taste:
        units: Literal["metric", "imperial"] = "metric"
        stars: int = 3
        brief: bool = False

        def __post_init__(self):
            if self.stars > 5:
                raise ValueError("there are at most five stars")

    desk = app.profile(
        "desk", label="Guest desk", description="Rooms and keys",
        starters=[parlour.Starter(label="A room", message="a room, please"), "Breakfast?"],
    )
    kitchen = app.profile("kitchen", label="Kitchen", description="Something to eat")

    @desk.on_message
    async def at_desk(session, message):
        if message.text == "map":
            session.show("room-map", {"room": 7}, text="Room 7 is on the left.")
        elif message.text == "nowhere":
            session.show("missing", text="It is **not** there.")
        elif message.text == "number":
            stars = await session.ask("How many?", int, minimum=2)
            session.reply(f"{stars} of them")
        elif message.text == "slow":
            await session.sleep(600)
        else:
            session.reply(f"desk: {message.text}, {session.settings(Taste)}")

    @kitchen.on_message
    async def in_kitchen(session, message):
        session.reply(f"kitchen: {message.text}")

    @app.on_signal
    async def came(session, signal):
        session.reply(f"signal {signal.name} {signal.data}")

    @app.on_feedback
    async def learn(session, feedback):
        session.set("rated", feedback.rating)
        if feedback.reason:
            session.reply(f"learnt: {feedback.rating} {feedback.reason}")
"""

TOML = """
    [looks]
    name = "The Grand"
    welcome = "**Welcome** to the house."
    logo = "logo.svg"
    accent = ["#7a1fa2", "#ce93d8"]
    style = "own.css"
    components = "parts"

    [looks.texts]
    writeMessage = "Ask the house"

    [looks.texts.de]
    writeMessage = "Fragen Sie das Haus"
"""
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">'
    '<rect width="40" height="40"/></svg>'
)
PART = """
    export default ({ element, data, say, signal, theme, language }) => {
      const words = document.createElement("p");
      words.textContent = `room ${data.room} in ${language}, ${theme}`;
      const button = document.createElement("button");
      button.textContent = "Take it";
      button.onclick = () => signal("take", data.room);
      element.append(words, button);
      for (const [name, tries] of Object.entries({
        cookie: () => document.cookie,
        storage: () => localStorage.length,
        parent: () => parent.document.title,
      })) {
        try { tries(); element.dataset[name] = "open"; } catch { element.dataset[name] = "shut"; }
      }
      return { update: ({ theme }) => { words.textContent = `now ${theme}`; } };
    };
"""


@pytest.fixture
def house(serve, tmp_path: Path):
    """The server of an app with looks of its own."""

    def start(source: str = APP, toml: str = TOML, **environment: str):
        def dress(folder: Path) -> None:
            (folder / "parlour.toml").write_text(textwrap.dedent(toml))
            (folder / "logo.svg").write_text(LOGO)
            (folder / "own.css").write_text(".heading { letter-spacing: 0.25rem; }")
            (folder / "parts").mkdir()
            (folder / "parts" / "room-map.js").write_text(textwrap.dedent(PART))

        return serve(source, prepare=dress, **environment)

    return start


def test_name_logo_colours_texts_and_style_are_the_apps_own(house, visit) -> None:
    chat = visit(house(), locale="en-GB")
    page = chat.page
    expect(page.get_by_role("heading", name="The Grand")).to_be_visible()
    expect(page).to_have_title("The Grand")
    expect(page.locator(".start .welcome strong")).to_have_text("Welcome")
    logo = page.locator(".head .logo")
    expect(logo).to_be_visible()
    assert logo.evaluate("image => image.naturalWidth") == 40
    expect(page.get_by_placeholder("Ask the house")).to_be_visible()
    chat.say("hello")
    said = chat.sees("desk: hello")
    expect(page.locator(".heading")).to_have_css("letter-spacing", "4px")
    accent = said.evaluate("e => getComputedStyle(e).getPropertyValue('--accent')")
    assert "#7a1fa2" in accent


def test_texts_may_be_another_in_each_language(house, visit) -> None:
    chat = visit(house(), locale="de-DE")
    expect(chat.page.get_by_placeholder("Fragen Sie das Haus")).to_be_visible()


def test_a_starter_begins_the_conversation_and_is_gone_then(house, visit) -> None:
    chat = visit(house())
    starters = chat.page.locator(".starter")
    expect(starters).to_have_text(["A room", "Breakfast?"])
    starters.first.click()
    chat.sees("desk: a room, please")
    expect(starters).to_have_count(0)


def test_a_profile_is_chosen_at_the_start_and_stays_with_the_conversation(house, visit) -> None:
    chat = visit(house())
    chat.is_open()
    first = chat.session
    expect(chat.page.get_by_role("radio", name="Guest desk")).to_be_checked()
    chat.page.get_by_text("Something to eat").click()
    expect(chat.page.get_by_role("radio", name="Kitchen")).to_be_checked()
    expect(chat.page).not_to_have_url(re.compile(first))
    expect(chat.page.locator(".starter")).to_have_count(0)
    chat.say("soup")
    chat.sees("kitchen: soup")
    expect(chat.page.locator(".profile-name")).to_have_text("Kitchen")
    chat.page.reload()
    chat.sees("kitchen: soup")
    expect(chat.page.locator(".profile-name")).to_have_text("Kitchen")
    chat.say("bread")
    chat.sees("kitchen: bread")


def open_settings(chat) -> Locator:
    chat.page.get_by_role("button", name="Settings").click()
    form = chat.page.get_by_role("form", name="Taste")
    expect(form).to_be_visible()
    return form


def test_settings_are_fields_checked_by_the_server_and_kept(house, visit) -> None:
    chat = visit(house())
    chat.is_open()
    form = open_settings(chat)
    form.get_by_label("Units").select_option(label="imperial")
    form.get_by_label("Stars").fill("7")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("at most five stars")
    form.get_by_label("Stars").fill("5")
    form.get_by_label("Brief").check()
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("button", name="Saved")).to_be_visible()
    chat.page.keyboard.press("Escape")
    chat.say("hello")
    chat.sees("Taste(units='imperial', stars=5, brief=True)")
    chat.page.reload()
    chat.is_open()
    expect(open_settings(chat).get_by_label("Stars")).to_have_value("5")
    chat.page.keyboard.press("Escape")
    # what was set in this browser holds in the next conversation too
    chat.page.get_by_role("link", name="New conversation").click()
    expect(chat.replies).to_have_count(0)
    chat.say("again")
    chat.sees("desk: again, Taste(units='imperial', stars=5, brief=True)")


def test_settings_change_while_a_round_runs_and_are_seen_in_another_tab(house, visit) -> None:
    server = house()
    chat = visit(server)
    chat.say("slow")
    expect(chat.page.get_by_label("Answering")).to_be_visible()
    form = open_settings(chat)
    form.get_by_label("Stars").fill("1")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("button", name="Saved")).to_be_visible()
    other = visit(server, tab_of=chat, path=f"?s={chat.session}")
    other.is_open()
    expect(open_settings(other).get_by_label("Stars")).to_have_value("1")


@pytest.mark.promise("P5")
def test_a_rating_with_its_reason_reaches_the_app_and_every_tab_and_can_be_changed(
    house, visit
) -> None:
    server = house()
    chat = visit(server)
    chat.say("hello")
    chat.sees("desk: hello")
    turn = chat.page.locator(".turn.bot").first
    good = turn.get_by_role("button", name="Good answer")
    bad = turn.get_by_role("button", name="Bad answer")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    reason = turn.get_by_label("What was wrong?")
    reason.fill("Too short")
    reason.press("Enter")
    chat.sees("learnt: down Too short")
    expect(turn.get_by_text("Too short")).to_be_visible()
    other = visit(server, tab_of=chat, path=f"?s={chat.session}")
    theirs = other.page.locator(".turn.bot").first
    expect(theirs.get_by_role("button", name="Bad answer")).to_have_attribute(
        "aria-pressed", "true"
    )
    theirs.get_by_role("button", name="Good answer").click()
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(bad).to_have_attribute("aria-pressed", "false")
    chat.page.reload()
    expect(good).to_have_attribute("aria-pressed", "true")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "false")
    chat.page.reload()
    expect(good).to_have_attribute("aria-pressed", "false")


def test_without_on_feedback_there_are_no_thumbs(serve, visit) -> None:
    source = """
        import parlour
        app = parlour.App()
        @app.on_message
        async def answer(session, message):
            session.reply("yes")
    """
    chat = visit(serve(source))
    chat.say("hello")
    chat.sees("yes")
    chat.is_open()
    expect(chat.page.get_by_role("button", name="Good answer")).to_have_count(0)


def test_a_component_shows_itself_in_a_frame_that_reaches_nothing(house, visit) -> None:
    chat = visit(house(), color_scheme="light", locale="en-GB")
    chat.say("map")
    frame = chat.page.frame_locator(".component iframe")
    expect(frame.get_by_text("room 7 in en-GB, light")).to_be_visible()
    body = frame.locator("body")
    for wall in ("cookie", "storage", "parent"):
        expect(body).to_have_attribute(f"data-{wall}", "shut")
    frame.get_by_role("button", name="Take it").click()
    chat.sees("signal take 7")
    chat.page.emulate_media(color_scheme="dark")
    expect(frame.get_by_text("now dark")).to_be_visible()
    chat.page.reload()
    expect(frame.get_by_text("room 7")).to_be_visible()


def test_a_component_that_is_not_there_is_said_in_words(house, visit) -> None:
    chat = visit(house())
    chat.say("nowhere")
    expect(chat.page.locator(".component strong")).to_have_text("not")


def test_why_an_answer_was_rejected_is_said_in_the_users_language(house, visit) -> None:
    chat = visit(house(), locale="de-DE")
    page = chat.page
    page.get_by_label("Nachricht", exact=True).fill("number")
    page.keyboard.press("Enter")
    expect(chat.question).to_be_visible()
    page.get_by_label("Nachricht", exact=True).fill("1")
    page.keyboard.press("Enter")
    expect(chat.question.get_by_role("alert")).to_have_text(re.compile("Mindestens 2"))


KEYS = """
    import parlour

    app = parlour.App(
        user_env=[
            parlour.UserKey(name="MODEL_KEY", label="Model key", help="From [there](https://a.example)."),
            parlour.UserKey(name="OTHER_KEY", label="Other key", required=False),
        ]
    )

    @app.on_message
    async def answer(session, message):
        session.reply(f"{len(session.user_env['MODEL_KEY'])} letters")
"""


def test_a_key_is_asked_for_and_never_shown_again(serve, visit) -> None:
    server = serve(KEYS)
    chat = visit(server)
    page = chat.page
    field = page.get_by_label("Model key", exact=True)
    expect(field).to_have_attribute("type", "password")
    field.fill("sk-secret-key")
    page.get_by_role("button", name="Save Model key").click()
    expect(field).to_have_count(0)
    chat.say("hello")
    chat.sees("13 letters")
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_text("is set")).to_be_visible()
    assert "sk-secret-key" not in page.content()
    assert "sk-secret-key" not in page.locator("parlour-chat").evaluate(
        "host => host.shadowRoot.innerHTML"
    )
    page.keyboard.press("Escape")
    # after a restart the server asks the browser, not the user
    server.kill()
    expect(chat.status).to_contain_text("Reconnecting")
    server.start()
    expect(chat.status).not_to_contain_text("Reconnecting")
    chat.say("again")
    expect(chat.replies).to_have_text(["13 letters", "13 letters"])
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Forget").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Your keys").first).to_be_visible()
    chat.say("and now")
    expect(chat.notices).to_contain_text("This needs your Model key.")


def test_without_sockets_keys_settings_and_ratings_work_as_well(house, visit) -> None:
    chat = visit(house())
    chat.page.add_init_script(
        "WebSocket = class { constructor() { setTimeout(() => this.onclose({code: 1006})); } "
        "close() {} send() {} }"
    )
    chat.page.reload()
    chat.is_open()
    form = open_settings(chat)
    form.get_by_label("Stars").fill("4")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("button", name="Saved")).to_be_visible()
    chat.page.keyboard.press("Escape")
    chat.say("hello")
    chat.sees("stars=4")
    chat.page.get_by_role("button", name="Good answer").click()
    chat.page.reload()
    expect(chat.page.get_by_role("button", name="Good answer")).to_have_attribute(
        "aria-pressed", "true"
    )


@pytest.mark.parametrize(
    "device",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True},
    ],
    ids=["light", "dark", "phone"],
)
def test_everything_an_app_offers_is_accessible(house, visit, device) -> None:
    keys = 'user_env=["KEY", parlour.UserKey(name="B", required=False)]'
    source = APP.replace('title="House"', f'title="House", {keys}')
    # the policy of the page would not let axe in
    chat = visit(house(source), bypass_csp=True, reduced_motion="reduce", **device)
    page = chat.page
    expect(page.locator(".ask-keys")).to_be_visible()
    expect(page.locator(".starter").first).to_be_visible()
    page.add_script_tag(path=AXE)
    assert page.evaluate(VIOLATIONS, WCAG) == []
    chat.composer.fill("hello")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Bad answer").click()
    expect(page.locator(".why")).to_be_visible()
    open_settings(chat)
    expect(page.locator(".keys")).to_be_visible()
    assert page.evaluate(VIOLATIONS, WCAG) == []
