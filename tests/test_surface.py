"""What users may rely on. A name that is added here is a promise, one that goes breaks programs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import parlour

NAMES = [
    "Action",
    "Actions",
    "Agent",
    "App",
    "AskTimeout",
    "Attachment",
    "Audio",
    "BlockingPart",
    "BlockingSession",
    "Cost",
    "Diverged",
    "EventHandler",
    "Feedback",
    "Figure",
    "File",
    "Flow",
    "FlowSession",
    "Html",
    "Image",
    "Limits",
    "LocalSession",
    "Message",
    "NotStorable",
    "OpenQuestion",
    "ParlourError",
    "Part",
    "Pdf",
    "Profile",
    "Refused",
    "Reminder",
    "Retry",
    "Round",
    "RoundResult",
    "Running",
    "Session",
    "Settings",
    "SignalMessage",
    "Starter",
    "StepFailed",
    "StepInterrupted",
    "Stream",
    "Table",
    "User",
    "UserKey",
    "Video",
    "Visitor",
    "local",
]

SESSION = {
    "add_cost",
    "ask",
    "ask_file",
    "ask_files",
    "ask_form",
    "cancel_reminder",
    "attach",
    "choose",
    "choose_many",
    "close",
    "confirm",
    "delete",
    "effects",
    "fetch_history",
    "file",
    "files",
    "gather",
    "get",
    "history",
    "id",
    "kernel",
    "local",
    "now",
    "part",
    "progress",
    "profile",
    "race",
    "random",
    "remind",
    "reply",
    "send_file",
    "set",
    "settings",
    "show",
    "sleep",
    "step",
    "stream",
    "stream_from",
    "take_messages",
    "title",
    "user",
    "user_env",
    "uuid",
    "variables",
    "workspace",
}

HEAVY = [
    "dateparser",
    "httpx",
    "itsdangerous",
    "jsonschema_rs",
    "mermaidx",
    "multiprocessing",
    "numpy",
    "prompt_toolkit",
    "pydantic",
    "rapidfuzz",
    "rich",
    "scipy",
    "sklearn",
    "IPython",
    "jupyter_client",
    "sqlite3",
    "starlette",
    "tokenizers",
    "typer",
    "unittest",
    "uvicorn",
    "uvloop",
    "websockets",
    "yaml",
]


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_the_public_names_are_these():
    assert sorted(parlour.__all__) == NAMES
    assert all(hasattr(parlour, name) for name in NAMES)


def test_the_words_of_a_session_are_these():
    assert public(parlour.Session) == SESSION


def test_plain_functions_have_all_the_words_but_those_that_are_async_by_nature():
    assert SESSION - public(parlour.BlockingSession) <= {"gather", "race", "stream"}
    assert public(parlour.BlockingSession) <= SESSION


def test_the_hooks_of_an_app_are_these():
    assert public(parlour.App) == {
        "agent",
        "agent_of",
        "attach",
        "broadcast",
        "causes_of",
        "on_close",
        "on_feedback",
        "on_message",
        "on_open",
        "on_reminder",
        "on_signal",
        "on_stop",
        "on_wake",
        "profile",
        "profile_named",
        "profiles",
        "settings",
        "starters",
        "starters_for",
        "wakers",
    }


def test_every_error_of_parlour_is_caught_as_one():
    from parlour import errors

    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]

    assert kinds
    for kind in kinds:
        assert issubclass(kind, errors.ParlourError | errors.Unwinding)
        assert kind.__doc__
        assert kind.__name__ in str(errors.__doc__).split()


def test_nothing_that_unwinds_a_handler_can_be_caught_as_an_exception():
    from parlour import errors

    for kind in (errors.Unwinding, errors.Hibernated, errors.RoundStopped, errors.RoundDropped):
        assert not issubclass(kind, Exception)


@pytest.mark.parametrize("statement", ["import parlour", "import parlour; parlour.App()"])
def test_importing_parlour_takes_nothing_heavy(statement):
    code = f"import sys; {statement}; print(*sorted({{n.partition('.')[0] for n in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-X", "frozen_modules=off", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert sorted(set(done.stdout.split()) & set(HEAVY)) == []
    assert done.stderr == ""
