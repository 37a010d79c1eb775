"""Backups, exports, erasing, forks and sweeping by the commands of a real process."""

import json
import os
import signal
import sqlite3
import time
import urllib.request
import zipfile
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from served import Visitor, until

BOT = """
@app.on_message
async def answer(session, message):
    session.set("last", message.text)
    (session.workspace / "note.txt").write_text(message.text)
    await session.user.set("name", message.text)
    session.reply(f"echo {message.text}")
"""
ASKS = """
@app.on_message
async def answer(session, message):
    name = await session.ask("Name?")
    session.reply(f"{message.text} {name}")
"""


def everything(folder: Path) -> bytes:
    """All names and bytes of a store: its database, its log, its files."""
    found = b""
    for path in sorted(folder.rglob("*")):
        if path.name.startswith("parlour.db") or ".db.files" in str(path):
            found += str(path.name).encode()
            found += path.read_bytes() if path.is_file() else b""
    return found


def told(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def clear(done, *words):
    """One line on stderr that says this."""
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    return True


def records(parlour, session, *options):
    lines = told(parlour("sessions", "show", session, "--json", *options)).splitlines()
    return [json.loads(line) for line in lines]


def upload(server, visitor, data, name):
    request = urllib.request.Request(
        f"{server.address}files?session={visitor.session}&name={name}",
        data=data,
        headers={"Authorization": f"Bearer {visitor.token}", "Content-Type": "text/plain"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def chatting(visitor, server, *texts):
    with visitor.visit(server.socket) as ws:
        visitor.open(ws)
        for number, text in enumerate(texts):
            assert visitor.ask(ws, f"m{number}", text) == f"echo {text}"


def owner_of(tmp_path, session):
    with closing(sqlite3.connect(tmp_path / "parlour.db")) as db:
        return db.execute("SELECT user FROM session WHERE id = ?", (session,)).fetchone()[0]


def asked_in(parlour, session):
    log = records(parlour, session)
    return sum(record["event"]["type"] == "QuestionAsked" for record in log)


# Looking and copying while a server runs.


@pytest.mark.promise("P5")
def test_a_served_store_is_looked_at_backed_up_and_restored(app, server, parlour, tmp_path):
    app(BOT)
    one, visitor = server(), Visitor()
    chatting(visitor, one, "a", "b")
    assert visitor.session in told(parlour("sessions", "ls"))
    assert "echo b" in told(parlour("sessions", "show", visitor.session[:9]))
    said = told(parlour("backup", "saved"))
    assert "1 session, " in said
    with visitor.visit(one.socket) as ws:
        visitor.hello(ws)
        visitor.send(ws, t="attach", session=visitor.session, after=0)
        visitor.until(ws, "live")
        assert visitor.ask(ws, "later", "c") == "echo c"
    before = records(parlour, visitor.session)
    assert clear(parlour("restore", "saved"), "in use by another process", "stop that one")
    assert clear(parlour("backup", "saved"), "there already")
    assert one.end() == 0
    assert clear(parlour("restore", "saved"), "parlour.db is there already", "--store")
    store = ("--store", "sqlite:///again.db")
    assert "Restored" in told(parlour("restore", "saved", *store))
    after = records(parlour, visitor.session, *store)
    assert after == before[: len(after)]
    assert after[-1]["event"]["type"] == "RoundFinished"
    other = server(*store)
    with visitor.visit(other.socket) as ws:
        visitor.hello(ws)
        visitor.send(ws, t="attach", session=visitor.session, after=0)
        visitor.until(ws, "live")
        assert visitor.ask(ws, "d", "d") == "echo d", "the key was restored: it is the same person"


def test_what_is_no_backup_is_one_clear_line(parlour, tmp_path):
    assert clear(parlour("backup", "saved"), "there is no store parlour.db")
    assert clear(parlour("restore", "saved"), "no backup of Parlour's")
    assert not any(path.suffix == ".db" for path in tmp_path.iterdir())


@pytest.mark.promise("P11")
def test_a_user_is_given_everything_in_a_zip(app, server, parlour, tmp_path):
    app(BOT)
    one, visitor = server(), Visitor()
    chatting(visitor, one, "hello")
    file = upload(one, visitor, b"of mine", "mine.txt")
    with visitor.visit(one.socket) as ws:
        visitor.hello(ws)
        visitor.send(ws, t="attach", session=visitor.session, after=0)
        visitor.until(ws, "live")
        frame = {"session": visitor.session, "id": "f", "text": "see", "files": [file["id"]]}
        visitor.send(ws, t="say", **frame)
        visitor.until(ws, "ack")
    user = owner_of(tmp_path, visitor.session)
    assert "1 session" in told(parlour("sessions", "export", visitor.session[:8], "one.zip"))
    assert "1 session" in told(parlour("sessions", "export", "--user", user, "all.zip"))
    for name in ("one.zip", "all.zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            place = f"sessions/{visitor.session}"
            lines = archive.read(f"{place}/records.jsonl").decode().splitlines()
            assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
            assert "echo hello" in lines[-1] + "".join(lines)
            assert archive.read(f"{place}/files/{file['id']}/mine.txt") == b"of mine"
            assert archive.read(f"{place}/workspace/note.txt") in {b"hello", b"see"}
            assert json.loads(archive.read("user.json"))["id"] == user
    assert clear(parlour("sessions", "export", visitor.session, "one.zip"), "there already")
    assert clear(parlour("sessions", "export", "zzz", "x.zip"), "sessions ls")
    assert clear(
        parlour("sessions", "export", visitor.session, "x.zip", "--user", "eve"), "sessions ls"
    )
    assert parlour("sessions", "export", "x.zip").returncode == 2
    assert not (tmp_path / "x.zip").exists()


# Erasing.


@pytest.mark.promise("P11")
def test_a_session_is_erased_while_it_is_served_and_no_byte_of_it_is_left(
    app, server, parlour, tmp_path
):
    app(BOT)
    one, mine, other = server(), Visitor(), Visitor()
    chatting(other, one, "neighbour")
    with mine.visit(one.socket) as ws:
        mine.open(ws)
        for number in range(30):
            assert mine.ask(ws, f"secret-{number}", f"secret-{number}").startswith("echo")
        upload(one, mine, b"secret-file", "secret.txt")
        assert b"secret-" in everything(tmp_path)
        assert "Erased 1 session" in told(parlour("sessions", "erase", mine.session[:9], "--yes"))
        closed = None
        while closed is None:
            for event in filter(None, mine.until(ws, "records")["records"]):
                closed = event if event["type"] == "SessionClosed" else closed
        assert closed["reason"] == "erased"
        mine.send(ws, t="say", session=mine.session, id="after", text="still there?")
        assert mine.until(ws, "refused")["code"] == "unknown_session"
    user_values = b"secret-29"  # what the user is called is the user's, not the session's
    left = everything(tmp_path)
    assert left.count(b"secret-") == left.count(user_values) == 1
    assert mine.session.encode() not in left
    assert clear(parlour("sessions", "show", mine.session), "sessions ls")
    assert other.session in told(parlour("sessions", "ls"))
    assert one.end() == 0
    assert everything(tmp_path).count(b"secret-") == 1


@pytest.mark.promise("P11")
@pytest.mark.parametrize("served", [True, False])
def test_a_user_is_erased_whether_somebody_serves_or_not(app, server, parlour, tmp_path, served):
    app(BOT)
    one, mine, other = server(), Visitor(), Visitor()
    chatting(other, one, "neighbour")
    chatting(mine, one, "secret-a", "secret-b")
    upload(one, mine, b"secret-file", "secret.txt")
    user = owner_of(tmp_path, mine.session)
    if not served:
        one.end(signal.SIGKILL)
        assert (tmp_path / "parlour.db.office").exists(), "a killed server tidies nothing up"
    refused = parlour("sessions", "erase", "--user", user)
    assert clear(refused, "1 session", "1 variable", "--yes")
    assert "Erased 1 session" in told(parlour("sessions", "erase", "--user", user, "--yes"))
    for needle in (b"secret-", user.encode(), mine.session.encode()):
        assert needle not in everything(tmp_path), needle
    assert clear(parlour("sessions", "erase", "--user", user, "--yes"), "nothing is kept")
    assert other.session in told(parlour("sessions", "ls"))
    if served:
        assert one.end() == 0
        assert not (tmp_path / "parlour.db.office").exists()


@pytest.mark.promise("P11")
def test_an_upload_that_ends_after_its_session_was_erased_leaves_nothing(
    app, server, parlour, tmp_path
):
    app(BOT)
    one, visitor = server(), Visitor()
    chatting(visitor, one, "a")
    where = urlsplit(one.address)
    with closing(HTTPConnection(where.hostname, where.port, timeout=30)) as upload:
        upload.putrequest("POST", f"/files?session={visitor.session}&name=late.txt")
        upload.putheader("Authorization", f"Bearer {visitor.token}")
        upload.putheader("Content-Length", "20")
        upload.endheaders(b"secret-upl")
        workspace = tmp_path / "parlour.db.files" / visitor.session
        until(lambda: any(workspace.glob("*.part")))
        told(parlour("sessions", "erase", visitor.session, "--yes"))
        upload.send(b"oad-secret")
        assert upload.getresponse().status in {404, 503}
    assert not workspace.exists()
    assert b"secret-upl" not in everything(tmp_path)
    assert one.end() == 0


def test_erasing_wants_to_know_what(parlour):
    assert parlour("sessions", "erase").returncode == 2
    assert clear(parlour("sessions", "erase", "abc", "--yes"), "there is no store")


@pytest.mark.promise("P17")
def test_only_who_may_read_the_store_gets_errands_done(app, server, parlour, tmp_path):
    app(BOT)
    one, visitor = server(), Visitor()
    chatting(visitor, one, "a")
    place = tmp_path / "parlour.db.office"
    door = json.loads(place.read_text())
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_text(json.dumps({**door, "token": "0" * 32}))
    refused = parlour("sessions", "erase", visitor.session, "--yes")
    assert clear(refused, "in use by another process")
    place.write_text(json.dumps({**door, "port": 1}))
    assert clear(parlour("sessions", "erase", visitor.session, "--yes"), "in use")
    assert visitor.session in told(parlour("sessions", "ls"))
    assert one.end() == 0


# Time travel.


@pytest.mark.promise("P15")
@pytest.mark.parametrize("served", [True, False])
def test_a_past_is_shown_and_forked(app, server, parlour, served):
    app(BOT)
    one, visitor = server(), Visitor()
    chatting(visitor, one, "a", "b")
    if not served:
        assert one.end() == 0
    log = records(parlour, visitor.session)
    at = next(record["seq"] for record in log if record["event"]["type"] == "RoundFinished")
    shown = told(parlour("sessions", "show", visitor.session, "--at", str(at)))
    assert "echo a" in shown
    assert "echo b" not in shown
    assert f"After record {at}: idle, 0 waiting" in shown
    assert 'last = "a"' in shown
    assert records(parlour, visitor.session, "--at", str(at)) == log[:at]
    assert clear(
        parlour("sessions", "show", visitor.session, "--at", "999"), f"records 1 to {len(log)}"
    )
    fork = told(parlour("sessions", "fork", visitor.session[:9], "--at", str(at))).strip()
    copied = records(parlour, fork)
    assert copied[:at] == log[:at]
    assert copied[at]["event"] == {
        "type": "SessionForked",
        "origin": visitor.session,
        "seq": at,
    }
    assert len(copied) == at + 1
    two = one if served else server()
    visitor.session = fork
    with visitor.visit(two.socket) as ws:
        visitor.hello(ws)
        visitor.send(ws, t="attach", session=fork, after=0)
        visitor.until(ws, "live")
        assert visitor.ask(ws, "m9", "c") == "echo c"
    assert clear(parlour("sessions", "fork", fork, "--at", "999"), "records 1 to")
    assert two.end() == 0


@pytest.mark.promise("P15")
def test_a_round_is_run_anew_in_a_fork_that_was_made_while_nobody_served(app, parlour, server):
    app(ASKS)
    one, visitor = server(), Visitor()
    with visitor.visit(one.socket) as ws:
        visitor.open(ws)
        visitor.send(ws, t="say", session=visitor.session, id="m", text="Dear")
        until(lambda: asked_in(parlour, visitor.session) == 1)
    assert one.end() == 0
    fork = told(parlour("sessions", "fork", visitor.session, "--again")).strip()
    two = server()
    visitor.session = fork
    with visitor.visit(two.socket) as ws:
        visitor.hello(ws)
        visitor.send(ws, t="attach", session=fork, after=0)
        visitor.until(ws, "live")
        until(lambda: asked_in(parlour, fork) == 2)
        assert visitor.ask(ws, "answer", "Ada") == "Dear Ada"
    assert two.end() == 0


# Sweeping.


@pytest.mark.promise("P11")
@pytest.mark.parametrize("served", [True, False])
def test_gc_says_what_it_removed(app, server, parlour, tmp_path, served):
    app(BOT)
    one, visitor = server(), Visitor()
    chatting(visitor, one, "a" * 60_000, "b" * 60_000)
    loose = upload(one, visitor, b"never said", "loose.txt")
    workspace = tmp_path / "parlour.db.files" / visitor.session
    (workspace / f"{'c' * 32}.part").write_bytes(b"cut off")
    (tmp_path / "parlour.db.files" / ("d" * 32)).mkdir()
    if not served:
        assert one.end() == 0
    untouched = told(parlour("sessions", "gc"))
    assert "Removed 0 uploads that nobody names, 0 folders of no session" in untouched
    old = time.time() - 90_000
    for path in (*workspace.iterdir(), workspace.with_name("d" * 32)):
        os.utime(path, (old, old))
    swept = told(parlour("sessions", "gc"))
    assert "Removed 2 uploads that nobody names, 1 folder of no session" in swept
    assert sorted(path.name for path in workspace.iterdir()) == ["note.txt"]
    assert loose["id"] not in str(list(workspace.iterdir()))
    told(parlour("sessions", "erase", visitor.session, "--yes"))
    assert "--compact gives them back" in told(parlour("sessions", "gc"))
    compacted = told(parlour("sessions", "gc", "--compact"))
    freed = int(compacted.partition("to the disk: ")[2].partition(" ")[0].replace(",", ""))
    assert freed > 100_000
    if served:
        assert one.end() == 0


# Replay.


@pytest.mark.promise("P15")
def test_rounds_are_played_with_new_code_before_it_is_deployed(app, server, parlour, tmp_path):
    app(ASKS)
    parlour("chat", "bot.py", lines="Dear\nAda\nMy dear\n")
    before = (tmp_path / "parlour.db").read_bytes()
    assert told(parlour("sessions", "replay", "--all", "bot.py")) == (
        "Played 2 rounds: 0 diverged.\n"
    )
    app(ASKS.replace("Name?", "Who?"), "new.py")
    done = parlour("sessions", "replay", "--all", "new.py")
    assert done.returncode == 1
    assert done.stderr == ""
    first, second, count = done.stdout.splitlines()
    for line in (first, second):
        assert "the journal has the question 'Name?'" in line
        assert "the code reached the question 'Who?'" in line
    assert "(done)" in second + first
    assert count == "Played 2 rounds: 2 diverged."
    assert (tmp_path / "parlour.db").read_bytes() == before
    only = parlour("sessions", "replay", "--all", "--open", "new.py")
    assert only.stdout.splitlines()[-1] == "Played 1 round: 1 diverged."
    one = server()
    [session] = [json.loads(told(parlour("sessions", "ls", "--json")))["id"]]
    assert "0 diverged" in told(parlour("sessions", "replay", session[:6], "bot.py"))
    assert one.end() == 0
    assert clear(parlour("sessions", "replay", "zzz", "bot.py"), "sessions ls")
    assert parlour("sessions", "replay", "bot.py").returncode == 2
    app("1 / 0", "bad.py")
    bad = parlour("sessions", "replay", "--all", "bad.py")
    assert bad.returncode == 1
    assert "ZeroDivisionError" in bad.stderr
