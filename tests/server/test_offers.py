"""Profiles, starters, settings, ratings and users' keys, as they arrive at a real server."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_server import LiveServer
from talker import Talker

promise = pytest.mark.promise
Meet = Callable[..., Talker]

SECRET = "sk-0123456789-very-secret"
APP = """
import asyncio
import dataclasses
from typing import Literal

import parlour

app = parlour.App(title="House", user_env=[parlour.UserKey(name="MODEL_KEY", label="model key")])


@app.settings
@dataclasses.dataclass
class Taste:
    units: Literal["metric", "imperial"] = "metric"
    stars: int = 3
    name: str = ""

    def __post_init__(self):
        if self.stars > 5:
            raise ValueError("there are at most five stars")


desk = app.profile("desk", label="Guest desk", description="Rooms", starters=["A room, please"])
kitchen = app.profile("kitchen", label="Kitchen")


@app.starters
async def begin(visitor):
    return [parlour.Starter(label=f"{visitor.profile} in {visitor.languages[0]}", message="hi")]


@desk.on_message
async def at_desk(session, message):
    if message.text == "key":
        session.reply(f"it has {len(session.user_env['MODEL_KEY'])} letters")
    elif message.text == "quote":
        raise RuntimeError(f"refused: {session.user_env['MODEL_KEY']}")
    elif message.text == "step":
        def call():
            raise RuntimeError(f"refused: {session.user_env['MODEL_KEY']}")
        try:
            await session.step(call)
        except parlour.StepFailed as error:
            session.reply(str(error))
    elif message.text == "wait":
        await session.ask("Now?")
        session.reply(str(session.settings(Taste)))
    else:
        session.reply(f"desk: {session.settings(Taste)} {session.variables} {session.profile}")


@kitchen.on_message
def in_kitchen(session, message):
    session.reply(f"kitchen: {session.profile}")


@app.on_feedback
async def learn(session, feedback):
    session.reply(f"{feedback.message} is {feedback.rating or 'nothing'}: {feedback.reason}")
"""


@pytest.fixture
def talker(shared_server: LiveServer, meet: Meet) -> Talker:
    return meet(shared_server)


def heard(talker: Talker, text: str) -> str:
    frames, _ = talker.until(text)
    return json.dumps(frames, ensure_ascii=False)


def test_a_page_is_told_what_the_app_offers(talker: Talker) -> None:
    offer = talker.http.get("/app", headers={"Accept-Language": "de-AT,de;q=0.8"}).json()
    assert offer["title"] == "House"
    assert offer["profiles"] == [
        {"name": "desk", "label": "Guest desk", "description": "Rooms"},
        {"name": "kitchen", "label": "Kitchen", "description": ""},
    ]
    assert offer["starters"] == [{"label": "A room, please"}]
    assert offer["settings"]["defaults"] == {"units": "metric", "stars": 3, "name": ""}
    assert offer["settings"]["schema"]["properties"]["stars"]["type"] == "integer"
    assert offer["keys"] == [{"name": "MODEL_KEY", "label": "model key"}]
    assert offer["feedback"] is True
    other = talker.http.get("/app?profile=kitchen", headers={"Accept-Language": "fr"}).json()
    assert other["starters"] == [{"label": "kitchen in fr", "message": "hi"}]


def test_each_session_is_answered_by_the_profile_it_was_opened_with(
    shared_server: LiveServer, meet: Meet
) -> None:
    usual, kitchen = meet(shared_server), meet(shared_server, profile="kitchen")
    for talker in (usual, kitchen):
        talker.say("hello", "m1")
    assert "{} desk" in heard(usual, "desk:")
    assert '"profile": "kitchen"' in heard(kitchen, "kitchen: kitchen")
    nobody = kitchen.send({"t": "open", "id": "o2", "profile": "cellar"})[0]
    assert nobody["code"] == "invalid"


def test_a_profile_and_settings_survive_a_restart(
    serve: Callable[..., LiveServer], meet: Meet
) -> None:
    server = serve(APP)
    talker = meet(server, profile="kitchen", settings={"stars": 4})
    server.kill()
    server.start()
    talker.say("hello", "m1")
    assert '"stars":4' in heard(talker, "kitchen: kitchen").replace(" ", "")


def test_what_the_user_sets_is_typed_for_handlers_and_told_to_all_tabs(talker: Talker) -> None:
    assert talker.command("configure", "c1", settings={"units": "imperial"})["t"] == "ack"
    talker.say("hello", "m1")
    told = heard(talker, "desk: Taste(units='imperial', stars=3, name='') {} desk")
    assert '"type": "SettingsChanged", "values": {"units": "imperial", "stars": 3' in told


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"stars": "many"}, "stars"),
        ({"stars": 7}, "at most five stars"),
        ({"units": "furlongs"}, "units"),
        ([], "object"),
    ],
)
def test_settings_that_do_not_fit_are_refused_and_change_nothing(
    talker: Talker, settings: object, complaint: str
) -> None:
    refused = talker.command("configure", "c1", settings=settings)
    assert refused["code"] == "invalid"
    assert complaint in refused["message"]
    talker.say("hello", "m1")
    assert "SettingsChanged" not in heard(talker, "desk: Taste(units='metric', stars=3")


def test_a_round_that_runs_sees_what_was_set_meanwhile(talker: Talker) -> None:
    talker.say("wait", "m1")
    talker.until("QuestionAsked")
    talker.command("configure", "c1", settings={"stars": 5})
    talker.say("yes", "m2")
    heard(talker, "stars=5")


@promise("P4")
def test_a_rating_is_in_the_log_told_to_the_app_and_can_be_changed(talker: Talker) -> None:
    talker.say("hello", "m1")
    talker.until("desk:")
    rated = talker.command("rate", "r1", message=4, rating="down", reason="Too short.")
    again = talker.command("rate", "r1", message=4, rating="down", reason="Too short.")
    assert (rated["t"], again["seq"], again["repeated"]) == ("ack", rated["seq"], True)
    heard(talker, "4 is down: Too short.")
    talker.command("rate", "r2", message=4, rating="up")
    told = heard(talker, "4 is up: ")
    assert told.count("FeedbackGiven") == 2
    assert talker.command("rate", "r3", message=999, rating="up")["code"] == "invalid"


# -- keys -----------------------------------------------------------------------------------------


def test_a_key_is_there_while_the_user_is_and_asked_for_again_after_a_restart(
    serve: Callable[..., LiveServer], meet: Meet
) -> None:
    server = serve(APP)
    talker = meet(server, env={"MODEL_KEY": SECRET, "OTHER": "x"})
    talker.say("key", "m1")
    heard(talker, f"it has {len(SECRET)} letters")
    server.kill()
    server.start()
    talker.say("key", "m2")
    assert "This needs your model key." in heard(talker, '"failed"'.strip('"'))
    known = talker.send({"t": "keys", "env": {"MODEL_KEY": SECRET}})[0]
    assert known == {"t": "keys", "names": ["MODEL_KEY"]}
    talker.say("key", "m3")
    frames, _ = talker.until("letters", after="9")
    assert frames
    gone = talker.send({"t": "keys", "env": {"MODEL_KEY": ""}})[0]
    assert gone["names"] == []


@promise("P1")
def test_a_key_is_another_users_as_little_as_a_session(
    shared_server: LiveServer, meet: Meet
) -> None:
    meet(shared_server, env={"MODEL_KEY": SECRET})
    other = meet(shared_server)
    other.say("key", "m1")
    assert "This needs your model key." in heard(other, "failed")


def test_a_key_is_never_written_down(serve: Callable[..., LiveServer], meet: Meet) -> None:
    server = serve(APP, quiet=False, PARLOUR_DEVELOPMENT="true")
    talker = meet(server, env={"MODEL_KEY": SECRET})
    for number, text in enumerate(("key", "quote", "step"), 1):
        talker.say(text, f"m{number}")
    told = heard(talker, "refused: •••")
    assert SECRET not in told
    server.terminate()
    assert "refused: •••" in server.errors
    assert SECRET not in server.errors
    for path in files_of(server.folder):
        assert SECRET.encode() not in path.read_bytes(), path
    with sqlite3.connect(server.database) as database:
        dump = "\n".join(map(str, database.iterdump()))
    database.close()
    assert SECRET not in dump


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_a_key_that_is_too_long_is_refused(talker: Talker) -> None:
    refused = talker.send({"t": "keys", "env": {"MODEL_KEY": "x" * 10_000}})[0]
    assert refused["code"] == "too_large"
