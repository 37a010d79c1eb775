"""The commands and their options; each fills a plan and hands it to whoever carries it out."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parlour.app import load_app
from parlour.cli.drawing import flow
from parlour.cli.failures import failures, log_shortly
from parlour.cli.keys import keys
from parlour.cli.options import DEFAULT_STORE, FileArgument, JsonOption, StoreOption, file_of
from parlour.cli.sessions import sessions
from parlour.errors import AppNotLoaded
from parlour.settings import Settings, load_settings

_commands = typer.Typer(
    name="parlour",
    help="Conversations that survive: write one in plain Python, serve it, talk to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_commands.add_typer(sessions, name="sessions")
_commands.command()(flow)
_commands.add_typer(keys, name="keys")


def main() -> None:
    """Run the command that the process's arguments name, and exit with its code."""
    _commands(prog_name="parlour")


def _check_file(app: str) -> None:
    file = file_of(app)
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
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that serve; they need PostgreSQL.")
    ] = 1,
    bus: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            envvar="PARLOUR_BUS",
            help="What workers tell each other by: redis://host; without it by the store's server.",
        ),
    ] = "",
) -> None:
    """Serve an app: a web chat for everybody who comes."""
    with failures(file_of(file)):
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
            workers=workers,
            bus=bus,
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
    with failures(file_of(file)):
        import asyncio

        from parlour.transports.terminal import ChatPlan, chat_here

        app = load_app(file)
    with failures():
        _check_store(store)
        plan = ChatPlan(
            app=app,
            store=store,
            settings=app.own_settings or _settings_beside(file_of(file)),
            session=session,
            resume=lambda id_: _resume(file, store, id_),
        )
        log_shortly(file_of(file))
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
    with failures():
        from parlour.cli.scaffold import make_project

        folder = make_project(name, Path())
        typer.echo(f"Made {folder}. Now:\n\n  cd {folder}\n  parlour run app.py --watch --open")


@_commands.command()
def doctor() -> None:
    """Say how sessions' code would be confined here, and what is in the way. Exit code 1 if it is.

    The settings are those of the current folder.
    """
    with failures():
        from parlour.cli.doctor import examine

        findings = examine(load_settings(Path(), os.environ).kernels)
        marks = {True: "ok", False: "wrong", None: "-"}
        for finding in findings:
            typer.echo(f"{marks[finding.good]:5}  {finding.what}: {finding.found}")
        if any(finding.good is False for finding in findings):
            raise typer.Exit(1)


@_commands.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new folder.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy a store with its files and its key, also while a server runs on it."""
    with failures():
        from parlour.cli.keeping import tell_backup
        from parlour.stores.backup import back_up

        typer.echo(tell_backup(back_up(store, target), target, "Wrote"))


@_commands.command()
def migrate(store: StoreOption = DEFAULT_STORE) -> None:
    """Bring the tables of a store in PostgreSQL to this version, also while workers run."""
    with failures():
        import asyncio

        from parlour.cli.keeping import migrate as migrate_store

        for line in asyncio.run(migrate_store(store)):
            typer.echo(line)


@_commands.command()
def workers(store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """List the workers of a store in PostgreSQL: what they own, and how they are."""
    with failures():
        import asyncio

        from parlour.cli.keeping import list_workers

        for line in asyncio.run(list_workers(store, as_json=json)):
            typer.echo(line)


@_commands.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `backup` has made.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make a store out of a backup; nothing that is there already is overwritten."""
    with failures():
        from parlour.cli.keeping import tell_backup
        from parlour.stores.backup import restore as restore_backup

        typer.echo(tell_backup(restore_backup(source, store), store, "Restored"))
