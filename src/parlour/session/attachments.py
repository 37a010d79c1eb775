"""What a reply may bring besides words: pictures, tables, figures, sound, films, pages, buttons.

An attachment becomes a file of the session, so it is durable, exported and erased with it; the
message names it, and says how it is shown. It is packed, that is turned into bytes, where it is
passed: what its author does to a frame or a figure afterwards changes nothing.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from parlour.events import Button, View
from parlour.session.agent import File
from parlour.session.arguments import media_type, plain_text, short_text, whole_number
from parlour.session.figures import PLOTLY, VEGA, VEGA_LITE, draw
from parlour.session.pictures import picture_size, picture_type
from parlour.session.tables import tabulate
from parlour.session.values import encode_value
from parlour.stores.files import safe_name

Source = bytes | bytearray | str | PathLike[str]
"""The bytes themselves, or the path of a file that has them."""

_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg"} | dict.fromkeys(
    (PLOTLY, VEGA, VEGA_LITE), ".json"
)
_INLINE_BYTES = 256 * 1024
"""A file up to this size is read where it is passed; a larger one is copied in a thread."""
_HEAD_BYTES = 64 * 1024
_BUTTONS = 20
_MOST_ROWS = 100_000
_FRAME_HEIGHT = 400
_TALLEST = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """An attachment as bytes, and what is said of it."""

    content: bytes | Path
    type: str
    size: int
    alt: str = ""
    width: int = 0
    height: int = 0
    view: View = ""
    rows: int = 0


class Attachment:
    """Something that is shown with a message. `name` is what the file of it is called."""

    def __init__(self, name: str, pack: Callable[[], Packed]) -> None:
        self.name = safe_name(plain_text("the name of an attachment", name))
        self._pack = pack

    @cached_property
    def packed(self) -> Packed:
        """Its bytes; made once."""
        return self._pack()


class Image(Attachment):
    """A picture: bytes, the path of a file, or a picture of Pillow. `alt` says what it shows.

    `alt` is read to those who cannot see it; "" says that it only decorates. PNG, JPEG, GIF, WebP,
    AVIF and SVG are shown.
    """

    def __init__(self, source: Source | Any, alt: str, *, name: str = "") -> None:
        alt = plain_text("the alternative text of a picture", alt)
        if _is_of(source, "PIL"):
            source = _saved(source)
        elif isinstance(source, str) and source.lstrip().startswith("<"):
            source = source.encode()
        content = _content("a picture", source)

        def pack() -> Packed:
            head = _head(content)
            kind = picture_type(head) or _guessed(_name(name, source, "picture"))
            if not kind.startswith("image/"):
                raise ValueError(
                    "these bytes are no picture that a browser shows; give PNG, JPEG, GIF, WebP, "
                    "AVIF or SVG, or attach them as a File"
                )
            width, height = picture_size(head)
            return _packed(content, kind, alt=alt, width=width, height=height)

        super().__init__(_name(name, source, "picture"), pack)


class Table(Attachment):
    """Rows and columns: of pandas, polars or Arrow, a list of dicts, or a dict of columns.

    The user sorts it and downloads it as CSV. The first `rows` rows are kept; how many there are in
    all is said beside it. A pandas index with a meaning is a column.
    """

    def __init__(self, data: Any, *, name: str = "table", alt: str = "", rows: int = 5000) -> None:
        alt = plain_text("the description of a table", alt)
        most = whole_number("rows", rows, 1)
        if most > _MOST_ROWS:
            raise ValueError(f"a table shows up to {_MOST_ROWS:,} rows; attach the whole as a File")

        def pack() -> Packed:
            text, total = tabulate(data, most)
            about: Any = {"alt": alt, "view": "table", "rows": total}
            return _packed(text.encode("utf-8", "replace"), "text/csv", **about)

        super().__init__(f"{name}.csv" if not name.endswith(".csv") else name, pack)


class Figure(Attachment):
    """A figure of matplotlib, Plotly or Altair, or a Plotly or Vega-Lite specification as a dict.

    Those of Plotly and Altair stay alive in the page, in its theme; one of matplotlib is a
    picture. `alt` says what it shows; by default its title does. `height` is in pixels.
    """

    def __init__(
        self, figure: Any, alt: str = "", *, name: str = "figure", height: int = 0
    ) -> None:
        alt = plain_text("the alternative text of a figure", alt)
        height = min(whole_number("a height", height), _TALLEST)

        def pack() -> Packed:
            drawn = draw(figure)
            size = (0, 0)
            if drawn.type.startswith("image/"):
                size = picture_size(drawn.content[:_HEAD_BYTES])
            shown = alt or drawn.title
            return _packed(
                drawn.content, drawn.type, alt=shown, width=size[0], height=size[1] or height
            )

        super().__init__(name, pack)


class Audio(Attachment):
    """Sound: bytes or the path of a file. `alt` says what is heard."""

    def __init__(self, source: Source, alt: str = "", *, name: str = "", type: str = "") -> None:  # noqa: A002
        super().__init__(*_media("audio", source, alt, name, type or "audio/mpeg"))


class Video(Attachment):
    """A film: bytes or the path of a file. `alt` says what is seen."""

    def __init__(self, source: Source, alt: str = "", *, name: str = "", type: str = "") -> None:  # noqa: A002
        super().__init__(*_media("video", source, alt, name, type or "video/mp4"))


class Pdf(Attachment):
    """A PDF document: bytes or the path of a file; read in the page or in a tab of its own."""

    def __init__(self, source: Source, alt: str = "", *, name: str = "") -> None:
        content = _content("a PDF", source)
        alt = plain_text("the description of a PDF", alt)

        def pack() -> Packed:
            if b"%PDF-" not in _head(content)[:1024]:
                raise ValueError("these bytes are no PDF; attach them as a File")
            return _packed(content, "application/pdf", alt=alt)

        super().__init__(_name(name, source, "document.pdf"), pack)


class Html(Attachment):
    """A page in a frame of its own: its scripts run, and reach neither the chat nor any network.

    `alt` is the frame's title, `height` is in pixels.
    """

    def __init__(
        self, html: str, alt: str = "", *, name: str = "page.html", height: int = _FRAME_HEIGHT
    ) -> None:
        text = plain_text("a page", html)
        alt = plain_text("the title of a page", alt)
        height = min(whole_number("a height", height, 1), _TALLEST)

        def pack() -> Packed:
            return _packed(text.encode(), "text/html", alt=alt, height=height, view="frame")

        super().__init__(name, pack)


class Action:
    """A button: it sends the signal `signal` with `data`, for `@app.on_signal`.

    The data comes back from the user's browser: look at it as at all that users send.
    """

    def __init__(self, label: str, signal: str, data: Any = None) -> None:
        self.button = Button(
            label=_words("the label of a button", label),
            signal=_words("the name of a signal", signal),
            data=encode_value(data)[0],
        )


class Actions:
    """Buttons under a message, up to twenty."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self.buttons = tuple(action.button for action in actions)


Enclosed = Attachment | File | Actions | Action | Path


def sorted_out(
    attachments: Iterable[Enclosed],
) -> tuple[tuple[Attachment | File, ...], tuple[Button, ...]]:
    """What of it are files, and what are buttons. Raises `TypeError` for anything else."""
    files: list[Attachment | File] = []
    buttons: list[Button] = []
    if isinstance(attachments, Attachment | File | Actions | Action | str | bytes | Path):
        raise TypeError("attachments are a list; write attachments=[...]")
    for each in attachments:
        match each:
            case Attachment():
                files.append(each)
            case File():
                files.append(each if each.id else given(each))
            case Path():
                files.append(given(File(path=each)))
            case Actions():
                buttons.extend(each.buttons)
            case Action():
                buttons.append(each.button)
            case _:
                raise TypeError(  # pyright: ignore[reportUnreachable]
                    f"a {type(each).__qualname__} is no attachment; wrap it: Table(frame), "
                    "Figure(figure), Image(source, alt), File(path=...), Actions([...])"
                )
    if len(buttons) > _BUTTONS:
        raise ValueError(f"a message has up to {_BUTTONS} buttons, not {len(buttons)}")
    return tuple(files), tuple(buttons)


def given(file: File) -> Attachment:
    """A file that is not the session's yet, as an attachment."""
    if file.content:
        source: Source = file.content.encode() if isinstance(file.content, str) else file.content
    elif file.path != Path():
        source = file.path
    else:
        raise ValueError("a file needs a path or its content: File(path=...)")
    content = _content("a file", source)
    name = _name(file.name, source, "file")
    kind = media_type(file.type or _guessed(name) or "application/octet-stream")
    return Attachment(name, lambda: _packed(content, kind))


def fits(recorded: Sequence[Any], files: Sequence[Attachment | File]) -> bool:
    """Whether a recorded message brought these: the same names, in the same order.

    What is in them may differ: the same figure is not drawn alike by two versions of a library.
    """
    return len(recorded) == len(files) and all(
        file.name in (ref.name, ref.name.rpartition(".")[0])
        for ref, file in zip(recorded, files, strict=True)
    )


def named(name: str, packed: Packed) -> str:
    """What the file of an attachment is called: with the ending of what came of it."""
    ending = _ENDINGS.get(packed.type, "")
    return name if "." in name[-6:] else name + ending


def _media(
    kind: str, source: Source, alt: str, name: str, type_: str
) -> tuple[str, Callable[[], Packed]]:
    what = "sound" if kind == "audio" else "a film"
    content = _content(what, source)
    alt = plain_text(f"the description of {what}", alt)
    guessed = _guessed(_name(name, source, ""))
    chosen = media_type(guessed if guessed.startswith(kind) else type_)
    return _name(name, source, kind), lambda: _packed(content, chosen, alt=alt)


def _content(what: str, source: Any) -> bytes | Path:
    if isinstance(source, bytes | bytearray):
        return bytes(source)
    if isinstance(source, str | PathLike):
        text = str(fspath(source))  # pyright: ignore[reportUnknownArgumentType]
        if text.startswith(("http:", "https:", "data:")):
            raise ValueError(f"{what} is bytes or a path; fetch {text[:60]} in a step first")
        path = Path(text)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {text!r} to attach")
        return path.read_bytes() if path.stat().st_size <= _INLINE_BYTES else path.resolve()
    raise TypeError(f"{what} is bytes or a path, not {type(source).__qualname__}")


def _packed(content: bytes | Path, kind: str, **about: Any) -> Packed:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return Packed(content=content, type=kind, size=size, **about)


def _head(content: bytes | Path) -> bytes:
    if isinstance(content, bytes):
        return content[:_HEAD_BYTES]
    with content.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _name(name: str, source: object, otherwise: str) -> str:
    if name:
        return name
    if isinstance(source, str):
        return Path(source).name
    return Path(str(source)).name if hasattr(source, "__fspath__") else otherwise


def _guessed(name: str) -> str:
    return mimetypes.guess_type(name)[0] or ""


def _words(what: str, text: object) -> str:
    words = short_text(what, text)
    if not words.strip():
        raise ValueError(f"{what} is empty; say in a word what it does")
    return words


def _is_of(value: object, package: str) -> bool:
    return type(value).__module__.partition(".")[0] == package


def _saved(picture: Any) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
