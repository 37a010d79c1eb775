"""The wire without a socket: commands by POST, records as server-sent events."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from client import Client
from live_server import LiveServer, wait_until
from talker import Talker

promise = pytest.mark.promise
Visit = Callable[..., Client]

APP = """
import asyncio
import parlour

app = parlour.App()


@app.on_message
async def talk(session, message):
    if message.text == "write":
        async with session.stream() as out:
            for number in range(100):
                out.write(f"{number} ")
                await asyncio.sleep(0.02)
    elif message.text == "ask":
        city = await session.ask("Which city?")
        session.reply(f"from {city}")
    elif message.text == "much":
        for number in range(200):
            session.reply("x" * 20_000)
    else:
        session.reply(f"echo {message.text}")
"""
ENVIRONMENT = {
    "PARLOUR_LIMITS__FRAME_BYTES": "100000",
    "PARLOUR_LIMITS__LISTENERS_PER_SESSION": "4",
}
OPTIONS = ("--origin", "https://friend.example")
WHOLE = "".join(f"{number} " for number in range(100))


Meet = Callable[[LiveServer], Talker]


@pytest.fixture
def talker(shared_server: LiveServer, meet: Meet) -> Talker:
    return meet(shared_server)


@promise("P6")
def test_events_are_replayed_then_live_and_a_place_is_the_id_of_the_last(talker: Talker) -> None:
    assert talker.say("one", "m1")["t"] == "ack"
    frames, place = talker.until("echo one")
    assert next(frame["after"] for frame in frames if frame["t"] == "records") == 0
    listener = iter(talker.events(**{"Last-Event-ID": place}))
    assert talker.say("two", "m2")["t"] == "ack"
    told = []
    for _, frame in listener:
        told.append(frame)
        if "echo two" in str(frame):
            break
    assert "echo one" not in str(told)
    records = [frame for frame in told if frame["t"] == "records"]
    seqs = [frame["after"] + 1 + at for frame in records for at in range(len(frame["records"]))]
    assert seqs == list(range(int(place) + 1, int(place) + 1 + len(seqs)))


@promise("P6")
def test_who_returns_in_mid_answer_gets_the_text_so_far_and_the_rest(talker: Talker) -> None:
    talker.say("write", "m1")
    place = next(
        place
        for place, frame in talker.events()
        if frame["t"] == "delta" and "20 " in frame["text"]
    )
    text = ""
    for _, frame in talker.events(**{"Last-Event-ID": place}):
        if frame["t"] == "delta":
            text = text[: frame["offset"]] + frame["text"]
            assert WHOLE.startswith(text)
        if frame["t"] == "records" and WHOLE in str(frame):
            break
    assert len(text) > 60


@promise("P4")
def test_a_command_posted_again_is_the_same_command(talker: Talker) -> None:
    answers = [talker.say("once", "m1") for _ in range(5)]
    assert {answer["seq"] for answer in answers} == {answers[0]["seq"]}
    assert all(answer["repeated"] for answer in answers[1:])
    frames, _ = talker.until("echo once")
    assert str(frames).count("echo once") == 1
    again = talker.send({"t": "open", "id": "o"})[0]
    assert again["session"] == talker.session


def test_frames_of_one_request_are_taken_in_order_and_answered_a_line_each(talker: Talker) -> None:
    say = {"t": "say", "session": talker.session}
    answers = talker.send(
        {"t": "ping"},
        {**say, "id": "a", "text": "first"},
        {"t": "attach", "session": talker.session},
        {**say, "id": "b", "text": "second"},
    )
    assert [answer["t"] for answer in answers] == ["pong", "ack", "refused", "ack"]
    assert answers[1]["seq"] < answers[3]["seq"]
    frames, _ = talker.until("echo second")
    assert str(frames).index("echo first") < str(frames).index("echo second")


@promise("P7")
def test_a_question_is_asked_and_answered_without_a_socket(talker: Talker) -> None:
    talker.say("ask", "m1")
    talker.until("QuestionAsked")
    talker.say("Paris", "m2")
    frames, _ = talker.until("from Paris")
    assert frames


def test_one_refused_command_says_so_by_its_status(talker: Talker) -> None:
    stop = talker.post({"t": "stop", "session": talker.session, "id": "s"})
    assert stop.status_code == 409
    assert stop.json()["code"] == "not_running"
    nowhere = talker.post({"t": "say", "session": "f" * 32, "id": "n", "text": "hi"})
    assert nowhere.status_code == 404
    assert nowhere.json()["id"] == "n"
    assert talker.http.post("/commands", content="nonsense").status_code == 400
    assert talker.http.post("/commands", content=b"\xff\xfe").status_code == 400


@promise("P12")
def test_a_body_has_a_limit_and_so_have_the_listeners_of_a_session(talker: Talker) -> None:
    assert talker.http.post("/commands", content="x" * 100_001).status_code == 413
    address = f"/sessions/{talker.session}/events"
    with httpx.Client(base_url=talker.http.base_url, headers=talker.http.headers) as other:
        streams = [other.stream("GET", address) for _ in range(4)]
        for stream in streams:
            assert stream.__enter__().status_code == 200
        refused = other.get(address)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "5"
        for stream in streams:
            stream.__exit__(None, None, None)
        # who has gone makes room
        wait_until(lambda: other.get(f"{address}?wait=0").status_code == 200, "there is room")


@promise("P17")
def test_another_users_session_answers_as_one_that_does_not_exist(
    shared_server: LiveServer, talker: Talker, meet: Meet
) -> None:
    stranger = meet(shared_server)
    theirs = stranger.http.get(f"/sessions/{talker.session}/events")
    none = stranger.http.get(f"/sessions/{'f' * 32}/events")
    assert theirs.status_code == none.status_code == 404
    assert theirs.json()["message"] == none.json()["message"]
    assert httpx.get(f"{shared_server.url}/sessions/{talker.session}/events").status_code == 404
    command = {"t": "say", "session": talker.session, "id": "x", "text": "hi"}
    assert stranger.post(command).status_code == 404


@promise("P17")
def test_pages_of_other_origins_may_not_speak_and_listed_ones_may(talker: Talker) -> None:
    ping = {"t": "ping"}
    assert talker.post(ping, Origin="https://evil.example").status_code == 400
    allowed = talker.post(ping, Origin="https://friend.example")
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
    address = f"/sessions/{talker.session}/events?wait=0"
    evil = talker.http.get(address, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 404


def test_who_waits_is_told_what_is_new_at_once_and_sent_away_when_nothing_is(
    talker: Talker,
) -> None:
    talker.say("one", "m1")
    _, place = talker.until("echo one")
    wait_until(lambda: "RoundFinished" in peek(talker, "0", 0), "the round is finished")
    newest = str(max(int(line[4:]) for line in peek(talker, "0", 0).splitlines() if "id: " in line))
    assert int(newest) >= int(place)
    nothing = peek(talker, newest, 0)
    assert "records" not in nothing
    assert '"live"' in nothing
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(peek(talker, newest, 20)))
    waiting.start()
    talker.say("two", "m2")
    waiting.join(15)
    assert "two" in answers[0]


def peek(talker: Talker, after: str, wait: int) -> str:
    address = f"/sessions/{talker.session}/events?after={after}&wait={wait}"
    return talker.http.get(address).text


def test_a_place_that_is_none_is_refused_and_one_beyond_the_end_is_not_believed(
    talker: Talker,
) -> None:
    address = f"/sessions/{talker.session}/events"
    for nonsense in ("-1", "x", "1.5", "9" * 30):
        assert talker.http.get(address, params={"after": nonsense}).status_code == 400
    assert talker.http.get(address, params={"wait": "ever"}).status_code == 400
    assert '"upto":1' in peek(talker, "5000", 0)


def bot_messages(frame: dict[str, Any]) -> list[int]:
    """The numbers of the bot's messages in a frame of records."""
    events = enumerate(frame["records"], frame["after"] + 1)
    return [seq for seq, event in events if event and event.get("role") == "bot"]


@promise("P12")
def test_who_reads_too_slowly_is_cut_off_and_returns_at_its_place(
    serve: Callable[..., LiveServer], meet: Meet
) -> None:
    server = serve(APP, PARLOUR_LIMITS__LISTENER_BYTES="50000")
    talker = meet(server)
    talker.say("much", "m1")
    texts: list[int] = []
    place = "0"
    for _ in range(100):
        for newest, frame in talker.events(**{"Last-Event-ID": place}):
            place = newest
            if frame["t"] == "records":
                texts += bot_messages(frame)
            if len(texts) == 200:
                break
        if len(texts) == 200:
            break
    assert len(set(texts)) == 200
    assert texts == sorted(texts)


@promise("P11")
def test_a_server_that_stops_does_not_wait_for_open_streams(
    serve: Callable[..., LiveServer], meet: Meet
) -> None:
    server = serve(APP)
    talker = meet(server)
    frames = iter(talker.events())
    assert next(frames)[1]["t"] == "records"
    code, seconds = server.terminate()
    assert code == 0
    assert seconds < 5
    list(frames)  # they end, in order


@promise("P2")
def test_a_socket_and_a_stream_see_the_same(
    shared_server: LiveServer, visit: Visit, meet: Meet
) -> None:
    client = visit(shared_server, name="both")
    session = client.open()
    talker = meet(shared_server)
    talker.http.headers["Authorization"] = f"Bearer {client.resume}"
    talker.session = session
    client.command("say", session, as_="b1", text="both")
    client.wait_finished(session, 1)
    frames, _ = talker.until("echo both")
    told = [event for frame in frames if frame["t"] == "records" for event in frame["records"]]
    socket = client.events(session, "MessageAdded")
    assert [event["text"] for event in told if event and event["type"] == "MessageAdded"] == [
        event["text"] for event in socket
    ]
