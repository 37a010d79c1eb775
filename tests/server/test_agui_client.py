"""`/agui` as AG-UI's clients find it: runs, interrupts, who may, and what is refused."""

import base64
import contextlib
import itertools
import json

import httpx
import pytest
from ag_ui.core import Event
from client import Client
from live_server import LiveServer
from pydantic import TypeAdapter

from parlour.stores.keys import Keys

promise = pytest.mark.promise

APP = """
import asyncio
import parlour

app = parlour.App(title="Guest Desk")


@app.on_open
async def greet(session):
    session.reply("Welcome")


@app.on_message
async def talk(session, message):
    text = message.text
    if text == "write":
        async with session.stream() as out:
            for number in range(40):
                out.write(f"{number} ")
                await asyncio.sleep(0.02)
    elif text == "book":
        city = await session.choose("Which city?", ["Paris", "Rome"])
        nights = await session.ask("How many nights?", int, minimum=1)
        session.reply(f"{nights} nights in {city}")
    elif text == "both":
        city, sure = await session.gather(
            session.choose("Which city?", ["Paris", "Rome"]), session.confirm("Sure?")
        )
        session.reply(f"{city} {sure}")
    elif text == "fail":
        raise RuntimeError("the inner secret")
    elif text == "work":
        async with session.part("Search", input="hotels") as part:
            part.write("found 3")
        session.set("hotels", 3)
        session.reply("three hotels")
    else:
        session.set("n", session.get("n", 0) + 1)
        files = ", ".join(f"{file.name} {file.size}" for file in message.files)
        session.reply(f"{session.get('n')} {text} {files}".strip())
"""
WHOLE = "".join(f"{number} " for number in range(40))
EVENTS = TypeAdapter(Event)
_names = itertools.count()


class Front:
    """A front end with a key."""

    def __init__(self, server: LiveServer, *, modern: bool = True) -> None:
        keys = Keys(server.database.with_name(f"{server.database.name}.keys"))
        token, _ = keys.add(f"key {next(_names)}")
        self.http = httpx.Client(
            base_url=server.url, timeout=30, headers={"Authorization": f"Bearer {token}"}
        )
        self.modern = modern

    def post(self, thread, *texts, **more):
        said = [{"id": f"u{n}", "role": "user", "content": text} for n, text in enumerate(texts)]
        body = {"threadId": thread, "runId": "r1", "messages": said, **more}
        if self.modern:
            body["protocolVersion"] = "1.0"
        return self.http.post("/agui", json=body)

    def run(self, thread, *texts, **more):
        answer = self.post(thread, *texts, **more)
        assert answer.status_code == 200, answer.text
        return events_of(answer.text)

    def resume(self, thread, **payloads):
        entries = [
            {"interruptId": id_.replace("_", "-"), "status": "resolved", "payload": payload}
            for id_, payload in payloads.items()
        ]
        return self.run(thread, resume=entries)


def events_of(text):
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    found = [json.loads(line) for line in lines]
    for event in found:
        EVENTS.validate_python(event)
    return found


def words(events):
    return "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")


def open_in(events):
    return [each["id"].replace("-", "_") for each in events[-1]["outcome"]["interrupts"]]


@pytest.fixture
def fronts():
    """Makes front ends that end with their test."""
    with contextlib.ExitStack() as ends:

        def make(server, *, modern=True):
            front = Front(server, modern=modern)
            ends.callback(front.http.close)
            return front

        yield make


@pytest.fixture
def front(shared_server, fronts):
    return fronts(shared_server)


def test_a_thread_is_a_session_and_a_message_is_said_once(front):
    assert words(front.run("a", "hi")) == "1 hi"
    assert words(front.run("a", "hi")) == "1 hi"
    told = front.run("a", "hi", "more")
    assert words(told) == "2 more"
    assert told[1]["snapshot"] == {"n": 1}
    assert told[-1]["outcome"] == {"type": "success"}
    assert words(front.run("b", "hi")) == "1 hi"


def test_a_new_thread_hears_what_the_app_says_first_and_an_old_one_how_it_stands(front):
    assert words(front.run("new")) == "Welcome"
    front.run("new", "hi")
    told = front.run("new")
    assert [m["content"] for m in told[2]["messages"]] == ["Welcome", "hi", "1 hi"]


def test_work_is_tool_calls_and_variables_are_state(front):
    kinds = [event["type"] for event in front.run("w", "work")]
    assert "TOOL_CALL_START" in kinds
    assert kinds.index("TOOL_CALL_RESULT") < kinds.index("STATE_DELTA")


@promise("P13")
def test_a_failure_ends_the_run_as_an_error(serve, fronts):
    told = fronts(serve(APP, quiet=False)).run("f", "fail")
    assert told[-1]["type"] == "RUN_ERROR"
    assert "secret" not in json.dumps(told)


@promise("P7")
def test_a_question_interrupts_and_is_resumed_after_a_kill(serve, fronts):
    server = serve(APP)
    front = fronts(server)
    (city,) = open_in(front.run("q", "book"))
    server.kill()
    server.start()
    assert front.post("q", "book", "something else").status_code == 400
    (again,) = open_in(front.resume("q", **{city: "Oslo"}))
    assert again == city
    (nights,) = open_in(front.resume("q", **{city: "Rome"}))
    assert words(front.resume("q", **{nights: 3})) == "3 nights in Rome"
    assert words(front.resume("q", **{nights: 3})) == "3 nights in Rome"


def test_one_resume_answers_all_that_is_open(front):
    city, sure = open_in(front.run("both", "both"))
    partly = [{"interruptId": city.replace("_", "-"), "status": "resolved", "payload": "Rome"}]
    refused = front.post("both", resume=partly)
    assert refused.status_code == 400
    assert "all questions" in refused.json()["error"]["message"]
    assert words(front.resume("both", **{city: "Rome", sure: True})) == "Rome True"


def test_a_cancelled_question_stops_the_round(front):
    (city,) = open_in(front.run("c", "book"))
    entry = {"interruptId": city.replace("_", "-"), "status": "cancelled"}
    assert front.run("c", resume=[entry])[-1]["outcome"] == {"type": "cancelled"}
    assert words(front.run("c", "book", "hi")) == "1 hi"


def test_an_older_client_answers_by_a_message(shared_server, fronts):
    front = fronts(shared_server, modern=False)
    told = front.run("o", "book")
    assert words(told) == "Which city?\n\n1. Paris\n2. Rome"
    assert words(front.run("o", "book", "2")).startswith("How many")
    told = front.run("o", "book", "2", "3")
    assert words(told) == "3 nights in Rome"
    assert "outcome" not in told[-1]


@promise("P6")
def test_who_comes_back_while_it_is_written_gets_all_of_it(front):
    body = {
        "threadId": "s",
        "runId": "r",
        "protocolVersion": "1.0",
        "messages": [{"id": "1", "role": "user", "content": "write"}],
    }
    with front.http.stream("POST", "/agui", json=body) as answer:
        for line in answer.iter_lines():
            if "TEXT_MESSAGE_CONTENT" in line:
                break
    told = front.run("s")
    text = words(told) or told[2]["messages"][-1]["content"]
    assert text == WHOLE
    assert words(events_of(front.http.post("/agui", json=body).text)) == WHOLE


def test_files_come_with_a_message_in_either_form(front):
    data = base64.b64encode(b"abc").decode()
    source = {"type": "data", "value": data, "mimeType": "image/png"}
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image", "source": source},
        {"type": "document", "source": {"type": "url", "value": "https://a.example/b"}},
        {"type": "binary", "mimeType": "text/plain", "data": data},
        {"type": "binary", "mimeType": "text/plain", "url": "https://a.example/c"},
    ]
    told = front.run("files", messages=[{"id": "1", "role": "user", "content": parts}])
    assert "image.png 3, document.plain 3" in words(told)
    assert "https://a.example/b" in words(told)
    assert "https://a.example/c" in words(told)


@promise("P17")
def test_a_thread_is_its_owners(shared_server, front, fronts):
    own = front.post("mine", "hi").headers["x-session-id"]
    assert words(front.run(own, "hi", "two")) == "2 two"
    other = fronts(shared_server)
    assert words(other.run(own, "hi")) == "1 hi"
    assert words(other.run("mine", "hi")) == "1 hi"
    assert httpx.post(f"{shared_server.url}/agui", json={}).status_code == 401


def test_a_visitor_of_the_web_chat_has_a_token(shared_server, visit):
    visitor: Client = visit(shared_server)
    headers = {"Authorization": f"Bearer {visitor.resume}"}
    said = [{"id": "1", "role": "user", "content": "hi"}]
    body = {"threadId": "v", "runId": "r", "messages": said}
    answer = httpx.post(f"{shared_server.url}/agui", json=body, headers=headers, timeout=30)
    assert words(events_of(answer.text)) == "1 hi"
    foreign = {**headers, "Origin": "https://evil.example"}
    answer = httpx.post(f"{shared_server.url}/agui", json=body, headers=foreign, timeout=30)
    assert answer.status_code == 401


@promise("P12")
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"messages":[1]}',
        b'{"threadId":"","runId":"r","messages":[]}',
        b'{"threadId":"x","runId":"r","messages":[{"id":"1","role":"user","content":'
        b'[{"type":"image","source":{"type":"data","value":"!","mimeType":"a/b"}}]}]}',
        b'{"threadId":"x","runId":"r","messages":[{"id":"1","role":"user","content":'
        b'[{"type":"image","source":{"type":"file","value":"f"}}]}]}',
        b'{"threadId":"y","runId":"r","messages":[],"resume":'
        b'[{"interruptId":"z","status":"resolved"}]}',
    ],
    ids=lambda body: body[:40].decode(),
)
def test_what_is_no_run_is_refused(front, body):
    if b"resume" in body:
        front.run("y", "hi")
    answer = front.http.post("/agui", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_an_agent_says_what_it_can(front):
    found = front.http.get("/agui").json()
    assert found["humanInTheLoop"]["interrupts"] is True
