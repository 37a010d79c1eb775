"""The arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_STORE = "sqlite:///parlour.db"

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE[:APP]", help="The file that makes the App.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        envvar="PARLOUR_STORE",
        help="Where conversations are kept: sqlite:///file.db, postgresql://host/database, "
        "or memory: to keep nothing.",
    ),
]
SessionArgument = Annotated[str, typer.Argument(metavar="ID", help="Its first letters do.")]
UserOption = Annotated[str | None, typer.Option(metavar="ID", help="Only those of this user.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def file_of(app: str) -> Path:
    """The file of `FILE[:APP]`."""
    name = Path(app).name
    return Path(app).with_name(name.partition(":")[0]) if ":" in name else Path(app)
