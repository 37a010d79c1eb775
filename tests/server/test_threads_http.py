"""Lists, titles, branches, links and exports, as browsers and worse clients ask for them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from zipfile import ZipFile

import httpx
import pytest
from client import Client
from live_server import LiveServer

promise = pytest.mark.promise

APP = """
import parlour

app = parlour.App(title="The *desk*")


@app.on_message
async def talk(session, message):
    session.set("secret", "of the app")
    if message.text == "choose":
        session.reply("You took " + await session.choose("Which?", ["left", "right"]))
    else:
        session.reply(f"echo {message.text} {[file.name for file in message.files]}")
"""
ENVIRONMENT = {"PARLOUR_SHARING": "true", "PARLOUR_LIMITS__REQUESTS_PER_MINUTE": "240"}
OPTIONS = ("--origin", "https://friend.example")
UNKNOWN = {"code": "unknown_session", "message": "There is no such session."}
NO_LINK = {"code": "unknown_link", "message": "There is no such link."}


class Visitor:
    """A browser with the page's cookie, and its socket."""

    def __init__(self, server: LiveServer) -> None:
        self.http = httpx.Client(base_url=server.url, timeout=20)
        assert self.http.get("/").status_code == 200
        cookie = f"parlour_user={self.http.cookies['parlour_user']}"
        self.socket = Client(server.ws, name="visitor", headers={"Cookie": cookie})
        self.socket.connect()

    def talk(self, *texts: str, files: list[str] | None = None) -> str:
        """A new session in which this was said and answered."""
        session = self.socket.open()
        for number, text in enumerate(texts, 1):
            self.socket.say(session, text, files=files or [])
            self.socket.wait_finished(session, number)
        return session

    def threads(self, **query: str) -> list[dict[str, object]]:
        answer = self.http.get("/threads", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["threads"]

    def leave(self) -> None:
        self.socket.leave()
        self.http.close()


class Anybody:
    """Somebody without a cookie."""

    def __init__(self, url: httpx.URL) -> None:
        self._url = url

    def get(self, path: str, **more: object) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: object) -> httpx.Response:
        return self.request("POST", path, **more)

    def delete(self, path: str) -> httpx.Response:
        return self.request("DELETE", path)

    def request(self, method: str, path: str, **more: object) -> httpx.Response:
        with httpx.Client(base_url=self._url, timeout=20) as client:
            return client.request(method, path, **more)  # type: ignore[arg-type]


def anybody_at(visitor: Visitor) -> Anybody:
    return Anybody(visitor.http.base_url)


@pytest.fixture
def ann(shared_server: LiveServer) -> Iterator[Visitor]:
    visitor = Visitor(shared_server)
    yield visitor
    visitor.leave()


@pytest.fixture
def eve(shared_server: LiveServer) -> Iterator[Visitor]:
    visitor = Visitor(shared_server)
    yield visitor
    visitor.leave()


def told(visitor: Visitor, session: str, *, after: int = 0) -> list[dict[str, str]]:
    """What a visitor's socket was told of a session."""
    return [event for seq, event in visitor.socket.history.seen[session] if seq > after]


def test_a_user_lists_and_searches_conversations(ann: Visitor) -> None:
    first, second = ann.talk("Where is the café?"), ann.talk("Hello")
    ann.socket.open()
    listed = ann.threads()
    assert [thread["session"] for thread in listed] == [second, first]
    assert listed[1]["title"] == "Where is the café?"
    assert listed[1]["doing"] == "rests"
    assert set(listed[1]) == {
        "id",
        "session",
        "title",
        "created",
        "updated",
        "doing",
        "told",
    }
    (found,) = ann.threads(q="CAFE where")
    assert (found["session"], found["excerpt"]) == (first, "Where is the café?\n")
    assert ann.threads(q="nothing") == []
    page = ann.http.get("/threads?limit=1").json()
    assert [thread["session"] for thread in page["threads"]] == [second]
    rest = ann.http.get("/threads", params={"limit": "1", "after": page["next"]}).json()
    assert [thread["session"] for thread in rest["threads"]] == [first]


def test_a_waiting_question_is_seen_in_the_list(ann: Visitor) -> None:
    session = ann.socket.open()
    ann.socket.say(session, "choose")
    asked = ann.socket.question(session)
    (found,) = ann.threads()
    assert (found["doing"], found["told"]) == ("asks", asked)


def test_a_renamed_thread_is_called_that_everywhere(ann: Visitor) -> None:
    session = ann.talk("Hello")
    assert ann.http.post(f"/threads/{session}", json={"title": "Trip"}).status_code == 204
    assert [thread["title"] for thread in ann.threads()] == ["Trip"]
    ann.socket.wait(
        lambda: any(event.get("title") == "Trip" for _, event in ann.socket.history.seen[session]),
        "the title is told",
    )
    for body, status in (
        (b"{}", 400),
        (b"[", 400),
        (b'{"title":5}', 400),
        (b'{"title":"' + b"x" * 201 + b'"}', 413),
        (b'{"title":"' + b"x" * 2_000_000 + b'"}', 413),
        (b"[" * 100_000, 400),
    ):
        answer = ann.http.post(f"/threads/{session}", content=body)
        assert answer.status_code == status, body[:20]
        assert set(answer.json()) == {"code", "message"}


@promise("P11")
def test_a_deleted_thread_is_gone_for_all_who_look_at_it(ann: Visitor) -> None:
    session = ann.talk("Hello")
    assert ann.http.delete(f"/threads/{session}").status_code == 204
    ann.socket.wait(
        lambda: any(
            event["type"] == "SessionClosed" for _, event in ann.socket.history.seen[session]
        ),
        "its end is told",
    )
    assert ann.threads() == []
    again = ann.http.delete(f"/threads/{session}")
    assert (again.status_code, again.json()) == (404, UNKNOWN)


@promise("P15")
def test_a_message_is_said_otherwise_in_a_branch(ann: Visitor) -> None:
    upload = ann.http.post("/files", params={"name": "a.txt"}, content=b"x")
    assert upload.status_code == 404
    session = ann.talk("one", "two")
    place = next(
        seq for seq, event in ann.socket.history.seen[session] if event.get("text") == "two"
    )
    file = ann.http.post("/files", params={"session": session, "name": "a.txt"}, content=b"x")
    asked = {"id": "b1", "before": place, "text": "three", "files": [file.json()["id"]]}
    answer = ann.http.post(f"/threads/{session}/branches", json=asked)
    assert answer.status_code == 201
    branch = answer.json()["session"]
    assert ann.http.post(f"/threads/{session}/branches", json=asked).json()["session"] == branch
    ann.socket.attach(branch)
    ann.socket.wait(
        lambda: any(event["type"] == "RoundFinished" for event in told(ann, branch, after=place)),
        "the branch answers",
    )
    texts = [event["text"] for event in told(ann, branch) if event["type"] == "MessageAdded"]
    assert texts == ["one", "echo one []", "three", "echo three ['a.txt']"]
    found = ann.http.get(f"/threads/{branch}/branches").json()
    assert found["may"] == ["branch", "share"]
    assert [each["session"] for each in found["branches"]] == [session, branch]
    assert found["branches"][1]["origin"] == session
    assert found["branches"][1]["upto"] == place - 1
    assert [thread["session"] for thread in ann.threads()] == [branch]
    refused = ann.http.post(f"/threads/{session}/branches", json={"id": "b2", "before": 1})
    assert refused.status_code == 400


@promise("P17")
def test_others_sessions_answer_as_if_there_were_none(ann: Visitor, eve: Visitor) -> None:
    session = ann.talk("Hello")
    token = ann.http.post(f"/threads/{session}/shares").json()["token"]
    body = {"id": "x", "before": 2, "text": "x"}
    nobody = anybody_at(eve)
    for browser in (eve.http, nobody):
        for id_ in (session, "0" * 32, "..", "%00"):
            for answer in (
                browser.post(f"/threads/{id_}", json={"title": "x"}),
                browser.delete(f"/threads/{id_}"),
                browser.get(f"/threads/{id_}/branches"),
                browser.post(f"/threads/{id_}/branches", json=body),
                browser.post(f"/threads/{id_}/shares"),
                browser.get(f"/threads/{id_}/export?as=json"),
                browser.get(f"/threads/{id_}/export"),
            ):
                if id_ != "..":
                    assert (answer.status_code, answer.json()) == (404, UNKNOWN)
    assert eve.threads() == []
    assert eve.threads(q="hello") == []
    assert eve.http.delete(f"/shares/{token}").json() == NO_LINK
    assert eve.http.get("/shares").json() == {"shares": []}
    assert nobody.get("/threads").json() == UNKNOWN
    assert ann.threads()[0]["title"] == "Hello"


@promise("P17")
def test_a_page_of_another_site_changes_nothing(ann: Visitor) -> None:
    session = ann.talk("Hello")
    for origin in ("https://evil.example", "null"):
        for answer in (
            ann.http.post(
                f"/threads/{session}", content='{"title":"x"}', headers={"Origin": origin}
            ),
            ann.http.delete(f"/threads/{session}", headers={"Origin": origin}),
            ann.http.post(f"/threads/{session}/shares", headers={"Origin": origin}),
            ann.http.post(
                f"/threads/{session}/branches",
                content='{"id":"x","before":2}',
                headers={"Origin": origin},
            ),
        ):
            assert answer.status_code == 404
            assert "access-control-allow-origin" not in answer.headers
    assert ann.threads()[0]["title"] == "Hello"
    asked = ann.http.options(
        f"/threads/{session}",
        headers={
            "Origin": "https://friend.example",
            "Access-Control-Request-Method": "DELETE",
        },
    )
    assert "DELETE" in asked.headers["access-control-allow-methods"]


def test_a_thread_is_kept_as_markdown(ann: Visitor) -> None:
    session = ann.talk("Where? / Or: *when*")
    answer = ann.http.get(f"/threads/{session}/export", params={"you": "Ich*"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    name = "filename*=UTF-8''Where%20Or%20when.md"
    assert answer.headers["content-disposition"] == f"attachment; {name}"
    text = answer.text
    assert text.startswith("# Where? / Or: *when*\n")
    assert "**Ich\\*** · " in text
    assert "\n\nWhere? / Or: *when*\n" in text
    assert "**The \\*desk\\*** · " in text
    assert "echo Where?" in text
    assert "secret" not in text


def test_a_thread_is_kept_as_data_without_what_is_only_the_apps(ann: Visitor) -> None:
    session = ann.socket.open()
    files = {"session": session, "name": "a b.txt"}
    file = ann.http.post("/files", params=files, content=b"content").json()["id"]
    ann.socket.say(session, "Hello", files=[file])
    ann.socket.wait_finished(session, 1)
    branch = ann.http.post(
        f"/threads/{session}/branches", json={"id": "b", "before": 2, "text": "Bye"}
    ).json()["session"]
    ann.socket.attach(branch)
    ann.socket.wait_finished(branch, 1)
    answer = ann.http.get(f"/threads/{session}/export?as=json")
    assert answer.headers["content-type"] == "application/zip"
    with ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        assert f"sessions/{session}/files/{file}/a b.txt" in names
        assert f"sessions/{branch}/records.jsonl" in names
        lines = archive.read(f"sessions/{session}/records.jsonl").splitlines()
        kinds = [json.loads(line)["event"]["type"] for line in lines]
        everything = b"".join(archive.read(name) for name in names)
    assert kinds[:2] == ["SessionOpened", "MessageAdded"]
    assert b"VariableSet" not in everything
    assert b"secret" not in everything
    assert "user.json" not in names


@promise("P17")
def test_a_link_shows_a_conversation_as_it_was_and_nothing_of_its_user(ann: Visitor) -> None:
    session = ann.socket.open()
    files = {"session": session, "name": "a.png"}
    kind = {"content-type": "image/png"}
    file, late = (
        ann.http.post("/files", params=files, content=b"png", headers=kind).json()["id"]
        for _ in range(2)
    )
    ann.socket.say(session, "Hello", files=[file])
    ann.socket.wait_finished(session, 1)
    made = ann.http.post(f"/threads/{session}/shares")
    assert made.status_code == 201
    link = made.json()
    ann.http.post(f"/threads/{session}", json={"title": "Private"})
    ann.socket.say(session, "private", files=[late])
    ann.socket.wait_finished(session, 2)
    anybody = anybody_at(ann)
    page = anybody.get(f"/shared/{link['token']}")
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in page.text
    answer = anybody.get(f"/shared/{link['token']}/records")
    shown = answer.json()
    assert shown["title"] == "Hello"
    events = [event for frame in shown["frames"] for event in frame["records"] if event]
    texts = [event["text"] for event in events if event["type"] == "MessageAdded"]
    assert texts == ["Hello", "echo Hello ['a.png']"]
    assert len(events) < link["records"]
    for secret in (session, "parlour_user", ann.http.cookies["parlour_user"][:32], "rivate"):
        assert secret not in answer.text
    got = anybody.get(f"/shared/{link['token']}/files/-/{file}")
    assert (got.content, got.headers["content-type"]) == (b"png", "image/png")
    for other in (late, "0" * 32, "..%2f..%2fetc%2fpasswd"):
        assert anybody.get(f"/shared/{link['token']}/files/-/{other}").status_code == 404
    listed = ann.http.get("/shares").json()["shares"]
    assert listed == [{**link, "title": "Private"}]
    assert ann.http.delete(f"/shares/{link['token']}").status_code == 204
    for path in ("records", f"files/-/{file}"):
        gone = anybody.get(f"/shared/{link['token']}/{path}")
        assert (gone.status_code, gone.json()) == (404, NO_LINK)


def test_a_long_conversation_is_read_through_a_link_page_by_page(ann: Visitor) -> None:
    session = ann.talk(*(f"{number} " + "x" * 60_000 for number in range(20)))
    token = ann.http.post(f"/threads/{session}/shares").json()["token"]
    place, pages, places = 0, 0, list[int]()
    while True:
        page = ann.http.get(f"/shared/{token}/records?after={place}").json()
        pages += 1
        for frame in page["frames"]:
            places += range(frame["after"] + 1, frame["after"] + 1 + len(frame["records"]))
        if "next" not in page:
            break
        place = page["next"]
    assert pages > 1
    assert places == list(range(1, len(places) + 1))
    assert len(places) == 1 + 20 * 5


@promise("P12")
def test_who_asks_too_often_waits(shared_server: LiveServer) -> None:
    visitor, other = Visitor(shared_server), Visitor(shared_server)
    try:
        answers = [visitor.http.get("/threads") for _ in range(200)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].json()["code"] == "too_many"
        assert int(refused[0].headers["retry-after"]) >= 1
        assert other.http.get("/threads").status_code == 200
    finally:
        visitor.leave()
        other.leave()
