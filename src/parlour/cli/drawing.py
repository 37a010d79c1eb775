"""`parlour flow`: a flow as Mermaid, SVG, PNG or YAML, and what may be wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parlour.agents.flow import Flow
from parlour.app import load_app
from parlour.cli.failures import failures
from parlour.cli.options import FileArgument, file_of
from parlour.errors import AppNotLoaded


def flow(  # noqa: PLR0917 - typer passes them by name
    file: FileArgument,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print the Mermaid diagram.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Write the diagram there.")] = None,
    png: Annotated[Path | None, typer.Option(help="The same, as a picture of dots.")] = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the flow as YAML.")] = False,
    state: Annotated[str, typer.Option(metavar="NAME", help="Mark this state.")] = "",
) -> None:
    """Check an app's flow and draw it."""
    with failures(file_of(file)):
        agent = load_app(file).agent
        if not isinstance(agent, Flow):
            raise AppNotLoaded(f"the app of {file} is no flow: make it by parlour.App(flow)")
        for remark in agent.remarks():
            typer.echo(remark, err=True)
    with failures():
        from parlour.agents.flow import drawing

        if svg is not None:
            svg.write_text(drawing.svg(agent, state), encoding="utf-8")
        if png is not None:
            png.write_bytes(drawing.png(agent, state))
        for path in (svg, png):
            if path is not None:
                typer.echo(f"Wrote {path}", err=True)
        if yaml:
            typer.echo(agent.to_yaml(), nl=False)
        if mermaid or not (svg or png or yaml):
            typer.echo(agent.mermaid(state), nl=False)
