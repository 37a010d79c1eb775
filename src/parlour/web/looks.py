"""How an app looks on its page: `[looks]` in parlour.toml, checked when the server starts.

Colours become a stylesheet, pictures and components are files of the app's own folder. Nothing
here is code of ours to be changed, and nothing of it needs the page's policy to be weaker.
"""

from __future__ import annotations

import mimetypes
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from parlour.errors import BadSettings
from parlour.web.assets import Asset, Assets, asset_of

Colour = str | tuple[str, str]
"""One for both themes, or one for light and one for dark."""

_COLOUR = re.compile(
    r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}|(?:rgb|hsl|oklch|oklab)a?\([0-9a-z.,%/ -]{1,60}\)"
)
_FONT = re.compile(r"[\w \-,'\"]{1,200}")
_LENGTH = re.compile(r"[0-9.]{1,6}(?:px|rem|em)")
_COMPONENT = re.compile(r"[a-z][a-z0-9-]{0,63}")
_PICTURES = {".svg", ".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".ico"}
_MOST_BYTES = 1024 * 1024
_COLOURS = ("accent", "on_accent", "page", "raised", "sunken", "ink", "muted", "line")


class Looks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[looks]`. Colours are CSS colours, or a pair for light and dark; paths are relative."""

    name: str = ""
    """What stands above the conversation, instead of the app's title."""
    welcome: str = ""
    """Markdown that greets where nothing has been said yet."""
    logo: str = ""
    """A picture beside the name."""
    logo_dark: str = ""
    """The same for the dark theme."""
    icon: str = ""
    """The picture in the browser's tab."""
    accent: Colour | None = None
    """Buttons, links and what is chosen."""
    on_accent: Colour | None = None
    """What is written on the accent."""
    page: Colour | None = None
    """The background."""
    raised: Colour | None = None
    """Cards and menus."""
    sunken: Colour | None = None
    """Code, and the user's own words."""
    ink: Colour | None = None
    """Letters."""
    muted: Colour | None = None
    """Letters that matter less."""
    line: Colour | None = None
    """Thin lines."""
    font: str = ""
    """The letters, as CSS names them."""
    radius: str = ""
    """How round corners are: 0px to be square."""
    style: str = ""
    """A stylesheet of your own, for all else."""
    components: str = ""
    """A folder of components: one JavaScript module each."""
    feedback: bool | None = None
    """Whether answers can be rated; None: if the app has `on_feedback`."""
    texts: dict[str, str | dict[str, str]] = {}
    """The chat's own texts: by name, or by language and name."""


class Dressed(NamedTuple):
    """Looks that were checked, with their files."""

    looks: Looks
    files: Mapping[str, Asset]
    components: Mapping[str, Asset]
    stylesheet: Asset | None

    def texts(self) -> dict[str, dict[str, str]]:
        """By language; those of "" are for all."""
        found: dict[str, dict[str, str]] = {"": {}}
        for name, text in self.looks.texts.items():
            if isinstance(text, str):
                found[""][name] = text
            else:
                found[name.lower()] = text
        return found


PLAIN = Dressed(Looks(), {}, {}, None)


def load_looks(folder: Path) -> Dressed:
    """The looks of the app in `folder`. Raises `BadSettings` that says what to mend."""
    path = folder / "parlour.toml"
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return PLAIN
    except (OSError, ValueError, RecursionError) as error:
        raise BadSettings(f"{path} cannot be read: {error}") from error
    if "looks" not in raw:
        return PLAIN
    try:
        looks = msgspec.convert(raw["looks"], Looks)
    except msgspec.ValidationError as error:
        raise BadSettings(f"[looks] in {path.name}: {error}; see docs/looks.md") from error
    return dress(looks, folder)


def dress(looks: Looks, folder: Path) -> Dressed:
    """Check looks and read their files below `folder`. Raises `BadSettings`."""
    _check_words(looks)
    files: dict[str, Asset] = {}
    for name in ("logo", "logo_dark", "icon"):
        path: str = getattr(looks, name)
        if path:
            found = _inside(folder, path, f"looks.{name}")
            if found.suffix.lower() not in _PICTURES:
                raise BadSettings(
                    f"looks.{name} is {path}, which is no picture; give one of "
                    f"{', '.join(sorted(_PICTURES))}"
                )
            files[name.replace("_", "-")] = _read(found, f"looks.{name}")
    own = ""
    if looks.style:
        sheet = _inside(folder, looks.style, "looks.style")
        own = _read(sheet, "looks.style").content.decode("utf-8", "replace")
    rules = _rules(looks)
    css = "\n".join(part for part in (rules, own) if part)
    stylesheet = asset_of(css.encode(), "text/css") if css else None
    return Dressed(looks, files, _components(looks, folder), stylesheet)


def _check_words(looks: Looks) -> None:
    for name in _COLOURS:
        colour: Colour | None = getattr(looks, name)
        for one in (colour,) if isinstance(colour, str) else colour or ():
            if not _COLOUR.fullmatch(one):
                raise BadSettings(
                    f"looks.{name} is {one[:60]!r}, which is no colour; write it like #1d6b52, "
                    'or ["#1d6b52", "#86cfae"] for light and dark'
                )
    if looks.font and not _FONT.fullmatch(looks.font):
        raise BadSettings("looks.font is a list of fonts, like \"Inter, 'Segoe UI', sans-serif\"")
    if looks.radius and not _LENGTH.fullmatch(looks.radius):
        raise BadSettings(f"looks.radius is {looks.radius[:20]!r}; write a length like 12px")
    known = Assets().text_names()
    for name, text in looks.texts.items():
        for one in (name,) if isinstance(text, str) else text:
            if known and one not in known:
                raise BadSettings(
                    f"looks.texts has {one[:60]!r}, which is no text of the chat; "
                    f"the nearest is {_nearest(one, known)!r}"
                )


def _nearest(name: str, known: frozenset[str]) -> str:
    import difflib

    return (difflib.get_close_matches(name, known, 1, 0.0) or sorted(known))[0]


def _rules(looks: Looks) -> str:
    """Custom properties, for the page's element and, where the chat is a part of one, its host."""
    lines: list[str] = []
    for name in _COLOURS:
        colour: Colour | None = getattr(looks, name)
        if isinstance(colour, str):
            lines.append(f"--parlour-{name.replace('_', '-')}: {colour};")
        elif colour is not None:
            light, dark = colour
            lines.append(f"--parlour-{name.replace('_', '-')}: light-dark({light}, {dark});")
    if looks.font:
        lines.append(f"--parlour-font: {looks.font};")
    if looks.radius:
        lines.append(f"--parlour-radius: {looks.radius};")
    return f"parlour-chat, :host {{\n  {' '.join(lines)}\n}}" if lines else ""


def _components(looks: Looks, folder: Path) -> dict[str, Asset]:
    if not looks.components:
        return {}
    place = _inside(folder, looks.components, "looks.components")
    if not place.is_dir():
        raise BadSettings(f"looks.components is {looks.components}, which is no folder")
    found: dict[str, Asset] = {}
    for path in sorted(place.glob("*.js")):
        if not _COMPONENT.fullmatch(path.stem):
            raise BadSettings(
                f"{path.name} cannot name a component; give it a name of small letters, digits "
                "and -, like room-map.js"
            )
        found[path.stem] = _read(path, f"the component {path.name}")
    return found


def _inside(folder: Path, given: str, what: str) -> Path:
    path = (folder / given).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BadSettings(f"{what} is {given}, outside of the app's folder; copy it there")
    if not path.exists():
        raise BadSettings(f"{what} is {given}, but there is no {path}")
    return path


def _read(path: Path, what: str) -> Asset:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadSettings(f"{what}: {path} cannot be read ({error.strerror})") from error
    if len(content) > _MOST_BYTES:
        raise BadSettings(f"{what} has {len(content):,} bytes; at most {_MOST_BYTES:,} are served")
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return asset_of(content, kind or "application/octet-stream")
