"""`parlour new`: the folder of a new project, which runs and is tested from its first minute.

The files are templates beside this module, with the project's name put in.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from parlour.errors import ParlourError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}[A-Za-z0-9]|[A-Za-z]")
_DOT = "dot-"


class NotMade(ParlourError):
    """The project cannot be made there; nothing was written."""


def make_project(name: str, parent: Path) -> Path:
    """Make the project `name` in a folder of that name in `parent`, and give the folder.

    Raises `NotMade` for a name that is none, and for a folder that has something in it.
    """
    if _NAME.fullmatch(name) is None or name.lower() == "parlour":
        raise NotMade(
            f"{name!r} is no name for a project; use letters, digits, - and _, beginning with a "
            "letter, such as guest-desk; to make it elsewhere, go to that folder first"
        )
    folder = parent / name
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise NotMade(f"{name} is there already and is no folder; choose another name")
    if folder.is_dir() and any(folder.iterdir()):
        raise NotMade(f"the folder {name} is not empty; choose another name, or empty it")
    try:
        _copy(resources.files("parlour.cli").joinpath("project"), folder, name)
    except OSError as error:
        raise NotMade(
            f"{name} cannot be made here ({error.strerror}); mend the permissions of "
            f"{parent.resolve()}, or go to another folder"
        ) from error
    return folder


def _copy(source: Traversable, folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.name == "__pycache__":
            continue
        title = entry.name.removesuffix(".in")
        place = folder / (f".{title.removeprefix(_DOT)}" if title.startswith(_DOT) else title)
        if entry.is_dir():
            _copy(entry, place, name)
        else:
            text = entry.read_text(encoding="utf-8").replace("{{name}}", name)
            place.write_text(text, encoding="utf-8")
