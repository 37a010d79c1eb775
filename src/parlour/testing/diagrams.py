"""Pages of the documentation that are drawn from the code: `states.md` and `settings.md`.

`python -m parlour.testing.diagrams [FOLDER]` writes them; a test keeps them equal to the code.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from msgspec import Struct

from parlour.events import Event
from parlour.settings import KernelSettings, Limits, Settings
from parlour.state import MOVES, PHASE_AFTER, Phase

_MADE = "<!-- Made by `python -m parlour.testing.diagrams`; change the code, not this page. -->\n"

_STATES = """
# The states of a session

A session is in one of four phases. The table `MOVES` of `parlour.state` says which event may
follow in which phase; everything else in a log is illegal (`IllegalEvent`). An event of an unknown
type may stand anywhere and changes nothing.

"""

_SETTINGS = """
# Settings

Each setting has a default. `parlour.toml` in the current folder overrides it, a variable of the
environment overrides both; an app's own `parlour.App(settings=…)` replaces those of the file.

```toml
# parlour.toml
idle_after = 30.0

[limits]
threads = 8
```

Sizes are in bytes, times in seconds; numbers begin at 0. In the environment an empty value or
`none` means none; several values stand there with commas between them.
"""


def states_page() -> str:
    """`docs/states.md`: the phases as a diagram, the events as a table."""
    return _MADE + _STATES + _diagram() + "\n" + _moves_table()


def settings_page() -> str:
    """`docs/settings.md`: every setting with its default and what it means."""
    return (
        _MADE
        + _SETTINGS
        + _settings_table("In general", Settings, "PARLOUR_")
        + _settings_table("Limits, in `[limits]`", Limits, "PARLOUR_LIMITS__")
        + _settings_table("Kernels, in `[kernels]`", KernelSettings, "PARLOUR_KERNELS__")
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "states.md": states_page,
    "settings.md": settings_page,
}
"""Every page with the function that makes it."""


def write_pages(folder: Path) -> None:
    """Write all pages into `folder`."""
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


# -- the states -----------------------------------------------------------------------------


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.NEW}"]
    for phase in Phase:
        staying = [event.__name__ for event in MOVES if _after(event, phase) is phase]
        for event in MOVES:
            following = _after(event, phase)
            if following is not None and following is not phase:
                lines.append(f"    {phase} --> {following} : {event.__name__}")
        if staying:
            lines.append(f"    {phase} --> {phase} : {'<br>'.join(staying)}")
    return "\n".join([*lines, f"    {Phase.CLOSED} --> [*]", "```", ""])


def _after(event: type[Event], phase: Phase) -> Phase | None:
    """Where `event` leads from `phase`; None if it may not stand there."""
    return PHASE_AFTER.get(event, phase) if phase in MOVES[event].phases else None


def _moves_table() -> str:
    lines = [
        f"| Event | {' | '.join(Phase)} | Meaning |",
        f"|---{'|:-:' * len(Phase)}|---|",
    ]
    for event in MOVES:
        cells = [_cell(event, phase) for phase in Phase]
        lines.append(f"| `{event.__name__}` | {' | '.join(cells)} | {_first_paragraph(event)} |")
    note = (
        "A cell names the phase that follows; an empty one means that the event is illegal there."
    )
    return "\n".join([note, "", *lines, ""])


def _cell(event: type[Event], phase: Phase) -> str:
    following = _after(event, phase)
    if following is None:
        return ""
    return "stays" if following is phase else f"→ {following}"


def _first_paragraph(kind: type[Any]) -> str:
    paragraph = inspect.getdoc(kind) or ""
    return " ".join(paragraph.partition("\n\n")[0].split())


# -- the settings ---------------------------------------------------------------------------


def _settings_table(title: str, kind: type[Struct], prefix: str) -> str:
    hints, meanings = get_type_hints(kind), _meanings(kind)
    lines = [
        f"\n## {title}\n",
        "| Setting | Type | Default | In the environment | Meaning |",
        "|---|---|---|---|---|",
    ]
    defaults = kind()
    for name in kind.__struct_fields__:
        if hints[name] in (Limits, KernelSettings):
            continue
        default = _shown(getattr(defaults, name))
        lines.append(
            f"| `{name}` | {_type_of(hints[name])} | {default} | `{prefix}{name.upper()}` "
            f"| {meanings[name]} |"
        )
    return "\n".join([*lines, ""])


def _meanings(kind: type[Struct]) -> dict[str, str]:
    """The docstrings below the fields, which Python itself does not keep."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, below in pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found


def _type_of(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return "texts"
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "none",
    }
    parts = get_args(hint) or (hint,)
    return " or ".join(names[part] for part in parts)


def _shown(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(f"`{part}`" for part in cast("tuple[str, ...]", value))
        case _:
            return f"`{value}`" if value else "empty"


if __name__ == "__main__":
    write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
