"""The house's own rules: who imports whom, how long a file may be, which promises are carried."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
KNOWN = {f"P{number}" for number in range(1, 18)}
CARRIED = KNOWN
"""The promises that are kept by now."""
LONGEST = 600


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _promises_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every `pytest.mark.promise(…)`, also by a name that stands for it, with its line."""
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_mark(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if _is_mark(function) or (isinstance(function, ast.Name) and function.id in names):
            for argument in node.args:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value), node.lineno


def _is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.promise"


def _promised() -> Iterator[tuple[str, str]]:
    # What ships in `parlour.testing` is run by our tests too.
    for path in _sources(TESTS) + _sources(ROOT / "src" / "parlour" / "testing"):
        for promise, line in _promises_in(ast.parse(path.read_text(encoding="utf-8"))):
            yield promise, f"{path.relative_to(ROOT)}:{line}"


def test_rooms_import_only_from_below() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* kept, 0 broken", done.stdout)


@pytest.mark.parametrize(
    "path", _sources(ROOT / "src"), ids=lambda path: str(path.relative_to(ROOT / "src"))
)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{lines} lines; divide it by the nouns it serves"


def test_every_promise_that_a_test_names_is_one_of_ours() -> None:
    unknown = [f"{place} {promise}" for promise, place in _promised() if promise not in KNOWN]
    assert unknown == []


@pytest.mark.parametrize("promise", sorted(CARRIED, key=lambda promise: int(promise[1:])))
def test_a_promise_is_carried_by_a_test(promise: str) -> None:
    assert any(carried == promise for carried, _ in _promised()), f"no test carries {promise}"


def test_the_scan_sees_marks_however_they_are_written() -> None:
    source = """
import pytest
promise = pytest.mark.promise
pytestmark = [pytest.mark.promise("P1")]

@promise("P2")
@pytest.mark.promise("P3")
def test_it(): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=promise("P99"))])
def test_other(x): print("P7")
"""
    found = {promise for promise, _ in _promises_in(ast.parse(source))}
    assert found == {"P1", "P2", "P3", "P99"}
