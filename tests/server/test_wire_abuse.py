"""Whatever is sent to `/ws`: a clear refusal or a clear end, and the others do not feel it."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from client import Client, send_raw, upgrade_status
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from live_server import LiveServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from faults.history import Json

promise = pytest.mark.promise
Visit = Callable[..., Client]

FRAME_BYTES = 1024 * 1024
APP = """
import parlour

app = parlour.App()


@app.on_message
async def talk(session, message):
    match message.text:
        case "wait":
            await session.step(session_waits)
        case "ask":
            session.reply("You said " + await session.ask("What?"))
        case "choose":
            session.reply("You chose " + await session.choose("Which?", ["red", "blue"]))
        case "form":
            schema = {"type": "object", "properties": {"name": {"type": "string"}}}
            session.reply(repr(await session.ask_form("Who?", schema)))
        case _:
            session.reply("echo " + message.text)


async def session_waits():
    import asyncio
    await asyncio.Event().wait()


@app.on_signal
async def signalled(session, signal):
    session.reply(f"signal {signal.name} {len(repr(signal.data))}")
"""
OPTIONS = ("--origin", "https://friend.example", "--origin", "http://other.example:8080/")
ENVIRONMENT = {"PARLOUR_LIMITS__QUEUED_MESSAGES": "3"}
TOO_BIG = (1009, 1006)
"""The end of a socket whose message is too big; a reset may overtake the reason, since we are still
sending."""
UNKNOWN = {"code": "unknown_session", "message": "There is no such session."}


@pytest.fixture(scope="module", autouse=True)
def honest(shared_server: LiveServer) -> Iterator[tuple[Client, str]]:
    """Somebody who talks all the time, on one socket, and must never feel anything."""
    client = Client(shared_server.ws, name="honest")
    client.connect()
    yield client, client.open()
    client.leave()


@pytest.fixture(scope="module")
def silent(shared_server: LiveServer) -> Iterator[Any]:
    """A socket that has said nothing since this module began."""
    with connect(shared_server.ws, compression=None, proxy=None) as connection:
        yield connection


@pytest.fixture(autouse=True)
def nobody_feels_it(
    silent: Any, honest: tuple[Client, str], shared_server: LiveServer
) -> Iterator[None]:
    del silent
    yield
    client, session = honest
    rounds = len(client.finished(session))
    client.say(session, f"hi {rounds}")
    client.wait_text(session, f"bot: echo hi {rounds}")
    client.wait_finished(session, rounds + 1)
    assert client.connections == 1
    assert shared_server.is_well()


@pytest.fixture
def guest(shared_server: LiveServer, visit: Visit) -> Client:
    return visit(shared_server, name="guest")


def replies(client: Client) -> list[Json]:
    """What the server answers to what was sent until now, apart from records."""
    client.others.clear()
    client.ping()
    assert client.connections == 1, f"the socket ended with {client.closed}"
    return [frame for frame in client.others if frame["t"] == "refused"]


def refusals_of(client: Client, *frames: Json | str) -> list[Json]:
    lines = [frame if isinstance(frame, str) else json.dumps(frame) for frame in frames]
    send_raw(client, "\n".join(lines))
    return replies(client)


def codes_of(client: Client, *frames: Json | str) -> list[str]:
    return [refusal["code"] for refusal in refusals_of(client, *frames)]


# -- frames that are none -------------------------------------------------------------------------

NO_FRAMES = {
    "no JSON": "hello?",
    "a number": "17",
    "a list": "[]",
    "null": "null",
    "no type": "{}",
    "a type that is no text": '{"t":1}',
    "an unknown type": '{"t":"dance"}',
    "a server's type": '{"t":"records","session":"x","after":0,"records":[null]}',
    "cut off": '{"t":"ping"',
    "two on a line": '{"t":"ping"}{"t":"ping"}',
    "a byte order mark": '\ufeff{"t":"ping"}',
    "only a space": " ",
    "NUL": "\x00",
    "deep lists": '{"t":"ping","x":' + 100_000 * "[" + 100_000 * "]" + "}",
    "deep objects": 200_000 * '{"t":',
    "a lone high surrogate": '{"t":"open","id":"\\ud800"}',
    "a lone low surrogate": '{"t":"open","id":"\\udc00"}',
    "surrogates the wrong way round": '{"t":"open","id":"\\udc00\\ud800"}',
    "an id that is a number": '{"t":"open","id":7}',
    "an open without an id": '{"t":"open"}',
    "a say without a session": '{"t":"say","id":"x","text":"hi"}',
    "a say without an id": '{"t":"say","session":"x","text":"hi"}',
    "a text that is a list": '{"t":"say","session":"x","id":"x","text":["hi"]}',
    "files that are text": '{"t":"say","session":"x","id":"x","files":"abc"}',
    "a negative place": '{"t":"attach","session":"x","after":-1}',
    "a broken place": '{"t":"attach","session":"x","after":1.5}',
    "a place no store can hold": '{"t":"attach","session":"x","after":9223372036854775808}',
    "a place of many digits": '{"t":"attach","session":"x","after":' + 5000 * "9" + "}",
    "not a number": '{"t":"attach","session":"x","after":NaN}',
    "a negative round": '{"t":"stop","session":"x","id":"x","round":-1}',
    "a question that is text": '{"t":"answer","session":"x","id":"x","question":"7"}',
    "a hello without versions": '{"t":"hello"}',
    "versions that are text": '{"t":"hello","versions":"1"}',
}


@pytest.mark.parametrize("kind", NO_FRAMES)
def test_what_is_no_frame_is_refused_and_the_next_one_counts(kind: str, guest: Client) -> None:
    (refusal,) = refusals_of(guest, NO_FRAMES[kind])
    assert refusal["code"] == "invalid"
    assert len(refusal["message"]) < 400
    assert "Traceback" not in refusal["message"]
    assert guest.open()


def test_a_second_hello_is_refused(guest: Client) -> None:
    assert codes_of(guest, {"t": "hello", "versions": [1]}) == ["invalid"]


def test_a_binary_message_is_refused(guest: Client) -> None:
    send_raw(guest, b'{"t":"ping"}')
    assert [refusal["code"] for refusal in replies(guest)] == ["invalid"]


def test_empty_lines_are_nothing(guest: Client) -> None:
    assert codes_of(guest, "", "\n\n", "") == []


def test_twenty_malformed_frames_end_the_socket(guest: Client) -> None:
    send_raw(guest, "\n".join(25 * ["nonsense"]))
    assert guest.wait_closed() == 4001
    assert sum(frame["t"] == "refused" for frame in guest.others) == 20


def test_nineteen_malformed_frames_do_not(guest: Client) -> None:
    assert codes_of(guest, *(19 * ["nonsense"])) == 19 * ["invalid"]


def test_refusals_of_commands_are_not_malformed_frames(guest: Client) -> None:
    session = guest.open()
    for number in range(60):
        guest.command("stop", session, as_=f"s{number}")
    assert guest.refusal("s59")["code"] == "not_running"
    assert guest.connections == 1


def test_ten_thousand_frames_in_a_message_are_one_refusal(guest: Client) -> None:
    assert codes_of(guest, *(10_000 * ['{"t":"ping"}'])) == ["invalid"]


def test_many_frames_in_a_message_are_read_in_order(guest: Client) -> None:
    session = guest.open()
    texts = [f"echo {number}" for number in range(3)]
    send_raw(
        guest,
        "\n".join(
            json.dumps({"t": "signal", "session": session, "id": f"x{n}", "name": text})
            for n, text in enumerate(texts)
        ),
    )
    guest.history.sent.update({f"x{n}": {"t": "signal", "session": session} for n in range(3)})
    guest.wait_finished(session, 3)
    assert guest.texts(session) == [f"bot: signal {text} 4" for text in texts]


@promise("P12")
def test_a_frame_just_over_its_limit_is_refused_and_one_within_is_read(guest: Client) -> None:
    frame = '{"t":"detach","session":"x","x":"%s"}'
    fits = frame % ("x" * (FRAME_BYTES - len(frame) + 2))
    assert len(fits) == FRAME_BYTES
    assert codes_of(guest, fits) == []
    assert codes_of(guest, fits + " ") == ["too_large"]


@promise("P12")
def test_a_message_of_several_megabytes_ends_the_socket(guest: Client) -> None:
    send_raw(guest, '{"t":"ping","x":"%s"}' % ("x" * 5_000_000))
    assert guest.wait_closed() in TOO_BIG


@promise("P12")
def test_a_message_in_endless_pieces_ends_the_socket(guest: Client) -> None:
    def pieces() -> Iterator[str]:
        for _ in range(100):
            yield 100_000 * "x"

    send_raw(guest, pieces())
    assert guest.wait_closed() in TOO_BIG


def test_bytes_that_are_no_unicode_end_the_socket(shared_server: LiveServer) -> None:
    with connect(shared_server.ws, compression=None, proxy=None) as connection:
        connection.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as end:
            connection.recv(10)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1007


# -- hello ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "code", "close"),
    [
        ({"t": "ping"}, "invalid", 4000),
        ({"t": "open", "id": "x"}, "invalid", 4000),
        ({"t": "hello", "versions": [2, 3]}, "unsupported_version", 4000),
        ({"t": "hello", "versions": []}, "unsupported_version", 4000),
    ],
)
def test_a_wrong_beginning_ends_the_socket(
    first: Json, code: str, close: int, shared_server: LiveServer
) -> None:
    with connect(shared_server.ws, compression=None, proxy=None) as connection:
        connection.send(json.dumps(first) + '\n{"t":"open","id":"y"}')
        assert json.loads(connection.recv(10))["code"] == code
        with pytest.raises(ConnectionClosed) as end:
            connection.recv(10)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == close


def test_versions_of_the_future_are_no_hindrance(shared_server: LiveServer) -> None:
    with connect(shared_server.ws, compression=None, proxy=None) as connection:
        connection.send('{"t":"hello","versions":[3,2,1],"colour":"blue"}')
        hello = json.loads(connection.recv(10))
        assert (hello["t"], hello["version"]) == ("hello", 1)
        assert set(hello["limits"]) == {"message_bytes", "upload_bytes", "files_per_message"}


# -- commands that are refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["", 129 * "x", "tab\there", "line\nbreak", "nul\x00", "\u202eabc", "\x7f"]
)
@pytest.mark.parametrize("kind", ["open", "say", "answer", "stop", "signal", "close"])
def test_an_id_that_is_none_is_refused(kind: str, wrong: str, guest: Client) -> None:
    frame: Json = {"t": kind, "id": wrong}
    if kind != "open":
        session = guest.open()
        guest.ping()
        frame |= {"session": session, "text": "hi", "name": "x"}
    (refusal,) = refusals_of(guest, frame)
    assert refusal["code"] == "invalid"
    assert refusal.get("id", "") == wrong


@pytest.mark.parametrize("good", ["x", 128 * "x", 128 * "é", "🙂 with spaces", '"quoted\\"'])
def test_an_id_of_printable_characters_is_taken(good: str, guest: Client) -> None:
    session, _ = guest.acked(guest.command("open", as_=good))
    guest.acked(guest.command("say", session, as_=f"{good}"[:127] + "2", text="hi"))


@pytest.mark.parametrize(
    "text", ["nul \x00 here", "a\u2028\u2029b", "🙂é\u0301", "\x1b[31m", "\\n"]
)
def test_text_comes_back_as_it_was_said(text: str, guest: Client) -> None:
    session = guest.open()
    guest.say(session, text)
    guest.wait_text(session, f"bot: echo {text}")
    assert guest.texts(session)[0] == f"user: {text}"


@promise("P12")
def test_a_message_over_its_limit_is_refused(guest: Client) -> None:
    session = guest.open()
    limit = guest.limits["message_bytes"]
    assert guest.refusal(guest.say(session, (limit + 1) * "x"))["code"] == "too_large"
    assert guest.refusal(guest.say(session, (limit // 2 + 1) * "é"))["code"] == "too_large"
    guest.acked(guest.say(session, limit * "x"))
    guest.wait_finished(session, 1)


def test_an_empty_message_is_refused(guest: Client) -> None:
    session = guest.open()
    for text in ("", "  ", "\n\t"):
        assert guest.refusal(guest.say(session, text))["code"] == "invalid"


@promise("P12")
def test_too_many_waiting_messages_are_refused_for_a_moment(guest: Client) -> None:
    session = guest.open()
    guest.acked(guest.say(session, "wait"))
    for _ in range(3):
        guest.acked(guest.say(session, "next"))
    refusal = guest.refusal(command := guest.say(session, "one too many"))
    assert refusal["code"] == "busy"
    assert refusal["retry_after"] > 0
    guest.acked(guest.command("stop", session))
    guest.wait_finished(session, 4)
    guest.again(command)
    guest.wait_text(session, "bot: echo one too many")


@promise("P12")
def test_too_many_openings_at_once_are_refused_for_a_moment(guest: Client) -> None:
    frames = [{"t": "open", "id": f"o{number}"} for number in range(100)]
    send_raw(guest, "\n".join(map(json.dumps, frames)))
    guest.history.sent.update({frame["id"]: frame for frame in frames})
    guest.wait(lambda: not guest.unanswered(), "all are answered")
    assert {refusal["code"] for refusal in guest.history.refused.values()} == {"too_many"}
    for command in list(guest.history.refused):
        guest.again(command)
        guest.wait(lambda: command in guest.history.acks, "it is accepted")  # noqa: B023
    assert len({acks[0] for acks in guest.history.acks.values()}) == 100


def test_a_connection_follows_only_so_many_sessions(guest: Client) -> None:
    for number in range(64):
        guest.acked(guest.command("open", as_=f"o{number}"))
    guest.wait(lambda: len(guest.lives) == 64, "all are live")
    guest.command("open", as_="one more")
    guest.wait(lambda: guest.others, "it is not followed")
    assert guest.others[-1]["code"] == "too_many"
    session, _ = guest.history.acks["one more"][0]
    guest.send({"t": "detach", "session": next(iter(guest.lives))})
    guest.attach(session)


def test_a_stop_needs_a_round_and_the_right_one(guest: Client) -> None:
    session = guest.open()
    assert guest.refusal(guest.command("stop", session))["code"] == "not_running"
    guest.acked(guest.say(session, "wait"))
    assert guest.refusal(guest.command("stop", session, round=7))["code"] == "not_running"
    guest.acked(guest.command("stop", session, round=1))
    guest.wait_finished(session, 1)
    assert guest.finished(session) == ["stopped"]


def test_an_answer_needs_a_question(guest: Client) -> None:
    session = guest.open()
    assert guest.refusal(guest.answer(session, 0, text="x"))["code"] == "no_question"
    guest.say(session, "ask")
    question = guest.question(session)
    for wrong in (question + 1, 1, 2**63 - 1):
        assert guest.refusal(guest.answer(session, wrong, text="x"))["code"] == "no_question"
    guest.acked(guest.answer(session, question, text="x"))
    assert guest.refusal(guest.answer(session, question, text="y"))["code"] == "no_question"


@pytest.mark.parametrize(
    "value",
    ['"\\ud800"', 3000 * "[" + 3000 * "]", "1e999", '{"a":1,"a":2}', "null", "[]", '"green"', "0"],
)
@pytest.mark.parametrize("kind", ["ask", "choose", "form"])
def test_an_answer_that_is_none_leaves_the_question_open(
    kind: str, value: str, guest: Client
) -> None:
    session = guest.open()
    guest.acked(guest.say(session, kind))
    question = guest.question(session)
    guest.history.sent["a"] = {"t": "answer", "session": session}
    send_raw(
        guest,
        f'{{"t":"answer","session":"{session}","id":"a","question":{question},"value":{value}}}',
    )
    guest.wait(lambda: guest.is_answered("a") or guest.others, "it is answered")
    assert all(frame["code"] == "invalid" for frame in guest.others)
    if "a" in guest.history.acks:
        guest.acked("a")
    if not guest.events(session, "QuestionAnswered"):
        rest = {"ask": '"x"', "choose": '"red"', "form": '{"name":"x"}'}[kind]
        guest.acked(guest.answer(session, question, value=json.loads(rest)))
    guest.wait_finished(session, 1)
    assert guest.finished(session) == ["done"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ('"\\ud800"', "invalid"),
        (10_000 * "[" + 10_000 * "]", "invalid"),
        ('"%s"' % (300_000 * "x"), "too_large"),
    ],
)
def test_a_signal_with_data_that_is_none_is_refused(data: str, code: str, guest: Client) -> None:
    session = guest.open()
    frame = f'{{"t":"signal","session":"{session}","id":"s","name":"x","data":{data}}}'
    assert codes_of(guest, frame) == [code]


@pytest.mark.parametrize("name", ["", 129 * "x"])
def test_a_signal_without_a_name_is_refused(name: str, guest: Client) -> None:
    session = guest.open()
    assert guest.refusal(guest.command("signal", session, name=name))["code"] == "invalid"


def test_a_closed_session_takes_no_more(guest: Client) -> None:
    session = guest.open()
    close = guest.command("close", session)
    guest.acked(close)
    guest.wait(lambda: guest.events(session, "SessionClosed"), "it is closed")
    for command in (guest.say(session, "hi"), guest.command("close", session, as_="again")):
        assert guest.refusal(command)["code"] == "closed"
    # A repetition of what was accepted is no new command.
    guest.send(guest.history.sent[close])
    guest.ping()
    assert guest.history.acks[close] == 2 * guest.history.acks[close][:1]


def test_an_app_without_handlers_says_so(shared_server: LiveServer, tmp_path: Any) -> None:
    server = LiveServer(tmp_path / "bare", "import parlour\napp = parlour.App()\n").start()
    client = Client(server.ws)
    try:
        client.connect()
        session = client.open()
        assert client.refusal(client.say(session, "hi"))["code"] == "unhandled"
        signal = client.command("signal", session, name="x")
        assert client.refusal(signal)["code"] == "unhandled"
    finally:
        client.leave()
        server.close()


@promise("P6")
def test_a_place_beyond_the_head_is_not_believed(guest: Client) -> None:
    session = guest.open()
    guest.say(session, "one")
    guest.wait_finished(session, 1)
    head = guest.history.places[session]
    guest.others.clear()
    guest.lives.clear()
    # Only a store that was set back can know less than a client; it must not hide what comes.
    send_raw(guest, json.dumps({"t": "attach", "session": session, "after": head + 1000}))
    guest.wait(lambda: guest.others or guest.lives, "the server answers")
    if guest.others:
        assert guest.others[0]["code"] == "invalid"
    else:
        assert guest.lives[session] == head


@promise("P6")
def test_the_frames_of_one_message_attach_and_detach_in_their_order(
    guest: Client, shared_server: LiveServer, visit: Visit
) -> None:
    session = guest.open()
    other = visit(shared_server, name="guest", as_=guest)
    attach = json.dumps({"t": "attach", "session": session, "after": 0})
    detach = json.dumps({"t": "detach", "session": session})
    for _ in range(20):
        send_raw(other, f"{attach}\n{detach}")
    guest.say(session, "hi")
    guest.wait_finished(session, 1)
    other.ping()
    other.ping()
    assert other.events(session, "MessageAdded") == []
    send_raw(other, f"{detach}\n{attach}\n{detach}\n{attach}")
    other.history.places[session] = 0
    other.history.seen.clear()
    other.wait(lambda: session in other.lives, "it is attached")
    assert other.history.seen == guest.history.seen


# -- nobody else's --------------------------------------------------------------------------------


@promise("P17")
def test_the_session_of_another_answers_exactly_as_one_that_is_not(
    guest: Client, honest: tuple[Client, str], shared_server: LiveServer
) -> None:
    owner, foreign = honest
    owner.ping()
    before = shared_server.log(foreign)
    answers: list[list[Json]] = []
    for session in (foreign, "0" * 32, "", "../..", "\x00", 1000 * "x"):
        frames = [
            {"t": "attach", "session": session, "after": 0},
            {"t": "say", "session": session, "id": "a", "text": "hi"},
            {"t": "answer", "session": session, "id": "b", "question": 0, "text": "hi"},
            {"t": "stop", "session": session, "id": "c"},
            {"t": "signal", "session": session, "id": "d", "name": "x"},
            {"t": "close", "session": session, "id": "e"},
        ]
        guest.others.clear()
        for number, frame in enumerate(frames, 1):
            guest.send(frame)
            guest.wait(lambda: len(guest.others) == number, "it is answered")  # noqa: B023
        got = sorted(guest.others, key=lambda frame: frame.get("id", ""))
        assert [frame.pop("session", "") for frame in got] == len(frames) * [session]
        answers.append(got)
        assert codes_of(guest, {"t": "detach", "session": session}) == []
    for answer in answers:
        assert answer == answers[0]
    assert [{k: f[k] for k in ("code", "message")} for f in answers[0]] == 6 * [UNKNOWN]
    assert shared_server.log(foreign) == before


@promise("P17")
def test_nobody_stops_the_round_of_another(
    guest: Client, shared_server: LiveServer, visit: Visit
) -> None:
    owner = visit(shared_server, name="owner")
    session = owner.open()
    owner.say(session, "ask")
    question = owner.question(session)
    for command in (
        guest.command("stop", session),
        guest.answer(session, question, text="mine"),
        guest.command("close", session),
    ):
        assert {k: guest.refusal(command)[k] for k in UNKNOWN} == UNKNOWN
    owner.acked(owner.answer(session, question, text="ours"))
    owner.wait_text(session, "bot: You said ours")


def _forgeries(token: str, foreign: str) -> dict[str, str]:
    user, _, signature = token.rpartition(".")
    return {
        "truncated": token[:-1],
        "only the user": user,
        "no signature": f"{user}.",
        "another user's signature": f"{'0' * 32}.{signature}",
        "another server's": foreign,
        "one letter changed": ("a" if token[0] != "a" else "b") + token[1:],
        "twice": f"{token}.{signature}",
        "very long": 100_000 * "a",
        "nonsense": "é\x00\ud7ff.",
        "quoted": f'"{token[:-1]}"',
    }


@promise("P17")
@pytest.mark.parametrize("kind", list(_forgeries("x.y", "")))
def test_a_forged_token_is_nobody_we_know(
    kind: str, guest: Client, shared_server: LiveServer, tmp_path: Any
) -> None:
    from parlour.transports.identity import Identity

    foreign = Identity(b"another server's secret").token(guest.history.user)
    forged = _forgeries(guest.resume, foreign)[kind]
    client = Client(shared_server.ws, resume=forged)
    try:
        client.connect()
        assert client.history.user != guest.history.user
        assert client.resume != forged, "a new user gets a token of their own"
    finally:
        client.leave()
    if forged.isascii() and forged.isprintable() and len(forged) < 1000:
        client = Client(shared_server.ws, headers={"Cookie": f"parlour_user={forged}"})
        try:
            client.connect()
            assert client.history.user != guest.history.user
        finally:
            client.leave()


def test_a_lone_surrogate_as_a_token_is_no_frame(shared_server: LiveServer) -> None:
    with connect(shared_server.ws, compression=None, proxy=None) as connection:
        connection.send('{"t":"hello","versions":[1],"resume":"\\udc00"}')
        assert json.loads(connection.recv(10))["t"] in ("refused", "hello")


@pytest.mark.parametrize(
    "others",
    ["", 'theirs={"a":"b c"}; ', "flag; ", "a=b c[d]; ", "=; ;;", "parlour_user=forged; "],
)
def test_a_cookie_is_found_whatever_cookies_stand_beside_it(
    others: str, guest: Client, shared_server: LiveServer
) -> None:
    cookie = f"{others}parlour_user={guest.resume}; z=1"
    client = Client(shared_server.ws, headers={"Cookie": cookie})
    try:
        client.connect()
        assert client.history.user == guest.history.user
        assert client.resume == "", "who has the cookie needs no token"
    finally:
        client.leave()


# -- the upgrade ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("http://127.0.0.1:{port}", 101),
        ("https://127.0.0.1:{port}", 101),
        ("https://friend.example", 101),
        ("https://FRIEND.example", 101),
        ("http://other.example:8080", 101),
        ("https://evil.example", 403),
        ("http://127.0.0.1", 403),
        ("http://127.0.0.1:{port}.evil.example", 403),
        ("http://127.0.0.1:{port}@evil.example", 403),
        ("https://friend.example.evil.example", 403),
        ("http://friend.example", 403),
        ("null", 403),
        ("http://[::1", 403),
        ("nonsense", 403),
    ],
)
def test_only_pages_that_belong_here_may_connect(
    origin: str | None, status: int, shared_server: LiveServer
) -> None:
    if origin is not None:
        origin = origin.format(port=shared_server.port)
    assert upgrade_status(shared_server.ws, origin=origin) == status


@pytest.mark.parametrize("path", ["/", "/wss", "/ws/", "/ws/x", "//ws", "/static/main.js"])
def test_no_other_path_is_a_socket(path: str, shared_server: LiveServer) -> None:
    url = shared_server.ws.removesuffix("/ws") + path
    assert upgrade_status(url) in (403, 404)


# -- noise ----------------------------------------------------------------------------------------

lines = st.text(max_size=60) | st.builds(
    lambda kind, fields: json.dumps({"t": kind, **fields}),
    st.sampled_from(
        ["hello", "open", "attach", "detach", "say", "answer", "stop", "signal", "close"]
    ),
    st.dictionaries(
        st.sampled_from(
            ["session", "id", "text", "files", "after", "question", "value", "data", "round"]
        ),
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats()
        | st.lists(st.text(max_size=5), max_size=3),
        max_size=5,
    ),
)  # fmt: skip
messages = st.lists(lines, max_size=6).map("\n".join) | st.binary(max_size=60)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(sent=['{"t":"open","id":""}', b""], greeted=True)
@example(sent=["\n", ""], greeted=False)
@given(sent=st.lists(messages, max_size=5), greeted=st.booleans())
def test_noise_is_refused_or_ends_the_socket(
    sent: list[str | bytes], greeted: bool, shared_server: LiveServer
) -> None:
    with connect(shared_server.ws, compression=None, proxy=None, close_timeout=1) as connection:
        with contextlib.suppress(ConnectionClosed):
            if greeted:
                connection.send('{"t":"hello","versions":[1]}')
            for message in sent:
                connection.send(message)
            connection.send('{"t":"ping"}')
            _read_to_the_pong(connection)
            return
        assert connection.protocol.close_rcvd is not None, "the socket ended without a reason"
        assert connection.protocol.close_rcvd.code in (4000, 4001)


def _read_to_the_pong(connection: ClientConnection) -> None:
    kinds: set[str] = set()
    while "pong" not in kinds:
        kinds = {json.loads(line)["t"] for line in str(connection.recv(10)).split("\n")}
        assert kinds <= {"hello", "refused", "pong", "ack", "live", "records"}


def test_a_storm_of_sockets_that_come_and_go_leaves_nothing_behind(
    shared_server: LiveServer, honest: tuple[Client, str]
) -> None:
    import psutil

    owner, session = honest
    process = psutil.Process(shared_server.pid)
    before = process.num_fds()
    dice = random.Random(7)
    for number in range(80):
        client = Client(shared_server.ws, name=f"fly{number}", resume=owner.resume)
        client.connect()
        client.send({"t": "attach", "session": session, "after": 0})
        if dice.random() < 0.5:
            client.cut()
        client.leave()
    from live_server import wait_until

    wait_until(lambda: process.num_fds() <= before + 2, "the server lets go of the sockets")


def test_who_never_says_hello_is_shown_out(silent: Any) -> None:
    with pytest.raises(ConnectionClosed) as end:
        silent.recv(15)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 4000
