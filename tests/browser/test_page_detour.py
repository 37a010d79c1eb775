"""The page behind proxies that let no socket through: it goes on over HTTP, and loses nothing."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect
from proxy import Proxy
from test_page_resume import COUNTED, STREAMING

pytestmark = pytest.mark.browser


@pytest.fixture
def behind() -> Iterator[Callable[..., Proxy]]:
    proxies: list[Proxy] = []

    def make(*arguments: object, **options: object) -> Proxy:
        proxies.append(Proxy(*arguments, **options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.mark.promise("P6")
@pytest.mark.parametrize("sockets", ["refuse", "hang", "cut"])
def test_where_sockets_are_forbidden_the_page_goes_on_without(
    sockets: str, serve, visit, behind
) -> None:
    server = serve(STREAMING)
    proxy = behind(server.port, sockets=sockets)
    chat = visit(server, host=proxy.url)
    chat.say("count")
    chat.sees("10 11 12")
    assert proxy.refused
    chat.page.reload()
    chat.sees("10 11 12 13")
    expect(chat.page.locator(".turn.streaming")).to_have_count(1)
    expect(chat.replies.last).to_have_text(COUNTED)
    expect(chat.replies).to_have_count(1)


@pytest.mark.promise("P5")
@pytest.mark.promise("P7")
def test_without_sockets_a_question_survives_an_outage_and_kill_9(serve, visit, behind) -> None:
    server = serve(STREAMING)
    proxy = behind(server.port, sockets="refuse")
    chat = visit(server, host=proxy.url)
    chat.say("ask")
    field = chat.question.get_by_role("textbox", name="Which city?")
    field.fill("Par")
    server.kill()
    expect(chat.status).to_contain_text("Reconnecting")
    field.press_sequentially("is")
    server.start()
    expect(chat.status).to_be_empty()
    proxy.cut()
    field.press("Enter")
    chat.sees("You come from Paris.")
    expect(chat.mine).to_have_text(["ask", "Paris"])
    chat.page.reload()
    chat.sees("You come from Paris.")
    expect(chat.mine).to_have_text(["ask", "Paris"])


@pytest.mark.promise("P6")
def test_without_sockets_two_tabs_see_the_same(serve, visit, behind) -> None:
    server = serve(STREAMING)
    proxy = behind(server.port, sockets="refuse")
    one = visit(server, host=proxy.url)
    one.say("hello")
    one.sees("You said: hello")
    two = visit(server, tab_of=one, host=f"{proxy.url}?s={one.session}")
    two.sees("You said: hello")
    two.say("from two")
    one.sees("You said: from two")
    one.stop.or_(one.composer).first.wait_for()
    expect(one.mine).to_have_text(["hello", "from two"])


@pytest.mark.promise("P6")
def test_a_proxy_that_keeps_streams_to_itself_is_noticed(serve, visit, behind) -> None:
    server = serve(STREAMING)
    proxy = behind(server.port, sockets="refuse", buffers=True)
    chat = visit(server, host=proxy.url)
    chat.say("count")
    expect(chat.replies.last).to_have_text(COUNTED)
    expect(chat.page.locator(".turn.streaming")).to_have_count(0)
    chat.say("count")
    # also what is being written comes, if in larger pieces
    expect(chat.page.locator(".turn.streaming")).to_contain_text("0 1 2")
    chat.stop.click()
    expect(chat.notices).to_have_text("Stopped")


def test_a_way_that_is_free_is_taken(serve, visit, behind) -> None:
    server = serve(STREAMING)
    requests: list[str] = []
    chat = visit(server, host=behind(server.port).url)
    chat.page.on("request", lambda request: requests.append(request.url))
    chat.say("hello")
    chat.sees("You said: hello")
    assert not [url for url in requests if "/events" in url or url.endswith("/commands")]
