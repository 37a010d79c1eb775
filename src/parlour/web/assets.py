"""The built web chat: its files as they are served, and what stands in its place if it is missing.

`web/` in the sources becomes `page/` in this package when the package is built; nothing else knows
that folder.
"""

from __future__ import annotations

import gzip
import json
import mimetypes
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from typing import NamedTuple

NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{title}}</title>
<h1>The web chat has not been built</h1>
<p>This is Parlour from its sources, installed where there was no Node and no network. Run
<code>make run</code> or <code>pip install --editable .</code> there once more, with Node 20.19 or
newer on the PATH or with the network, and start the server again.</p>
</html>
"""

_KINDS = {".js": "text/javascript", ".woff2": "font/woff2"}
"""As the operating system's table may not have them."""
_HASHED = re.compile(r"-[\w-]{8}\.\w+$")
"""A name that the build made from the content: what it stands for never changes."""


class Asset(NamedTuple):
    """A file as it is served."""

    content: bytes
    packed: bytes
    tag: str
    kind: str
    lasts: bool


def asset_of(content: bytes, kind: str, *, lasts: bool = False) -> Asset:
    """Some bytes as they are served."""
    tag = f'"{sha256(content).hexdigest()[:20]}"'
    return Asset(content, gzip.compress(content, mtime=0), tag, kind, lasts)


class Assets:
    """The files of a built chat. They are read once: they belong to the code that serves them."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self._folder = folder or package_files("parlour.web").joinpath("page")
        self._find = cache(self._read)

    def page(self) -> str:
        """The page itself, with `{{title}}` where the app's name belongs."""
        page = self._folder.joinpath("index.html")
        return page.read_text(encoding="utf-8") if page.is_file() else NOT_BUILT

    def text_names(self) -> frozenset[str]:
        """The names of the texts that the chat itself says; none if it was not built."""
        names = self._folder.joinpath("texts.json")
        return frozenset(json.loads(names.read_text())) if names.is_file() else frozenset()

    def find(self, name: str) -> Asset | None:
        """One of the files that the page loads, by its name; None if there is none."""
        return self._find(name)

    def _read(self, name: str) -> Asset | None:
        folder = self._folder.joinpath("static")
        known = {entry.name: entry for entry in folder.iterdir()} if folder.is_dir() else {}
        entry = known.get(name)
        if entry is None:
            return None
        content = entry.read_bytes()
        suffix = name[name.rfind(".") :]
        kind = _KINDS.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return asset_of(content, kind, lasts=_HASHED.search(name) is not None)
