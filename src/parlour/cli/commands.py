"""The commands and their options; each fills a plan and hands it to whoever carries it out."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parlour.app import load_app
from parlour.cli.failures import log_shortly, tell
from parlour.errors import AppNotLoaded, ParlourError
from parlour.settings import Settings, load_settings

DEFAULT_STORE = "sqlite:///parlour.db"

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE[:APP]", help="The file that makes the App.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        envvar="PARLOUR_STORE",
        help="Where conversations are kept: sqlite:///file.db, or memory: to keep nothing.",
    ),
]

_commands = typer.Typer(
    name="parlour",
    help="Conversations that survive: write one in plain Python, serve it, talk to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_sessions = typer.Typer(
    help="Look at the conversations in a store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_commands.add_typer(_sessions, name="sessions")


def main() -> None:
    """Run the command that the process's arguments name, and exit with its code."""
    _commands(prog_name="parlour")


@contextmanager
def _failures(app: str = "") -> Generator[None]:
    """Ends the process with one clear line, or with the user's own traceback."""
    try:
        yield
    except ParlourError as error:
        tell(error)
        raise typer.Exit(1) from None
    except Exception as error:  # noqa: BLE001 - a user's file may raise anything
        tell(error, _file_of(app) if app else None)
        raise typer.Exit(1) from None


def _file_of(app: str) -> Path:
    name = Path(app).name
    return Path(app).with_name(name.partition(":")[0]) if ":" in name else Path(app)


def _check_file(app: str) -> None:
    file = _file_of(app)
    if not file.is_file():
        raise AppNotLoaded(f"there is no file {file}; give the path of the file that makes the App")


def _check_store(address: str) -> None:
    """Open and close the store once: what is wrong with it is said before anything begins."""
    import asyncio

    from parlour.stores.address import open_store, secret_for

    async def check() -> None:
        store = open_store(address)
        await store.open()
        await store.close()

    asyncio.run(check())
    secret_for(address)


@_commands.command()
def run(  # noqa: PLR0917 - typer passes them by name
    file: FileArgument,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    store: StoreOption = DEFAULT_STORE,
    watch: Annotated[
        bool, typer.Option("--watch", help="Load the code again when it changes; sessions go on.")
    ] = False,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = False,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Another site whose pages may talk to this one; repeatable."
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="PREFIX", help="The path under which a proxy serves this.")
    ] = "",
) -> None:
    """Serve an app: a web chat for everybody who comes."""
    with _failures(file):
        _check_file(file)
        _check_store(store)
        from parlour.web.serving import ServePlan, serve

        plan = ServePlan(
            app=file,
            host=host,
            port=port,
            store=store,
            origins=tuple(origin or ()),
            root_path=root_path.rstrip("/"),
            watch=watch,
            open=open_,
        )
        with suppress(KeyboardInterrupt):
            serve(plan)


@_commands.command()
def version() -> None:
    """Print the version of Parlour and of its Python."""
    from importlib.metadata import version as version_of

    python = ".".join(str(part) for part in sys.version_info[:3])
    typer.echo(f"Parlour {version_of('parlour')} on Python {python}")


@_commands.command()
def chat(
    file: FileArgument,
    store: StoreOption = DEFAULT_STORE,
    session: Annotated[
        str, typer.Option(metavar="ID", help="Go on with a session; its first letters do.")
    ] = "",
) -> None:
    """Talk to an app in this terminal."""
    with _failures(file):
        import asyncio

        from parlour.transports.terminal import ChatPlan, chat_here

        app = load_app(file)
    with _failures():
        _check_store(store)
        plan = ChatPlan(
            app=app,
            store=store,
            settings=app.settings or _settings_beside(_file_of(file)),
            session=session,
            resume=lambda id_: _resume(file, store, id_),
        )
        log_shortly(_file_of(file))
        with suppress(KeyboardInterrupt):
            asyncio.run(chat_here(plan))


def _settings_beside(file: Path) -> Settings:
    """The project's settings; whoever chats in a terminal wants to see errors in full."""
    settings = load_settings(file.resolve().parent, os.environ)
    return msgspec.structs.replace(settings, development=True)


def _resume(file: str, store: str, session: str) -> str:
    parts = ["parlour", "chat", file, "--session", session]
    if store not in (DEFAULT_STORE, os.environ.get("PARLOUR_STORE")):
        parts += ["--store", store]
    return shlex.join(parts)


@_commands.command()
def new(
    name: Annotated[str, typer.Argument(help="What to call it; a folder of that name.")],
) -> None:
    """Make a new project that runs."""
    with _failures():
        from parlour.cli.scaffold import make_project

        folder = make_project(name, Path())
        typer.echo(f"Made {folder}. Now:\n\n  cd {folder}\n  parlour run app.py --watch --open")


JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@_sessions.command("ls")
def list_(
    store: StoreOption = DEFAULT_STORE,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this user.")] = None,
    json: JsonOption = False,
) -> None:
    """List conversations, the latest first."""
    with _failures():
        import asyncio

        from parlour.cli.conversations import list_sessions

        for line in asyncio.run(list_sessions(store, user=user, as_json=json)):
            typer.echo(line)


@_sessions.command("show")
def show(
    session: Annotated[str, typer.Argument(metavar="ID", help="Its first letters do.")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Print a conversation as a transcript, or with --json all its records."""
    with _failures():
        import asyncio

        from parlour.cli.conversations import show_session

        for line in asyncio.run(show_session(store, session, as_json=json)):
            typer.echo(line)
