"""The other frameworks, each installed from PyPI into an environment of its own in bench/.peers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / ".peers"


class NotInstalled(Exception):
    """A peer cannot be measured; says why."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`package` is what PyPI calls it, `shown` are the parts whose versions matter here."""

    name: str
    package: str
    shown: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return _FOLDER / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


CHAINLIT = Peer(
    name="chainlit",
    package="chainlit",
    shown=("chainlit", "python-socketio", "uvicorn", "websockets", "wsproto", "uvloop"),
)
# Its core alone: the extras (torch, tensorflow, spacy …) classify intents, which an echo has not.
BESSER = Peer(
    name="besser", package="besser-agentic-framework", shown=("besser-agentic-framework",)
)


def install(peer: Peer) -> str:
    """Install a peer unless it is there already; its versions. Raises `NotInstalled`."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise NotInstalled("uv is not installed")
    if not (peer.folder / "installed").exists():
        print(f"installing {peer.package} into {peer.folder} …", file=sys.stderr, flush=True)
        _FOLDER.mkdir(exist_ok=True)
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(peer.folder))
        _run(uv, "pip", "install", "--quiet", "--python", str(peer.python), peer.package)
        (peer.folder / "installed").touch()
    listed = _run(uv, "pip", "list", "--quiet", "--format=json", "--python", str(peer.python))
    versions = {each["name"]: each["version"] for each in json.loads(listed)}
    return ", ".join(f"{name} {versions[name]}" for name in peer.shown if name in versions)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["it did not say why"]
        raise NotInstalled(f"`uv {command[1]}` failed: {last[0][:200]}") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"`uv {command[1]}` took more than 15 minutes") from error
    return done.stdout
