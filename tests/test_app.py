from __future__ import annotations

import sys

import pytest

import parlour
from parlour.app import load_app
from parlour.errors import AppNotLoaded

CAUSES = ("open", "message", "signal", "feedback", "stop", "close")


class Silent:
    """An agent of a style of its own."""

    causes = frozenset({"message"})

    async def respond(self, session, round, /) -> None:  # noqa: A002
        pass


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Loading an app adds its folder and its module to the interpreter."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "hello.py") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


# -- decorators -----------------------------------------------------------------------------


@pytest.mark.parametrize("cause", CAUSES)
def test_a_decorated_function_answers_its_cause_and_stays_what_it_was(cause):
    app = parlour.App()

    def handler(*arguments):
        pass

    assert getattr(app, f"on_{cause}")(handler) is handler
    assert app.agent.causes == {cause}


def test_an_app_without_handlers_answers_nothing():
    assert parlour.App().agent.causes == frozenset()


def test_every_cause_is_answered_by_one_function():
    app = parlour.App()

    @app.on_message
    async def first(session, message):
        pass

    with pytest.raises(ValueError, match=r"on_message is .*first already; one function answers it"):

        @app.on_message
        async def second(session, message):
            pass


@pytest.mark.parametrize(
    ("cause", "handler", "wanted"),
    [
        ("open", lambda: None, r"\(session\)"),
        ("open", lambda session, message: None, r"\(session\)"),
        ("message", lambda session: None, r"\(session, message\)"),
        ("message", lambda session, message, more: None, r"\(session, message\)"),
        ("signal", lambda session, *, signal: None, r"\(session, message\)"),
        ("stop", lambda session, message: None, r"\(session\)"),
        ("close", lambda *, session: None, r"\(session\)"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_when_it_is_decorated(cause, handler, wanted):
    app = parlour.App()

    with pytest.raises(ValueError, match=f"on_{cause} calls its function with {wanted}.*takes"):
        getattr(app, f"on_{cause}")(handler)


def test_a_function_may_have_arguments_with_defaults():
    app = parlour.App()

    @app.on_message
    async def answer(session, message, mood="merry", *, loud=False):
        pass

    assert app.agent.causes == {"message"}


def test_several_functions_may_rebuild_what_is_not_stored():
    app = parlour.App()
    first = app.on_wake(lambda session: None)
    second = app.on_wake(lambda session: None)

    assert app.wakers == (first, second)
    assert app.agent.causes == frozenset()


@pytest.mark.parametrize("cause", CAUSES)
def test_an_app_with_an_agent_of_its_own_takes_no_handlers(cause):
    agent = Silent()
    app = parlour.App(agent)

    assert app.agent is agent
    with pytest.raises(ValueError, match=f"answers by Silent, so on_{cause} would never run"):
        getattr(app, f"on_{cause}")(lambda *arguments: None)


def test_an_app_has_a_title_and_may_have_settings():
    settings = parlour.Settings(idle_after=1.0)

    assert parlour.App().title == "Parlour"
    assert parlour.App().own_settings is None
    assert parlour.App(title="Desk", settings=settings).title == "Desk"
    assert parlour.App(settings=settings).own_settings is settings


# -- loading --------------------------------------------------------------------------------


def test_an_app_is_loaded_from_its_file(write):
    path = write("import parlour\napp = parlour.App(title='one')\n")

    assert load_app(path).title == "one"


def test_the_only_app_of_a_file_may_have_any_name(write):
    path = write("import parlour\ndesk = same = parlour.App(title='one')\n")

    assert load_app(path).title == "one"


def test_app_is_the_app_among_several(write):
    path = write("import parlour\nother = parlour.App()\napp = parlour.App(title='one')\n")

    assert load_app(path).title == "one"


def test_an_app_is_named_after_its_file(write):
    path = write("import parlour\none = parlour.App(title='1')\ntwo = parlour.App(title='2')\n")

    assert load_app(f"{path}:two").title == "2"
    with pytest.raises(AppNotLoaded, match=r"several Apps; say which one: .*hello.py:one"):
        load_app(path)
    with pytest.raises(AppNotLoaded, match=r"hello\.py has no App called 'three'"):
        load_app(f"{path}:three")


@pytest.mark.parametrize("name", ["parlour", "__name__", "one.agent", " one"])
def test_what_is_no_app_is_not_loaded(write, name):
    path = write("import parlour\none = parlour.App()\n")

    with pytest.raises(AppNotLoaded, match="has no App called"):
        load_app(f"{path}:{name}")


def test_a_file_without_an_app_says_how_to_make_one(write):
    with pytest.raises(AppNotLoaded, match=r"write `app = parlour.App\(\)` in it"):
        load_app(write("x = 1\n"))


@pytest.mark.parametrize("address", ["nowhere.py", "nowhere.py:app", "", ":app", ".", "\x00"])
def test_a_file_that_is_not_there_is_named(address):
    with pytest.raises(AppNotLoaded, match="there is no file"):
        load_app(address)


def test_a_file_that_is_no_python_is_refused(write):
    with pytest.raises(AppNotLoaded, match="is no Python file"):
        load_app(write("app: 1\n", "app.yaml"))


@pytest.mark.parametrize(
    ("text", "error"),
    [("app = (", SyntaxError), ("1 / 0", ZeroDivisionError), ("exit(3)", SystemExit)],
)
def test_an_error_in_the_file_is_shown_as_it_is_and_leaves_no_module(write, text, error):
    path = write(text, "broken_app.py")

    with pytest.raises(error):
        load_app(path)
    assert "broken_app" not in sys.modules


def test_an_app_may_import_what_lies_beside_it(write):
    write("TITLE = 'beside'\n", "words_beside.py")
    path = write(
        "import parlour\nimport words_beside\napp = parlour.App(title=words_beside.TITLE)\n"
    )

    assert load_app(path).title == "beside"


def test_a_file_may_be_called_like_a_module_of_the_standard_library(write):
    import json

    path = write("import parlour\napp = parlour.App(title='mine')\n", "json.py")

    assert load_app(path).title == "mine"
    assert sys.modules["json"] is json


def test_a_file_may_have_a_name_that_is_no_name_in_python(write):
    assert load_app(write("import parlour\napp = parlour.App()\n", "my-bot 2.py")).title


def test_a_file_that_was_changed_is_loaded_anew(write):
    assert load_app(write("import parlour\napp = parlour.App(title='old')\n")).title == "old"
    sys.dont_write_bytecode, kept = True, sys.dont_write_bytecode
    try:
        assert (
            load_app(write("import parlour\napp = parlour.App(title='newer')\n")).title == "newer"
        )
    finally:
        sys.dont_write_bytecode = kept


def test_a_generator_is_no_handler_and_the_cure_is_named():
    async def answer(session, message):
        yield "text"

    with pytest.raises(ValueError, match="stream_from"):
        parlour.App().on_message(answer)
