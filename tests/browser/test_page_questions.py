import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

ASKING = """
    import dataclasses
    import datetime as dt
    from typing import Annotated, Literal

    import msgspec
    import parlour

    app = parlour.App()

    @dataclasses.dataclass
    class Address:
        street: str
        city: str

    @dataclasses.dataclass
    class Stay:
        guest_name: str
        arrival: dt.date
        nights: Annotated[int, msgspec.Meta(ge=1, le=30)]
        room: Literal["single", "double"]
        address: Address
        extras: list[Literal["sauna", "parking"]]
        breakfast: bool = False
        email: str | None = None
        children: list[str] = dataclasses.field(default_factory=list)

    async def answer_of(session, kind):
        match kind:
            case "text":
                return await session.ask("Which colour?")
            case "long":
                return await session.ask("What happened?", multiline=True)
            case "number":
                return await session.ask("How many?", int, minimum=1, maximum=9)
            case "date":
                return await session.ask("Which day?", dt.date)
            case "confirm":
                return await session.confirm("Shall I?")
            case "choose":
                return await session.choose("Which one?", {"a": "The first", "b": "The second"})
            case "many":
                return await session.choose_many("Which ones?", ["red", "green", "blue"], minimum=1)
            case "form":
                return await session.ask("Please tell us about your stay.", Stay)
            case "checked":
                short = lambda text: None if len(text) > 3 else "That is too short for a password."
                return await session.ask("A password?", validate=short)
            case "timed":
                return await session.ask("Quick!", timeout=1.5, default="too late")

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        value = await answer_of(session, message.text)
        session.reply(f"Got {value!r}")
"""


def test_text(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("text")
    field = chat.question.get_by_role("textbox", name="Which colour?")
    expect(field).to_be_focused()
    field.fill("green")
    field.press("Enter")
    chat.sees("Got 'green'")
    expect(chat.mine.last).to_have_text("green")


def test_text_of_several_lines(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("long")
    field = chat.question.get_by_role("textbox", name="What happened?")
    field.fill("First this,")
    field.press("Enter")
    field.press_sequentially("then that.")
    chat.question.get_by_role("button", name="Answer").click()
    chat.sees(r"Got 'First this,\nthen that.'")


def test_a_number(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("number")
    chat.question.get_by_role("spinbutton", name="How many?").fill("7")
    chat.question.get_by_role("button", name="Answer").click()
    chat.sees("Got 7")


def test_a_date(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("date")
    chat.question.get_by_label("Which day?").fill("2026-11-21")
    chat.question.get_by_role("button", name="Answer").click()
    chat.sees("Got datetime.date(2026, 11, 21)")
    expect(chat.mine.last).to_have_text("2026-11-21")


@pytest.mark.parametrize(("button", "value"), [("Yes", "True"), ("No", "False")])
def test_yes_or_no(house, visit, button: str, value: str) -> None:
    chat = visit(house(ASKING))
    chat.say("confirm")
    chat.question.get_by_role("button", name=button).click()
    chat.sees(f"Got {value}")
    expect(chat.mine.last).to_have_text(button)


def test_one_of_several_with_one_click(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("choose")
    chat.question.get_by_role("button", name="The second").click()
    chat.sees("Got 'b'")
    expect(chat.mine.last).to_have_text("The second")


def test_a_choice_may_be_typed_instead(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("choose")
    expect(chat.question).to_be_visible()
    chat.say("the first")
    chat.sees("Got 'a'")


def test_several_of_several(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("many")
    done = chat.question.get_by_role("button", name="Answer")
    expect(done).to_be_disabled()
    chat.question.get_by_role("checkbox", name="blue").check()
    chat.question.get_by_role("checkbox", name="red").check()
    done.click()
    chat.sees("Got ['red', 'blue']")


def test_a_form(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("form")
    form = chat.question
    expect(form.get_by_label("Guest name")).to_be_focused()
    form.get_by_label("Guest name").fill("Ada")
    form.get_by_label("Arrival").fill("2026-12-24")
    form.get_by_label("Nights").fill("3")
    form.get_by_label("Room").select_option("double")
    form.get_by_role("group", name="Address").get_by_label("Street").fill("Mill Lane 1")
    form.get_by_role("group", name="Address").get_by_label("City").fill("Ockham")
    form.get_by_role("group", name="Extras").get_by_role("checkbox", name="sauna").check()
    form.get_by_role("checkbox", name="Breakfast").check()
    form.get_by_label("Children").fill("Byron\nAnne\n")
    form.get_by_role("button", name="Send").click()
    chat.sees("guest_name='Ada', arrival=datetime.date(2026, 12, 24), nights=3, room='double'")
    chat.sees("address=Address(street='Mill Lane 1', city='Ockham'), extras=['sauna']")
    chat.sees("breakfast=True, email=None, children=['Byron', 'Anne']")


def test_a_form_is_not_sent_while_something_is_missing(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("form")
    chat.question.get_by_label("Nights").fill("31")
    chat.question.get_by_role("button", name="Send").click()
    expect(chat.question.locator(":invalid").first).to_be_visible()
    expect(chat.mine).to_have_count(1)
    expect(chat.question.get_by_label("Nights")).to_have_value("31")


def test_a_rejected_answer_says_why_and_the_words_are_not_lost(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("number")
    expect(chat.question).to_be_visible()
    chat.say("many")
    expect(chat.question.get_by_role("alert")).to_have_text("Please give a whole number.")
    expect(chat.composer).to_have_value("many")
    chat.say("12")
    expect(chat.question.get_by_role("alert")).to_contain_text("At most 9")
    chat.say("9")
    chat.sees("Got 9")
    expect(chat.mine).to_have_text(["number", "9"])


def test_a_question_that_is_asked_again_says_why(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("checked")
    chat.say("abc")
    expect(chat.page.get_by_text("That is too short for a password.")).to_be_visible()
    chat.say("abcd")
    chat.sees("Got 'abcd'")


def test_a_question_with_a_deadline_counts_down_and_closes(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("timed")
    expect(chat.question.get_by_role("timer")).to_contain_text("left to answer")
    chat.sees("Got 'too late'")
    expect(chat.question).to_have_count(0)
    expect(chat.page.get_by_text("Time ran out.")).to_be_visible()


def test_a_question_can_be_dismissed(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("confirm")
    chat.question.get_by_role("button", name="Dismiss").click()
    expect(chat.notices).to_have_text("Stopped")
    expect(chat.question).to_have_count(0)


def test_two_tabs_show_the_same_and_a_question_is_answered_once(house, visit) -> None:
    server = house(ASKING)
    one = visit(server)
    one.say("confirm")
    expect(one.question).to_be_visible()
    two = visit(server, tab_of=one, path=f"?s={one.session}")
    expect(two.question).to_be_visible()
    one.question.get_by_role("button", name="Yes").click()
    two.sees("Got True")
    expect(two.question).to_have_count(0)
    one.sees("Got True")
    assert one.transcript() == two.transcript()
    two.say("text")
    one.sees("Which colour?")
    one.say("blue")
    two.sees("Got 'blue'")
    one.sees("Got 'blue'")
    assert one.transcript() == two.transcript()


def test_an_answer_that_comes_too_late_in_another_tab_changes_nothing(house, visit) -> None:
    server = house(ASKING)
    one = visit(server)
    one.say("choose")
    expect(one.question).to_be_visible()
    two = visit(server, tab_of=one, path=f"?s={one.session}")
    late = two.question.get_by_role("button", name="The second")
    expect(late).to_be_visible()
    # the tab does not hear that the question is answered before it answers itself
    two.page.evaluate("""() => {
        const send = WebSocket.prototype.send;
        window.held = [];
        WebSocket.prototype.send = function (data) { window.held.push([this, send, data]) };
    }""")
    late.click()
    one.question.get_by_role("button", name="The first").click()
    one.sees("Got 'a'")
    two.sees("Got 'a'")
    two.page.evaluate("held.forEach(([socket, send, data]) => send.call(socket, data))")
    one.say("text")
    for tab in (one, two):
        tab.sees("Which colour?")
        expect(tab.mine).to_have_text(["choose", "The first", "text"])
    assert one.transcript() == two.transcript()


def test_what_was_entered_and_not_sent_survives_a_reload(house, visit) -> None:
    chat = visit(house(ASKING))
    chat.say("form")
    chat.question.get_by_label("Guest name").fill("Ada")
    chat.question.get_by_role("checkbox", name="sauna").check()
    chat.page.reload()
    expect(chat.question.get_by_label("Guest name")).to_have_value("Ada")
    expect(chat.question.get_by_role("checkbox", name="sauna")).to_be_checked()
    chat.question.get_by_role("button", name="Dismiss").click()
    chat.say("many")
    chat.question.get_by_role("checkbox", name="blue").check()
    chat.page.reload()
    expect(chat.question.get_by_role("checkbox", name="blue")).to_be_checked()
    chat.question.get_by_role("button", name="Answer").click()
    chat.sees("Got ['blue']")
    kept = chat.page.evaluate("Object.keys(sessionStorage).filter(key => /answer/.test(key))")
    assert kept == []
