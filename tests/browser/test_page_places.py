"""The chat in other places than at the root of a host: below a path, in other people's pages."""

import re
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from proxy import Proxy

pytestmark = pytest.mark.browser

ECHO = """
    import parlour

    app = parlour.App(title="Desk")

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        session.reply(f"{message.text}: {[file.name for file in message.files]}")
"""

MOUNTED = ECHO + textwrap.indent(
    textwrap.dedent(
        '''
        import sys
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse
        from starlette.routing import Mount, Route
        from parlour.web import WebApplication

        PAGE = """<!doctype html>
        <html lang="en"><title>A shop</title>
        <style>h2 { color: red; font-size: 90px } button { display: none }</style>
        <h1>A shop</h1><input aria-label="Search">
        <script type="module" src="/chat/static/parlour-chat.js"></script>
        <parlour-chat heading="Ask us" lang="de" theme="dark"></parlour-chat>
        </html>"""

        def serve(port, store):
            chat = WebApplication(app, store=store)
            routes = [Route("/", lambda _: HTMLResponse(PAGE)), Mount("/chat", chat)]
            outer = Starlette(routes=routes, lifespan=chat.lifespan)
            print(f"http://127.0.0.1:{port}", flush=True)
            uvicorn.run(outer, port=port, log_level="warning", timeout_graceful_shutdown=2)

        if __name__ == "__main__":
            serve(int(sys.argv[1]), sys.argv[2])
        '''
    ),
    "    ",
)


def note() -> dict[str, object]:
    return {"name": "note.txt", "mimeType": "text/plain", "buffer": b"hello"}


def converse(chat) -> None:
    """Everything that has an address: the socket, an upload, a download, another conversation."""
    chat.is_open()
    chat.page.locator("#composer input[type=file]").set_input_files([note()])
    expect(chat.page.get_by_role("button", name="Remove note.txt")).to_be_visible()
    chat.say("hello")
    chat.sees("hello: ['note.txt']")
    link = chat.page.locator(".turn.user").get_by_role("link")
    with chat.page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "note.txt"
    session = chat.session
    chat.page.reload()
    chat.sees("hello")
    assert chat.session == session
    chat.page.get_by_role("link", name="New conversation").click()
    expect(chat.page).not_to_have_url(re.compile(session))
    chat.say("another")
    chat.sees("another: []")
    chat.page.go_back()
    chat.sees("hello: ['note.txt']")
    chat.page.get_by_role("button", name="Conversations").click()
    expect(chat.page.locator(".thread")).to_have_count(2)
    chat.page.locator(".thread").filter(has_text="another").get_by_role("link").click()
    chat.sees("another: []")


def test_below_a_path_behind_a_proxy_that_takes_it_away(serve, visit) -> None:
    server = serve(ECHO, options=["--root-path", "/desk"])
    proxy = Proxy(server.port, "/desk")
    server.url = f"http://127.0.0.1:{proxy.port}/desk/"
    try:
        chat = visit(server)
        converse(chat)
        assert urlsplit(chat.page.url).path == "/desk/"
    finally:
        proxy.close()


def test_mounted_in_another_application(serve, visit) -> None:
    server = serve(MOUNTED, script=True)
    chat = visit(server, path="chat/")
    converse(chat)


def test_as_an_element_of_another_page(serve, visit) -> None:
    server = serve(MOUNTED, script=True)
    chat = visit(server)
    page = chat.page
    expect(page.get_by_role("heading", name="Ask us", level=2)).to_be_visible()
    # the page's own things are left alone, and its style does not come in
    expect(page).to_have_title("A shop")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.activeElement === document.body")
    composer = page.get_by_label("Nachricht", exact=True)
    expect(page.get_by_role("button", name="Senden", exact=True)).to_be_visible()
    composer.fill("hello")
    composer.press("Enter")
    chat.sees("hello: []")
    assert page.url == server.url
    page.reload()
    chat.sees("hello: []")
    page.get_by_label("Search").focus()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Neues Gespräch").click()
    expect(chat.log).not_to_contain_text("hello")
    assert page.url == server.url


@contextmanager
def shop() -> Iterator[tuple[str, dict[str, str]]]:
    """Another host: its origin, and its pages by their paths."""
    pages: dict[str, str] = {}

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(pages.get(self.path, "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}", pages
        server.shutdown()


def test_as_an_element_of_a_page_on_another_host(serve, visit) -> None:
    with shop() as (origin, pages):
        server = serve(ECHO, options=["--origin", origin])
        pages["/"] = f"""<!doctype html><title>A shop</title>
            <script type="module" src="{server.url}static/parlour-chat.js"></script>
            <parlour-chat heading="Ask us"></parlour-chat>"""
        chat = visit(server, host=origin)
        chat.page.locator("#composer input[type=file]").set_input_files([note()])
        expect(chat.page.get_by_role("button", name="Remove note.txt")).to_be_visible()
        chat.composer.fill("hello")
        chat.composer.press("Enter")
        chat.sees("hello: ['note.txt']")
        with chat.page.expect_download() as download:
            chat.page.locator(".turn.user").get_by_role("link").click()
        assert download.value.suggested_filename == "note.txt"
        # the same user in another tab, without any cookie
        chat.page.reload()
        chat.sees("hello: ['note.txt']")
        assert chat.page.context.cookies() == []


def test_the_policy_allows_no_inline_script_and_nothing_foreign(house, visit) -> None:
    server = house(ECHO)
    chat = visit(server)
    answer = chat.page.request.get(server.url)
    policy = dict(
        part.strip().split(" ", 1)
        for part in answer.headers["content-security-policy"].split(";")
        if part.strip()
    )
    assert policy["default-src"] == "'none'"
    for name in ("script-src", "style-src", "connect-src", "font-src"):
        assert policy[name] == "'self'"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", answer.text())


def test_assets_that_never_change_are_kept_and_the_others_asked_for(house, visit) -> None:
    server = house(ECHO)
    chat = visit(server, locale="de")
    chat.is_open()
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name)"
    names = [name for name in chat.page.evaluate(loaded) if "/static/" in name]
    assert names
    for name in names:
        headers = chat.page.request.get(name).headers
        hashed = re.search(r"-[\w-]{8}\.\w+$", name) is not None
        assert ("immutable" in headers["cache-control"]) is hashed
        assert headers["content-type"].startswith(("text/", "image/"))
