"""Whatever is passed to a session: the call raises, or what it recorded can be read again."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pydantic
import pytest
from house import House, run, said, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

import parlour
from parlour.engine.activation import Activation
from parlour.errors import (
    AskTimeout,
    LimitExceeded,
    NotStorable,
    Refused,
    StepFailed,
)
from parlour.events import (
    CostAdded,
    MessageAdded,
)
from parlour.questions import (
    ChoiceQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    Option,
    TextQuestion,
)
from parlour.state import decode_snapshot, encode_snapshot

promise = pytest.mark.promise
NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


class Fruit(enum.StrEnum):
    PEAR = "pear"


class Words(str):
    __slots__ = ()


class Broken(pydantic.BaseModel):
    value: Any = None

    @pydantic.field_serializer("value")
    def _dump(self, _value: object) -> str:
        raise LookupError("no dump")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Attempt:
    """One call in a round, and what came of it."""

    def __init__(self, call: Callable[[parlour.Session], Any]) -> None:
        self.error: Exception | None = None
        self.app = parlour.App()

        @self.app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text != "try":
                session.reply("still here")
                return
            try:
                found = call(session)
                if hasattr(found, "__await__"):
                    await found
            except Exception as error:  # noqa: BLE001 - whatever it raises is looked at
                self.error = error

    async def run(self, house: House) -> None:
        """Make the call, kill the engine, and let another one read what was recorded."""
        async with house.running(self.app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("try"))
            await until(lambda: sending.done() or _waits(running.engine.find_live(session.id)))
            await house.crash(running)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        async with house.running(self.app) as running:
            session = await running.get_session(session.id)
            state = await session.state()
            assert state.seq == len(await session.records())
            assert decode_snapshot(encode_snapshot(state), state.window) == state
            await session.stop()
            assert (await session.send_message("hello")).replies == ("still here",)


def _waits(activation: Activation | None) -> bool:
    return activation is not None and activation.resting and activation.state.round is not None


def attempt(house: House, call: Callable[[parlour.Session], Any]) -> Exception | None:
    tried = Attempt(call)
    run(tried.run(house))
    return tried.error


async def write(session: parlour.Session, text: Any, name: Any = "") -> None:
    async with session.stream(name=name) as out:
        out.write(text)


REFUSED: list[tuple[str, Callable[[parlour.Session], Any], str]] = [
    ("no tokens", lambda s: s.add_cost(input_tokens=None), "input_tokens is a whole number"),
    ("half a token", lambda s: s.add_cost(output_tokens=12.5), "output_tokens is a whole number"),
    ("tokens of a truth", lambda s: s.add_cost(input_tokens=True), "is a whole number"),
    ("tokens given back", lambda s: s.add_cost(input_tokens=-1), "is a number from 0"),
    ("no model", lambda s: s.add_cost(model=None), "a model's name is text"),
    ("a currency by number", lambda s: s.add_cost(currency=5), "a currency is text"),
    ("no amount", lambda s: s.add_cost(math.nan), "give a finite number from 0 up"),
    ("endless cost", lambda s: s.add_cost(math.inf), "give a finite number from 0 up"),
    ("a gain", lambda s: s.add_cost(-0.5), "give a finite number from 0 up"),
    ("a Decimal that is none", lambda s: s.add_cost(Decimal("sNaN")), "give a finite number"),
    ("an amount in words", lambda s: s.add_cost("0.1"), "an amount is a number, not str"),
    ("options that are numbers", lambda s: s.choose("?", [1, 2]), "an option is text, not int"),
    ("a value that is a number", lambda s: s.choose("?", {1: "x"}), "an option's value is text"),
    ("a label that is a number", lambda s: s.choose("?", {"x": 1}), "an option's label is text"),
    ("an option of wrong types", lambda s: s.choose("?", [Option(value="a", label=5)]), "label"),
    ("an option nobody sees", lambda s: s.choose("?", {"a": " "}), "give each a label"),
    ("one text as options", lambda s: s.choose("?", "yes"), "several texts, not a str"),
    ("a default that is no option", lambda s: s.choose("?", ["a"], default="b"), "the default is"),
    ("one default for several", lambda s: s.choose_many("?", ["a"], default="a"), "[default]"),
    ("too few of too many", lambda s: s.choose_many("?", ["a", "b"], minimum=2, maximum=1), "from"),
    ("a question of lists", lambda s: s.ask(["a"]), "a question is text, not list"),
    ("a question of halves", lambda s: s.ask("\ud800"), "a surrogate"),
    ("no reply", lambda s: s.reply(None), "a reply is text, not NoneType"),
    ("a reply of bytes", lambda s: s.reply(b"hello"), "a reply is text, not bytes"),
    ("a reply of halves", lambda s: s.reply("\ud800"), "a surrogate"),
    ("half a letter", lambda s: s.ask("?", maximum=10.5), "a whole number"),
    ("a bound in words", lambda s: s.ask("?", int, minimum="5"), "an int or a float"),
    ("a bound of truth", lambda s: s.ask("?", int, minimum=True), "an int or a float"),
    ("a bound of nothing", lambda s: s.ask("?", float, maximum=math.nan), "give None"),
    ("a bound with a time", lambda s: s.ask("?", dt.date, minimum=NOON), "a bound of"),
    ("bounds crossed", lambda s: s.ask("?", int, minimum=5, maximum=4), "that is not greater"),
    ("no whole number between", lambda s: s.ask("?", int, minimum=1.2, maximum=1.8), "no number"),
    ("lengths crossed", lambda s: s.ask("?", minimum=5, maximum=4), "a maximum that is not less"),
    ("a length below none", lambda s: s.ask("?", minimum=-1), "a minimum of 0 or more"),
    ("a default out of bounds", lambda s: s.ask("?", int, minimum=5, default=1), "the default is"),
    ("a number no float holds", lambda s: s.ask("?", int, minimum=2**60 + 1), "changes when it is"),
    ("a bound of a truth", lambda s: s.ask("?", bool, minimum=1), "only texts, numbers and dates"),
    ("half a byte", lambda s: s.ask_file("?", max_bytes=1.5), "max_bytes is a whole number"),
    ("one rule, not a list", lambda s: s.ask_file("?", accept=".pdf"), 'accept=[".pdf"'),
    ("rules that are numbers", lambda s: s.ask_file("?", accept=[5]), "is text, not int"),
    ("more than most files", lambda s: s.ask_files("?", minimum=3), "a maximum that is not less"),
    ("no time", lambda s: s.ask("?", timeout=math.nan), "no time to wait"),
    ("time in words", lambda s: s.ask("?", timeout="5"), "a number of seconds or a timedelta"),
    ("time of truth", lambda s: s.ask("?", timeout=True), "a number of seconds or a timedelta"),
    ("a sleep without end", lambda s: s.sleep(None), "a sleep has an end"),
    ("validate no function", lambda s: s.ask("?", validate="x"), "validate is a function"),
    ("a schema that is none", lambda s: s.ask_form("?", 5), "a valid JSON schema"),
    ("a question of wrong types", lambda s: s.ask("?", TextQuestion(min_length="a")), "wrong type"),
    ("a choice as a list", lambda s: s.ask("?", ChoiceQuestion(options=[])), "tuple"),
    ("delete a number", lambda s: s.delete(5), "a variable's name is text, not int"),
    ("set a number", lambda s: s.set(5, 1), "a variable's name is text, not int"),
    ("set for a user's number", lambda s: s.user.set(5, 1), "a variable's name is text, not int"),
    ("get a user's number", lambda s: s.user.get(5), "a variable's name is text, not int"),
    ("a name of halves", lambda s: s.delete("\ud800"), "a surrogate"),
    ("an empty name", lambda s: s.user.set("", 1), "of 1 to 128 characters"),
    ("a long name", lambda s: s.delete("x" * 129), "at most 128 characters"),
    ("too much for a user", lambda s: s.user.set("x", "x" * 300_000), "at most 262,144 are kept"),
    ("raw that is no JSON", lambda s: s.set("x", msgspec.Raw(b"{bad")), "session.local"),
    ("raw inside", lambda s: s.set("x", {"a": [Raw(b"1e400")]}), "session.local"),
    ("a model that cannot be dumped", lambda s: s.set("x", Broken()), "no dump"),
    ("keys that become one", lambda s: s.set("x", [{1: "a", "1": "b"}]), "two keys"),
    ("nested deeper than readers go", lambda s: s.set("x", nested(101)), "nested too deeply"),
    ("a step's result, too deep", lambda s: s.step(nested, 101), "nested too deeply"),
    ("digits no reader takes", lambda s: s.set("x", -(10**4299)), "out of range"),
    ("text of halves", lambda s: s.set("x", ["\ud800"]), "surrogates"),
    ("a file's text", lambda s: s.send_file(b"", text=["a"]), "a message is text, not list"),
    ("a file's name", lambda s: s.send_file(b"", name=5), "a file's name is text, not int"),
    ("a file's type", lambda s: s.send_file(b"", type="text/plain\nX: y"), "no media type"),
    ("a file of numbers", lambda s: s.send_file(5), "bytes or of the path of a file"),
    ("a file that is a folder", lambda s: s.send_file("/"), "IsADirectoryError"),
    ("a file that is not there", lambda s: s.send_file("/nowhere/x"), "FileNotFoundError"),
    ("a step of nothing", lambda s: s.step(None), "a step is made of a function, not of None"),
    ("a step of a result", lambda s: s.step(write(s, "x")), "not of a call of one"),
    ("a step's name", lambda s: s.step(len, "x", name=5), "the name of a call is text, not int"),
    ("a step's path", lambda s: s.step(len, "x", name="a/b"), "paths of the journal"),
    ("a gather of a list", lambda s: s.gather([s.sleep(0)]), "write `gather(*branches)`"),
    ("a gather of none", lambda s: s.gather(s.sleep(0), None), "call the function, without"),
    ("a race of functions", lambda s: s.race(s.sleep), "takes what can be awaited"),
    ("a race of nothing", lambda s: s.race(), "a race needs at least one branch"),
    ("a stream's name", lambda s: s.stream(name=5), "the name of a call is text, not int"),
    ("a stream of bytes", lambda s: write(s, b"x"), "a stream takes text"),
    ("a stream of halves", lambda s: write(s, "\ud800"), "valid Unicode"),
    ("a stream of nothing", lambda s: s.stream_from(5), "texts that come one by one"),
    ("a path in a name", lambda s: s.ask("?", name="a/b"), "use another sign"),
    ("a number in a name", lambda s: s.ask("?", name="a#1"), "use another sign"),
    ("history before a word", lambda s: s.fetch_history(before="x"), "is a whole number"),
]


@promise("P13")
@pytest.mark.parametrize(
    ("call", "words"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_wrong_argument_raises_at_the_call_and_says_the_cure(
    tmp_path: Path, call: Callable[[parlour.Session], Any], words: str
) -> None:
    error = attempt(House("memory", tmp_path), call)

    assert isinstance(error, TypeError | ValueError | Refused | StepFailed)
    assert words in str(error)
    assert len(str(error).split()) > 4


@pytest.mark.parametrize("complaint", [True, False, 5, ["no"], asyncio.sleep])
def test_a_validator_that_answers_something_else_is_told_what_it_should_return(
    house: House, complaint: Any
) -> None:
    async def main() -> None:
        app = parlour.App()
        errors: list[Exception] = []

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            judge = (lambda _: complaint(0)) if complaint is asyncio.sleep else lambda _: complaint
            try:
                await session.ask("Age?", int, validate=judge)
            except TypeError as error:
                errors.append(error)

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("go")
            assert (await session.answer(17)).status == "done"
        assert "returns a complaint (text for the user)" in str(errors)

    run(main())


@pytest.mark.parametrize(
    ("amount", "kept"), [(Decimal("0.1"), 0.1), (Fraction(1, 4), 0.25), (2, 2.0), (None, None)]
)
def test_any_real_amount_is_kept_as_a_float(tmp_path: Path, amount: Any, kept: float) -> None:
    costs: list[Any] = []

    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.add_cost(amount, input_tokens=3)

        async with House("memory", tmp_path).running(app) as running:
            session = await running.get_session()
            await session.send_message("go")
            costs.extend([r.event for r in await session.records() if type(r.event) is CostAdded])

    run(main())
    assert [cost.amount for cost in costs] == [kept]
    assert type(costs[0].amount) is type(kept)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\x00b\ud800.txt", "ab.txt"),
        ("x" * 5000, "x" * 200),
        ("..", "file"),
        ("price #1.txt", "price #1.txt"),
    ],
)
def test_a_file_that_is_sent_has_a_harmless_name(tmp_path: Path, name: str, kept: str) -> None:
    names: list[str] = []

    async def send(session: parlour.Session) -> None:
        names.append((await session.send_file(b"x", name=name)).name)

    assert attempt(House("memory", tmp_path), send) is None
    assert names == [kept]


@promise("P8")
def test_a_file_that_was_sent_may_be_gone_when_its_round_is_replayed(
    house: House, tmp_path: Path
) -> None:
    source = tmp_path / "plan.txt"
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        await session.send_file(source, text="the plan")
        source.unlink(missing_ok=True)
        session.reply(await session.ask("Good?"))

    async def main() -> None:
        source.write_text("plan", encoding="utf-8")
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("yes")).replies == ("yes",)
            assert "bot: the plan" in await said(session)

    run(main())


def test_texts_of_all_kinds_are_kept_as_texts(house: House) -> None:
    async def talk(session: parlour.Session) -> None:
        session.reply(Fruit.PEAR)
        session.reply(Words("word"))
        session.reply(7)
        await write(session, Words("wörd"))
        assert await session.stream_from(["a", "b"]) == "ab"
        session.set(Words("name"), 1)
        await session.send_file(bytearray(b"x"), name=Fruit.PEAR)
        await session.choose(Fruit.PEAR, list(Fruit), name=Fruit.PEAR)

    assert attempt(house, talk) is None


@promise("P12")
def test_limits_of_messages_count_bytes_and_not_characters(house: House) -> None:
    house.settings = parlour.Settings(
        development=True, limits=parlour.Limits(reply_bytes=300, value_bytes=200)
    )

    async def talk(session: parlour.Session) -> None:
        session.reply("a" * 300)
        await write(session, "ü" * 150)
        for call in (
            lambda: session.reply("ü" * 151),
            lambda: write(session, "€" * 101),
            lambda: session.ask("ü" * 151),
            lambda: session.choose("?", {str(n): "a label" for n in range(30)}),
        ):
            with pytest.raises(LimitExceeded, match="300 bytes"):
                await call()
        await write(session, "still")

    assert attempt(house, talk) is None


def test_what_comes_by_another_way_is_read_back_before_it_is_recorded(house: House) -> None:
    async def talk(session: parlour.Session) -> None:
        effects = session.effects
        events: list[Callable[[str], Any]] = [
            lambda path: CostAdded(path=path, amount=Decimal("0.1")),
            lambda path: CostAdded(path=path, input_tokens=12.5),
            lambda path: CostAdded(path=path, model=object()),
            lambda path: CostAdded(path=path, amount=2**60 + 1),
            lambda path: MessageAdded(role="bot", text=None, path=path),
            lambda path: MessageAdded(role="bot", text=Words("a"), path=path),
            lambda path: MessageAdded(role="bot", text="\ud800", path=path),
            lambda path: MessageAdded(role="bot", text="a", path=path, files=("x",)),
        ]
        for build in events:
            with pytest.raises(NotStorable, match=r"the effect 'odd#\d' has a value"):
                effects.record("odd", "", build)
        with pytest.raises(NotStorable, match=r"the effect 'odd:\\ud800#1' has a value"):
            effects.draw("odd:\ud800", lambda: Raw(b"1"))

    assert attempt(house, talk) is None


# -- whatever ---------------------------------------------------------------------------------

GARBAGE: list[Any] = [
    None, True, False, 0, 1, -1, 5, 2**60 + 1, 2**70, -(10**4299), 10**5000, 12.5, -0.0, 1e300,
    math.nan, math.inf, -math.inf, 1j, Decimal("0.1"), Decimal("sNaN"), Fraction(1, 3),
    "", " ", "x", "name", "a/b", "a#1", "\x00", "\n", "\ud800", "ü" * 129, "x" * 1_100_000,
    Fruit.PEAR, Words("word"), b"", b"bytes", bytearray(b"x"), memoryview(b"x"),
    [], ["a"], ["a", "a"], [""], [1], [["a"]], ["\ud800"], [None], [math.nan], nested(101),
    nested(5000), (), ("a", "b"), set(), {"a"}, {}, {"a": "b"}, {"a": 1}, {1: "x"},
    {1: "a", "1": "b"}, {"type": "object"}, {"type": 5}, {"\ud800": 1}, {(1, 2): 3},
    object(), print, str, int, float, bool, dt.date, dt.datetime, list, Fruit, Broken, type(None),
    NOON, dt.datetime(2026, 11, 21, tzinfo=dt.timezone(dt.timedelta(0, 30))),
    dt.date(2026, 11, 21), dt.time(12), dt.timedelta(hours=1), dt.timedelta(-1), dt.timedelta.max,
    Raw(b"{bad"), Raw(b"1"), Raw(b"\xff"), Path("/nowhere"), Path("/"), Broken(), msgspec.UNSET,
    Option(value="a", label="A"), Option(value=5, label=None), [Option(value="\ud800", label="")],
    TextQuestion(), TextQuestion(min_length="a"), TextQuestion(pattern=5), TextQuestion(default=5),
    TextQuestion(pattern="("), NumberQuestion(minimum="5"), NumberQuestion(maximum=math.nan),
    NumberQuestion(default=Raw(b"{")), DateQuestion(minimum=NOON),
    FileQuestion(accept="x"), FileQuestion(maximum=0), FileQuestion(default=Raw(b"[]")),
    ChoiceQuestion(options=("a",)), FormQuestion(schema=Raw(b"{bad")), FormQuestion(schema={}),
    lambda _: True, lambda _: "no", lambda _: None, ValueError("x"), (n for n in ("a", 1)),
]  # fmt: skip

ASKING = {"timeout": None, "name": ""}
CALLS: dict[str, dict[str, Any]] = {
    "reply": {"text": "hello", "attachments": ()},
    "attach": {"attachment": Path("/nowhere")},
    "part": {"name": "Search", "kind": "", "input": None, "cost": False},
    "progress": {"done": 1, "total": 2, "text": ""},
    "show": {"component": "chart", "data": None, "text": ""},
    "settings": {"kind": dict},
    "remind": {"name": "x", "when": 60, "data": None},
    "cancel_reminder": {"name": "x"},
    "set": {"name": "x", "value": 1},
    "delete": {"name": "x"},
    "get": {"name": "x", "default": None, "type": None},
    "user.set": {"name": "x", "value": 1},
    "user.get": {"name": "x", "default": None},
    "user.delete": {"name": "x"},
    "send_file": {"content": b"x", "name": "x.txt", "type": "", "text": ""},
    "stream": {"name": ""},
    "stream_from": {"source": ["a"]},
    "ask": {
        "text": "?", "kind": str, "default": None, "validate": None, "minimum": None,
        "maximum": None, "multiline": False, **ASKING,
    },
    "choose": {"text": "?", "options": ["a", "b"], "default": None, **ASKING},
    "choose_many": {
        "text": "?", "options": ["a", "b"], "minimum": 0, "maximum": None, "default": None, **ASKING
    },
    "confirm": {"text": "?", "default": None, **ASKING},
    "ask_file": {"text": "?", "accept": (), "max_bytes": None, **ASKING},
    "ask_files": {
        "text": "?", "accept": (), "minimum": 1, "maximum": 1, "max_bytes": None, **ASKING
    },
    "ask_form": {"text": "?", "schema": {"type": "object"}, **ASKING},
    "step": {
        "fn": int, "name": "", "retry": None, "timeout": None, "at_most_once": False, "type": None,
        "show": None,
    },
    "sleep": {"seconds": 60},
    "fetch_history": {"before": None, "limit": 10},
    "add_cost": {
        "amount": None, "input_tokens": 0, "output_tokens": 0, "model": "", "currency": "USD"
    },
}  # fmt: skip
"""Every public method that takes arguments, with arguments that fit."""

OWN_WORDS = {"attach", "get", "step"}
"""These may also raise what Python says."""


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """A method, and for some of its arguments which garbage it gets (not all has a repr)."""
    method = draw(st.sampled_from(sorted(CALLS)))
    spoilt = draw(st.sets(st.sampled_from(sorted(CALLS[method])), min_size=1, max_size=2))
    return method, {name: draw(st.integers(0, len(GARBAGE) - 1)) for name in sorted(spoilt)}


@promise("P13")
@given(calls())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_passed_the_call_raises_or_the_log_can_be_read(
    made: tuple[str, dict[str, int]],
) -> None:
    method, spoilt = made
    arguments = {**CALLS[method], **{name: GARBAGE[which] for name, which in spoilt.items()}}

    def call(session: parlour.Session) -> Any:
        target: Any = session
        for part in method.split("."):
            target = getattr(target, part)
        return target(**arguments)

    with TemporaryDirectory() as folder:
        error = attempt(House("memory", Path(folder)), call)
    if error is not None and method not in OWN_WORDS:
        known = TypeError | ValueError | Refused | LimitExceeded | StepFailed | AskTimeout
        assert isinstance(error, known), repr(error)
        assert len(str(error).split()) > 4, repr(error)


def test_every_public_method_is_called_with_garbage() -> None:
    without_arguments = {"now", "random", "uuid", "take_messages", "close"}
    branches = {"gather", "race"}  # their arguments are the handler's own code
    methods = {
        name
        for name in dir(parlour.Session)
        if not name.startswith("_") and callable(getattr(parlour.Session, name))
    }

    assert methods == {name for name in CALLS if "." not in name} | without_arguments | branches
