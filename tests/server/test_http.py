"""The page, its assets, uploads and downloads, as browsers and worse clients ask for them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from client import Client
from live_server import LiveServer, wait_until

promise = pytest.mark.promise
Visit = Callable[..., Client]

LIMIT = 200_000
APP = """
import parlour

app = parlour.App(title='A <b>"desk"</b>')


@app.on_message
async def talk(session, message):
    sizes = [f"{file.name}: {len(file.path.read_bytes())}" for file in message.files]
    session.reply(f"echo {message.text} {sizes}")
"""
ENVIRONMENT = {
    "PARLOUR_LIMITS__UPLOAD_BYTES": str(LIMIT),
    "PARLOUR_LIMITS__FILES_PER_MESSAGE": "3",
    "PARLOUR_LIMITS__FILES_PER_SESSION": "4",
}
OPTIONS = ("--origin", "https://friend.example")
UNKNOWN = {"code": "unknown_session", "message": "There is no such session."}


@pytest.fixture
def browser(shared_server: LiveServer) -> Iterator[httpx.Client]:
    """A browser that has been on the page: it has the cookie."""
    with httpx.Client(base_url=shared_server.url, timeout=10) as browser:
        assert browser.get("/").status_code == 200
        yield browser


@pytest.fixture
def visitor(browser: httpx.Client, shared_server: LiveServer) -> Iterator[Client]:
    """The same browser's socket."""
    cookie = f"parlour_user={browser.cookies['parlour_user']}"
    client = Client(shared_server.ws, name="visitor", headers={"Cookie": cookie})
    client.connect()
    assert client.resume == ""
    yield client
    client.leave()


def upload(
    browser: httpx.Client,
    session: str,
    name: str = "a.txt",
    content: bytes = b"hello",
    **headers: str,
) -> httpx.Response:
    url = f"/files?session={quote(session)}&name={quote(name)}"
    return browser.post(url, content=content, headers={"content-type": "text/plain", **headers})


def folder_of(server: LiveServer, session: str) -> Path:
    return server.folder / "parlour.db.files" / session


# -- the page -------------------------------------------------------------------------------------


@promise("P17")
def test_the_page_gives_a_signed_cookie_that_scripts_cannot_read(shared_server: LiveServer) -> None:
    response = httpx.get(f"{shared_server.url}/")
    (cookie,) = response.headers.get_list("set-cookie")
    value, *attributes = cookie.split("; ")
    user, _, signature = value.removeprefix("parlour_user=").rpartition(".")
    assert len(bytes.fromhex(user)) == 16
    assert len(signature) > 20
    lower = {attribute.lower() for attribute in attributes}
    assert {"httponly", "samesite=lax", "path=/"} <= lower
    assert "secure" not in lower, "this is plain HTTP"
    assert any(attribute.startswith("max-age=") for attribute in lower)


@promise("P17")
def test_a_valid_cookie_stays_and_a_forged_one_is_replaced(
    browser: httpx.Client, shared_server: LiveServer
) -> None:
    token = browser.cookies["parlour_user"]
    browser.get("/")
    assert browser.cookies["parlour_user"] == token
    beside = {"Cookie": f'theirs={{"a": [1]}}; parlour_user={token}'}
    again = httpx.get(f"{shared_server.url}/", headers=beside)
    assert again.cookies["parlour_user"] == token
    forged = {"Cookie": f"parlour_user={token[:-4]}aaaa"}
    assert httpx.get(f"{shared_server.url}/", headers=forged).cookies["parlour_user"] != token


def test_the_page_is_closed_to_foreign_scripts_and_frames(browser: httpx.Client) -> None:
    response = browser.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "referrer-policy" in response.headers
    assert "<script>" not in response.text.lower()
    assert "A &lt;b&gt;&quot;desk&quot;&lt;/b&gt;" in response.text
    assert "{{" not in response.text


def test_every_asset_that_the_page_names_is_there(browser: httpx.Client) -> None:
    import re

    page = browser.get("/").text
    names = re.findall(r"(?:src|href)=[\"']([^\"'#]+)", page)
    assert names
    for name in names:
        response = browser.get("/" + name.removeprefix("./").lstrip("/"))
        assert response.status_code == 200, name
        assert response.headers["x-content-type-options"] == "nosniff"
        kind = response.headers["content-type"]
        assert ("javascript" in kind) == name.endswith(".js")


def raw_get(server: LiveServer, target: str, method: str = "GET") -> tuple[int, bytes]:
    """The target exactly as written, which httpx would tidy up."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host=True)
        connection.putheader("Host", f"127.0.0.1:{server.port}")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "target",
    [
        "/static/..%2f..%2fapplication.py",
        "/static/../application.py",
        "/static/..%5capplication.py",
        "/static/%2e%2e/application.py",
        "/static/....//application.py",
        "/static/%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/",
        "/static/.",
        "/static/..",
        "/static/%00",
        "/static/index.html",
        "/static/main.js%00.png",
        "/static/" + 5000 * "a",
        "/nothing",
        "/index.html",
        "/../../etc/passwd",
        "/%ff%fe",
        "/files/" + "0" * 32,
        "/files/../../parlour.db/x",
        "/files/..%2f..%2fparlour.db/x",
        "/parlour.db",
        "/.env",
    ],
)
def test_what_is_not_there_is_not_found(target: str, shared_server: LiveServer) -> None:
    status, body = raw_get(shared_server, target)
    assert status == 404
    assert b"import" not in body
    assert b"root:" not in body
    assert b"Traceback" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_other_methods_are_not_allowed(method: str, shared_server: LiveServer) -> None:
    assert raw_get(shared_server, "/", method)[0] == 405


def test_head_and_health_are_answered(shared_server: LiveServer) -> None:
    assert raw_get(shared_server, "/", "HEAD") == (200, b"")
    assert raw_get(shared_server, "/healthz") == (200, b'{"status":"ok"}')


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", 100_000 * b"A" + b"\r\n"],
)
def test_garbage_instead_of_http_does_no_harm(garbage: bytes, shared_server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.port), 10) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert shared_server.is_well()


# -- uploads --------------------------------------------------------------------------------------


def test_a_file_goes_up_is_said_and_comes_down(browser: httpx.Client, visitor: Client) -> None:
    session = visitor.open()
    content = bytes(range(256)) * 100
    response = upload(browser, session, "data.bin", content, **{"content-type": "image/png"})
    assert response.status_code == 201
    ref = response.json()
    assert ref | {"id": ""} == {"id": "", "name": "data.bin", "type": "image/png", "size": 25600}
    visitor.acked(visitor.say(session, "look", files=[ref["id"]]))
    visitor.wait_text(session, "bot: echo look ['data.bin: 25600']")
    assert visitor.events(session, "MessageAdded")[0]["files"] == [ref]
    down = browser.get(f"/files/{session}/{ref['id']}")
    assert down.status_code == 200
    assert down.content == content
    assert browser.get(
        f"/files/{session}/{ref['id']}", headers={"Range": "bytes=1-3"}
    ).content == bytes([1, 2, 3])


def test_a_program_uploads_with_its_token(shared_server: LiveServer, visit: Visit) -> None:
    client = visit(shared_server, name="ada")
    session = client.open()
    with httpx.Client(base_url=shared_server.url) as program:
        bearer = {"Authorization": f"Bearer {client.resume}"}
        ref = upload(program, session, **bearer).json()
        url = f"/files/{session}/{ref['id']}"
        assert program.get(url, headers=bearer).content == b"hello"
        assert program.get(url).status_code == 404
        forged = {"Authorization": f"Bearer {client.resume[:-3]}aaa"}
        assert program.get(url, headers=forged).status_code == 404


@promise("P12")
def test_a_file_that_is_too_large_is_refused_by_its_header(
    browser: httpx.Client, visitor: Client, shared_server: LiveServer
) -> None:
    session = visitor.open()
    response = upload(browser, session, content=(LIMIT + 1) * b"x")
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert upload(browser, session, content=LIMIT * b"x").status_code == 201
    assert len(list(folder_of(shared_server, session).iterdir())) == 2


@promise("P12")
def test_a_file_that_is_too_large_is_refused_by_its_body(
    browser: httpx.Client, visitor: Client, shared_server: LiveServer
) -> None:
    session = visitor.open()

    def body() -> Iterator[bytes]:
        for _ in range(30):
            yield 10_000 * b"x"

    try:
        response = browser.post(f"/files?session={session}&name=x", content=body())
    except httpx.WriteError:
        pass  # it was refused before we had sent it all
    else:
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
    wait_until(lambda: not list(folder_of(shared_server, session).iterdir()), "nothing is left")


@promise("P12")
def test_a_lying_length_does_not_get_more_in(
    browser: httpx.Client, visitor: Client, shared_server: LiveServer
) -> None:
    session = visitor.open()
    cookie = f"parlour_user={browser.cookies['parlour_user']}"
    for length in ("-1", "abc", "1e9", "99999999999999999999", "²"):
        connection = HTTPConnection("127.0.0.1", shared_server.port, timeout=10)
        connection.putrequest("POST", f"/files?session={session}&name=x")
        connection.putheader("Cookie", cookie)
        connection.putheader("Content-Length", length.encode("utf-8"))
        connection.endheaders()
        try:
            assert connection.getresponse().status in (400, 413)
        finally:
            connection.close()
    folder = folder_of(shared_server, session)
    assert not folder.exists() or not list(folder.iterdir())


@promise("P12")
def test_a_session_takes_only_so_many_files(browser: httpx.Client, visitor: Client) -> None:
    session = visitor.open()
    answers = [upload(browser, session) for _ in range(9)]
    assert [answer.status_code for answer in answers] == 8 * [201] + [429]
    assert answers[-1].json()["code"] == "too_many"
    ids = [answer.json()["id"] for answer in answers[:8]]
    assert visitor.refusal(visitor.say(session, "x", files=ids[:4]))["code"] == "too_large"
    visitor.acked(visitor.say(session, "x", files=ids[:3]))
    assert visitor.refusal(visitor.say(session, "x", files=ids[3:6]))["code"] == "too_large"


@promise("P17")
@pytest.mark.parametrize("session", ["", "0" * 32, "..", "../..", "x\x00y", 5000 * "a", "é" * 32])
def test_an_upload_to_a_session_that_is_not_ours_is_not_found(
    session: str, browser: httpx.Client, visitor: Client, shared_server: LiveServer, visit: Visit
) -> None:
    foreign = visit(shared_server, name="ada").open()
    theirs = upload(browser, foreign)
    nobodys = upload(browser, session)
    assert (theirs.status_code, theirs.json()) == (404, UNKNOWN)
    assert (nobodys.status_code, nobodys.json()) == (404, UNKNOWN)
    assert not folder_of(shared_server, foreign).exists()
    with httpx.Client(base_url=shared_server.url) as stranger:
        answer = upload(stranger, visitor.open())
        assert (answer.status_code, answer.json()) == (404, UNKNOWN)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\Users\\ada\\a.txt", "a.txt"),
        ("/", "file"),
        ("..", "file"),
        ("", "file"),
        ("a\r\nSet-Cookie: evil=1", "aSet-Cookie: evil=1"),
        ("nul\x00l.txt", "null.txt"),
        ("\u202egnp.exe", "gnp.exe"),
        ('quo"te;.txt', 'quo"te;.txt'),
        ("naïve 🙂.txt", "naïve 🙂.txt"),
        ("<script>alert(1)</script>.html", "script>.html"),
        (300 * "x", 200 * "x"),
    ],
)
def test_a_name_is_only_a_name(
    name: str, kept: str, browser: httpx.Client, visitor: Client, shared_server: LiveServer
) -> None:
    session = visitor.open()
    ref = upload(browser, session, name).json()
    assert ref["name"] == kept
    folder = folder_of(shared_server, session)
    assert {path.name for path in folder.iterdir()} == {ref["id"], ref["id"] + ".json"}
    down = browser.get(f"/files/{session}/{ref['id']}")
    assert down.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(kept, '')}"
    assert "set-cookie" not in down.headers
    assert "evil" not in down.cookies


def test_a_paper_is_opened_by_the_browsers_own_reader_and_nothing_in_it_is_fetched(
    browser: httpx.Client, visitor: Client
) -> None:
    session = visitor.open()
    ref = upload(browser, session, "x", b"<script>", **{"content-type": "application/pdf"}).json()
    down = browser.get(f"/files/{session}/{ref['id']}")
    assert down.headers["content-type"] == "application/pdf"
    assert down.headers["content-disposition"].partition(";")[0] == "inline"
    assert down.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in down.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("claimed", "kept", "shown"),
    [
        ("image/png", "image/png", "inline"),
        ("IMAGE/PNG; x=1", "image/png", "inline"),
        ("text/html", "text/html", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("application/xhtml+xml", "application/xhtml+xml", "attachment"),
        ("text/javascript", "text/javascript", "attachment"),
        ("nonsense", "application/octet-stream", "attachment"),
        ("image/png/../html", "application/octet-stream", "attachment"),
        ("", "application/octet-stream", "attachment"),
        (f"text/{100 * 'x'}", "application/octet-stream", "attachment"),
    ],
)
def test_what_could_run_in_a_browser_is_never_shown_inline(
    claimed: str, kept: str, shown: str, browser: httpx.Client, visitor: Client
) -> None:
    session = visitor.open()
    content = b"<script>alert(1)</script>"
    ref = upload(browser, session, "x", content, **{"content-type": claimed}).json()
    assert ref["type"] == kept
    down = browser.get(f"/files/{session}/{ref['id']}")
    assert down.headers["content-type"].partition(";")[0] == kept
    assert down.headers["content-disposition"].partition(";")[0] == shown
    assert down.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in down.headers["content-security-policy"]
    assert "private" in down.headers["cache-control"]


@promise("P17")
@promise("P1")
def test_only_the_owner_downloads_and_uses_a_file(
    browser: httpx.Client, visitor: Client, shared_server: LiveServer, visit: Visit
) -> None:
    session = visitor.open()
    other = visitor.open()
    ref = upload(browser, session).json()
    url = f"/files/{session}/{ref['id']}"
    with httpx.Client(base_url=shared_server.url) as eve:
        strange = eve.get(url)
        eve.get("/")
        known = eve.get(url)
    nothing = browser.get(f"/files/{'0' * 32}/{ref['id']}")
    for answer in (strange, known, nothing):
        assert (answer.status_code, answer.json()) == (404, UNKNOWN)
    # Not from another session of the same user either, and not what was never uploaded.
    for wrong in (f"/files/{other}/{ref['id']}", f"/files/{session}/{'0' * 32}"):
        answer = browser.get(wrong)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_file")
    for name in ("secret", "..%2fx", f"{ref['id']}.json", f"{ref['id']}.part"):
        assert browser.get(f"/files/{session}/{name}").status_code == 404
    assert visitor.refusal(visitor.say(other, "x", files=[ref["id"]]))["code"] == "unknown_file"
    spy = visit(shared_server, name="eve")
    own = spy.open()
    assert spy.refusal(spy.say(own, "x", files=[ref["id"]]))["code"] == "unknown_file"
    stolen = spy.refusal(spy.say(session, "x", files=[ref["id"]]))
    assert stolen["code"] in ("unknown_session", "unknown_file")
    for wrong in (f"../{session}/{ref['id']}", f"{ref['id']}.json", "", "\x00"):
        refusal = visitor.refusal(visitor.say(session, "x", files=[wrong]))
        assert refusal["code"] == "unknown_file"


@promise("P17")
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 201),
        ("https://friend.example", 201),
        ("https://evil.example", 404),
        ("null", 404),
        ("http://[::1", 404),
    ],
)
def test_a_foreign_page_uploads_nothing(
    origin: str, status: int, browser: httpx.Client, visitor: Client, shared_server: LiveServer
) -> None:
    session = visitor.open()
    origin = origin.format(port=shared_server.port)
    assert upload(browser, session, origin=origin).status_code == status
    folder = folder_of(shared_server, session)
    assert folder.exists() == (status == 201)


def test_an_upload_that_breaks_off_leaves_nothing_behind(
    browser: httpx.Client, visitor: Client, shared_server: LiveServer
) -> None:
    session = visitor.open()
    folder = folder_of(shared_server, session)
    for length in (b"Content-Length: 100000", b"Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", shared_server.port), 10) as connection:
            head = f"POST /files?session={session}&name=x HTTP/1.1\r\nHost: x\r\n".encode()
            cookie = f"Cookie: parlour_user={browser.cookies['parlour_user']}\r\n".encode()
            piece = b"c350\r\n" + 50_000 * b"x" + b"\r\n" if b"chunked" in length else 50_000 * b"x"
            connection.sendall(head + cookie + length + b"\r\n\r\n" + piece)
            wait_until(lambda: list(folder.glob("*.part")), "the file grows")
        wait_until(lambda: not list(folder.iterdir()), "it is gone")


def test_uploads_side_by_side_do_not_mix(browser: httpx.Client, visitor: Client) -> None:
    session = visitor.open()
    answers: dict[int, httpx.Response] = {}

    def send(number: int) -> None:
        answers[number] = upload(browser, session, f"{number}", bytes([number]) * 100_000)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for number, answer in answers.items():
        ref = answer.json()
        down = browser.get(f"/files/{session}/{ref['id']}")
        assert (ref["name"], down.content) == (f"{number}", bytes([number]) * 100_000)


def test_a_server_below_a_prefix_knows_its_place(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "below", APP, options=("--root-path", "/bot")).start()
    client = Client(server.ws)
    try:
        response = httpx.get(f"{server.url}/")
        assert response.status_code == 200
        assert "Path=/bot" in response.headers["set-cookie"]
        client.connect()
        session = client.open()
        client.say(session, "hi")
        client.wait_text(session, "bot: echo hi []")
    finally:
        client.leave()
        server.close()


@promise("P12")
def test_half_a_request_is_not_waited_for_any_longer_than_is_set(serve) -> None:
    server = serve(APP, PARLOUR_LIMITS__HELLO_SECONDS="0.3")
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    for beginning in (b"", head, head + b"\r\nGET"):
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.settimeout(20)
            connection.sendall(beginning)
            while connection.recv(65536):
                pass  # the end comes by the server's own hand


@promise("P12")
def test_who_has_said_hello_may_stay(serve) -> None:
    server = serve(APP, PARLOUR_LIMITS__HELLO_SECONDS="0.3")
    visitor = Client(server.ws, name="visitor")
    visitor.connect()
    until = time.monotonic() + 0.9
    while time.monotonic() < until:
        visitor.ping()
    visitor.leave()
