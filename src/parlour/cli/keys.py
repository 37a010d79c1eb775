"""The commands of `parlour keys` and their options."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from parlour.cli.failures import failures
from parlour.cli.options import DEFAULT_STORE, JsonOption, StoreOption

keys = typer.Typer(
    help="Make, list and revoke the keys with which programs talk to an app.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@keys.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Who or what is to use it.")],
    store: StoreOption = DEFAULT_STORE,
    user: Annotated[
        str, typer.Option(metavar="ID", help="Whose sessions it opens; else those of its own.")
    ] = "",
    trusted: Annotated[
        bool,
        typer.Option("--trusted", help="Its holder says in a header for which person he asks."),
    ] = False,
) -> None:
    """Make a key and print it, this once."""
    with failures():
        from parlour.stores.address import keys_for

        token, key = keys_for(store).add(name, user=user, trusted=trusted)
        typer.echo(token)
        typer.echo(f"Keep it now, for it is not shown again. Its sessions: {key.user}", err=True)


@keys.command("ls")
def list_(store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """List the keys; what they are is kept nowhere."""
    with failures():
        from parlour.stores.address import keys_for

        for key in keys_for(store).list():
            shown = msgspec.to_builtins(key)
            del shown["digest"]
            day = time.strftime("%Y-%m-%d", time.gmtime(key.created))
            trusted = "  trusted" if key.trusted else ""
            line = f"{key.id}  {day}  {key.name}  user {key.user}{trusted}"
            typer.echo(msgspec.json.encode(shown).decode() if json else line)


@keys.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|NAME", help="Which one.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Take a key back: it opens nothing any more, at once. Its sessions stay."""
    with failures():
        from parlour.stores.address import keys_for

        revoked = keys_for(store).revoke(key)
        typer.echo(f"Revoked {revoked.id} ({revoked.name})")
