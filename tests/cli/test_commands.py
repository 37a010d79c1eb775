import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

ECHO = """
@app.on_message
async def answer(session, message):
    session.reply(f"echo {message.text}")
"""


def test_help_is_quick_because_it_loads_no_server_and_no_screen(tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "parlour", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    heavy = {"uvicorn", "starlette", "rich", "prompt_toolkit", "jsonschema_rs", "sqlite3"}
    assert not loaded & heavy
    assert "Serve an app" in done.stdout
    assert "completion" not in done.stdout


def test_version_names_parlour_and_python(parlour):
    assert re.fullmatch(r"Parlour \d+\.\d+\S* on Python 3\.\d+\.\d+\n", parlour("version").stdout)


def test_a_mistyped_command_is_a_matter_of_usage(parlour):
    for arguments in (["chatt"], ["run"], ["run", "a.py", "--port", "70000"], ["new"]):
        done = parlour(*arguments)
        assert done.returncode == 2, arguments
        assert "Usage:" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "chat"])
@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "there is no file bot.py"),
        ("del app", "makes no App"),
        ("other = parlour.App(); del app; third = parlour.App()", "several Apps"),
    ],
)
def test_an_app_that_is_not_there_is_one_clear_line(command, source, told, app, parlour):
    if source is not None:
        app(source)
    done = parlour(command, "bot.py")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("parlour: ")
    assert told in done.stderr


@pytest.mark.parametrize("command", ["run", "chat"])
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def broken(:\n    pass", "SyntaxError"),
        ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError"),
        ("import no_such_module_at_all", "ModuleNotFoundError"),
        ("@app.on_message\ndef wrong(session): ...", "(session, message)"),
    ],
)
def test_an_error_in_the_app_shows_the_users_lines_and_no_others(
    command, source, told, app, parlour
):
    app(source)
    done = parlour(command, "bot.py")
    assert done.returncode == 1
    assert told in done.stderr
    assert "bot.py" in done.stderr
    assert "importlib" not in done.stderr
    assert "src/parlour" not in done.stderr
    assert done.stderr.endswith("parlour: bot.py cannot be loaded; mend the line above\n")


@pytest.mark.parametrize("command", ["run", "chat"])
@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("sqlite:///nowhere/x.db", "nowhere does not exist"),
        ("sqlite:////proc/x.db", "permissions"),
        ("sqlite:///other.db", "some other program"),
        ("sqlite:///damaged.db", "damaged"),
        ("carrier-pigeon:x", "no store's address"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_clear_line(  # noqa: PLR0917
    command, store, told, app, parlour, tmp_path
):
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    (tmp_path / "damaged.db").write_bytes(b"not a database at all" * 100)
    app(ECHO)
    done = parlour(command, "bot.py", "--store", store)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.promise("P3")
def test_a_store_in_use_says_by_whom_and_what_to_do(app, parlour, tmp_path):
    app(ECHO)
    with subprocess.Popen(
        [sys.executable, "-m", "parlour", "chat", "bot.py"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdin
        assert owner.stdout
        owner.stdin.write("hi\n")
        owner.stdin.flush()
        assert owner.stdout.readline() == "echo hi\n"
        for arguments in (["run", "bot.py"], ["chat", "bot.py"], ["sessions", "gc"]):
            done = parlour(*arguments)
            assert done.returncode == 1
            assert done.stderr.count("\n") == 1
            assert f"in use by another process (its id is {owner.pid})" in done.stderr
            assert "stop that one" in done.stderr
        owner.stdin.close()
        assert owner.wait(30) == 0


def test_sessions_are_listed_and_shown_as_text_and_as_json(app, parlour, sessions):
    app(
        ECHO
        + """
@app.on_open
async def greet(session):
    session.reply(f"Hello {await session.ask('Name?')}\\x1b[2J")
"""
    )
    parlour("chat", "bot.py", lines="Ada\none\ntwo\n")
    [session] = sessions()
    listed = parlour("sessions", "ls")
    assert session in listed.stdout
    assert "local" in listed.stdout
    shown = parlour("sessions", "show", session[:8]).stdout
    said = [line.split("  ", 1)[1].strip() for line in shown.splitlines()[2:]]
    assert said == [
        "asks  Name?",
        "user  Ada",
        "bot  Hello Ada␛[2J",
        "user  one",
        "bot  echo one",
        "user  two",
        "bot  echo two",
    ]
    records = [
        json.loads(line)
        for line in parlour("sessions", "show", session, "--json").stdout.splitlines()
    ]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert records[0]["event"]["type"] == "SessionOpened"
    assert parlour("sessions", "ls", "--user", "nobody").stdout == "No conversations yet.\n"


def test_looking_makes_no_store_and_a_missing_session_is_one_clear_line(app, parlour, tmp_path):
    done = parlour("sessions", "ls")
    assert done.returncode == 1
    assert "there is no store parlour.db" in done.stderr
    assert not any(tmp_path.iterdir())
    app(ECHO)
    parlour("chat", "bot.py", lines="hi\n")
    done = parlour("sessions", "show", "zzz")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "sessions ls" in done.stderr


def test_a_new_project_runs_and_its_test_passes(parlour, tmp_path):
    done = parlour("new", "guest-desk")
    assert done.returncode == 0, done.stderr
    assert "cd guest-desk" in done.stdout
    folder = tmp_path / "guest-desk"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".gitignore",
        "README.md",
        "app.py",
        "parlour.toml",
        "pyproject.toml",
        "tests/test_app.py",
    }
    assert not any(
        "{{" in path.read_text() for path in folder.rglob("*.*") if path.suffix == ".toml"
    )
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout
    assert "2 passed" in tests.stdout
    said = parlour("chat", "guest-desk/app.py", "--store", "memory:", lines="Ada\nhi\n").stdout
    assert said.splitlines()[-1] == "Ada, you said: hi"


@pytest.mark.parametrize(
    "name", ["../up", "/tmp/abs", "a/b", "a b", ".hidden", "", "1st", "x" * 80, "naïve", "parlour"]
)
def test_a_name_that_is_none_makes_nothing_and_says_what_would_do(name, parlour, tmp_path):
    done = parlour("new", name)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "letters, digits" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(parlour, tmp_path):
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "mine.txt").write_text("mine")
    (tmp_path / "away").symlink_to(tmp_path / "desk")
    (tmp_path / "file").write_text("a file")
    for name in ("desk", "away", "file"):
        done = parlour("new", name)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "choose another name" in done.stderr
    assert [path.name for path in (tmp_path / "desk").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert parlour("new", "empty").returncode == 0
