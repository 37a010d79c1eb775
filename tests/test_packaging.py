"""The web chat gets into the package, or the one who builds it hears why not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from parlour.web.assets import Assets

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The sources as somebody gets them who has just cloned them."""
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    built = shutil.ignore_patterns("page", "node_modules", "__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=built)
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "web", tmp_path / "web", ignore=ignored)
    return tmp_path


def pack(tree: Path, target: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "packed"]
    environment = os.environ | ({} if path is None else {"PATH": path})
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def test_a_wheel_and_an_sdist_have_the_built_chat(tree: Path) -> None:
    # as `make` has built it here: then nothing is to be built again, and no Node is needed
    shutil.copytree(ROOT / "src/parlour/web/page", tree / "src/parlour/web/page")
    for target in ("wheel", "sdist"):
        done = pack(tree, target, path="")
        assert done.returncode == 0, done.stderr
    (wheel,) = (tree / "packed").glob("*.whl")
    assets = Assets(zipfile.Path(wheel, "parlour/web/page/"))
    assert "<parlour-chat" in assets.page()
    assert assets.find("parlour-chat.js") is not None
    (sdist,) = (tree / "packed").glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = [name.partition("/")[2] for name in packed.getnames()]
    assert "src/parlour/web/page/static/parlour-chat.js" in names
    assert "web/ui/src/element.tsx" in names
    assert "web/client/src/client.ts" in names
    assert not any("node_modules" in name for name in names)


def test_a_wheel_that_cannot_have_the_chat_is_not_built(tree: Path) -> None:
    done = pack(tree, "wheel", path="")
    assert done.returncode != 0
    assert "it takes Node 20.19 or newer" in done.stderr
    assert not list((tree / "packed").glob("*.whl"))


def test_an_editable_install_goes_on_without_the_chat_and_says_so(
    hook: ModuleType,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "")
    building = hook.WebChatHook(str(tree), {}, None, None, str(tree), "wheel")
    assert building.dependencies() == [hook.NODE_WHEEL]
    data: dict[str, dict[str, str]] = {"force_include": {}}
    building.initialize("editable", data)
    assert "The web chat is not there" in "".join(capsys.readouterr())
    assert data == {"force_include": {}}
    with pytest.raises(hook.NotBuilt):
        building.initialize("standard", data)


@pytest.mark.parametrize(("version", "taken"), [("v20.18.3", False), ("v20.19.0", True)])
def test_a_node_that_is_too_old_is_not_taken(
    hook: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    taken: bool,
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (hook.Node.on_path() is not None) is taken


@pytest.mark.parametrize(
    ("change", "rebuilt"),
    [
        (lambda web: (web / "ui/src/app.tsx").write_text("//"), True),
        (lambda web: (web / "package-lock.json").write_text("{}"), True),
        (lambda web: (web / "ui/src/app.tsx").rename(web / "ui/src/application.tsx"), True),
        (lambda web: (web / "client/test/events.ts").write_text("//"), False),
        (lambda web: (web / "node_modules").mkdir(), False),
    ],
)
def test_the_chat_is_built_again_when_what_it_is_made_from_has_changed(
    hook: ModuleType, tree: Path, change: Callable[[Path], object], rebuilt: bool
) -> None:
    chat = hook.WebChat(tree)
    assert not chat.is_built
    chat.target.mkdir()
    (chat.target / "digest").write_text(chat.digest())
    assert chat.is_built
    change(tree / "web")
    assert chat.is_built is not rebuilt


def test_without_the_chat_the_page_says_what_to_run(tmp_path: Path) -> None:
    page = Assets(tmp_path).page()
    assert "The web chat has not been built" in page
    assert "pip install --editable ." in page
    assert Assets(tmp_path).find("parlour-chat.js") is None


def test_nothing_outside_of_the_chat_is_served(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.js").write_text("1")
    (tmp_path / "secret.txt").write_text("2")
    assets = Assets(tmp_path)
    found = assets.find("a.js")
    assert found is not None
    assert found.kind == "text/javascript"
    for name in ("../secret.txt", "secret.txt", "", ".", ".."):
        assert assets.find(name) is None
