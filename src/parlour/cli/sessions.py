"""The commands of `parlour sessions` and their options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from parlour.cli.failures import failures
from parlour.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    SessionArgument,
    StoreOption,
    UserOption,
    file_of,
)
from parlour.errors import Refused

sessions = typer.Typer(
    help="Look at the conversations in a store, and keep it in order.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@sessions.command("ls")
def list_(
    store: StoreOption = DEFAULT_STORE, user: UserOption = None, json: JsonOption = False
) -> None:
    """List conversations, the latest first."""
    with failures():
        import asyncio

        from parlour.cli.conversations import list_sessions

        for line in asyncio.run(list_sessions(store, user=user, as_json=json)):
            typer.echo(line)


@sessions.command("show")
def show(
    session: SessionArgument,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    at: Annotated[
        int | None, typer.Option(min=1, metavar="SEQ", help="As it was after this record.")
    ] = None,
) -> None:
    """Print a conversation as a transcript, or with --json all its records."""
    with failures():
        import asyncio

        from parlour.cli.conversations import show_session

        async def print_all() -> None:
            async for line in show_session(store, session, as_json=json, at=at):
                typer.echo(line)

        asyncio.run(print_all())


@sessions.command("export")
def export(
    names: Annotated[
        list[str],
        typer.Argument(metavar="[ID] TARGET", help="A session, and the zip to be made."),
    ],
    store: StoreOption = DEFAULT_STORE,
    user: UserOption = None,
    notebook: Annotated[
        bool, typer.Option("--notebook", help="TARGET becomes a Jupyter notebook (.ipynb).")
    ] = False,
) -> None:
    """Write a conversation, or all of a user's, into a zip: JSON Lines and files."""
    *ids, target = names
    if notebook and len(ids) != 1:
        raise typer.BadParameter("a notebook is made of one session: give its ID and a TARGET")
    if len(ids) > 1 or (not ids and user is None):
        raise typer.BadParameter("give the ID of a session and a TARGET, or --user and a TARGET")
    with failures():
        import asyncio

        if notebook:
            from parlour.cli.notebooks import export_notebook

            typer.echo(asyncio.run(export_notebook(store, ids[0], user, Path(target))))
            return
        from parlour.cli.keeping import export as export_zip

        typer.echo(asyncio.run(export_zip(store, "".join(ids), user, Path(target))))


@sessions.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="ZIP", help="What `export` has written.")],
    store: StoreOption = DEFAULT_STORE,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Whose they are to be; else whose they were."),
    ] = None,
) -> None:
    """Make conversations of an export, with new ids; what ran there is stopped."""
    with failures():
        import asyncio

        from parlour.cli.keeping import import_ as import_zip

        typer.echo(asyncio.run(import_zip(store, source.absolute(), user)))


@sessions.command("erase")
def erase(
    session: Annotated[
        str, typer.Argument(metavar="[ID]", help="Its first letters do.", show_default=False)
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="All sessions and variables of this user.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Leave nothing of a conversation, or of a user; also while a server runs."""
    if not session and user is None:
        raise typer.BadParameter("give the ID of a session, or --user")
    with failures():
        import asyncio

        from parlour.cli import keeping

        id_, what = asyncio.run(keeping.to_be_erased(store, session, user))
        _make_sure(f"Erase {what}, for ever?", yes=yes)
        typer.echo(asyncio.run(keeping.erase(store, id_, user)))


def _make_sure(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("invalid", f"{question} Nobody is there to be asked; say --yes")
    typer.confirm(question, abort=True)


@sessions.command("fork")
def fork(
    session: SessionArgument,
    store: StoreOption = DEFAULT_STORE,
    at: Annotated[
        int | None, typer.Option(min=1, metavar="SEQ", help="After this record, not the newest.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Run the round anew that ran there; else it is stopped.")
    ] = False,
) -> None:
    """Make a new conversation out of the past of another; print its id."""
    with failures():
        import asyncio

        from parlour.cli.keeping import fork as fork_it

        typer.echo(asyncio.run(fork_it(store, session, at, again=again)))


@sessions.command("replay")
def replay(
    names: Annotated[
        list[str],
        typer.Argument(metavar="[ID] FILE[:APP]", help="A session, and the file of the App."),
    ],
    store: StoreOption = DEFAULT_STORE,
    all_: Annotated[bool, typer.Option("--all", help="The rounds of all sessions.")] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Only rounds that still run: those a start takes up.")
    ] = False,
) -> None:
    """Play stored rounds with an app's code, to see where it has parted from them.

    What they did comes from the log; no step runs and nothing is written. Exit code 1 if any round
    diverges.
    """
    *ids, file = names
    if len(ids) > 1 or bool(ids) == all_:
        raise typer.BadParameter("give the ID of a session and a FILE, or --all and a FILE")
    with failures(file_of(file)):
        import asyncio

        from parlour.app import load_app
        from parlour.cli.rehearsing import Tally, replay_sessions

        app = load_app(file)
    with failures():
        tally = Tally()

        async def print_all() -> None:
            async for line in replay_sessions(
                app, file_of(file).resolve().parent, store, "".join(ids), tally, only_open=open_
            ):
                typer.echo(line)

        asyncio.run(print_all())
        typer.echo(tally.told)
        if tally.diverged:
            raise typer.Exit(1)


@sessions.command("gc")
def collect(
    store: StoreOption = DEFAULT_STORE,
    grace: Annotated[
        float,
        typer.Option(min=0.0, metavar="HOURS", help="Leave alone what is younger than this."),
    ] = 24.0,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Also write the database anew without its free space: conversations wait "
            "meanwhile (some seconds for each gigabyte), and the disk needs its size once more.",
        ),
    ] = False,
) -> None:
    """Remove what is kept for nothing, and say how much that was."""
    with failures():
        import asyncio

        from parlour.cli import keeping

        for line in asyncio.run(keeping.collect(store, hours=grace, compact=compact)):
            typer.echo(line)
