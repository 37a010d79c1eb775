"""The documentation is run: every Python snippet of the README and of docs/ works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from promises import TARGET, page

_ROOT = Path(__file__).parent.parent
_SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for match in _SNIPPET.finditer(text):
            line = text[: match.start()].count("\n") + 2
            found.append((f"{path.name}:{line}", match.group(1)))
    return found


@pytest.mark.parametrize(("where", "code"), snippets(), ids=[where for where, _ in snippets()])
def test_a_snippet_of_the_documentation_runs(where: str, code: str, tmp_path: Path) -> None:
    del where
    script = tmp_path / "snippet.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_promises_is_what_the_tests_say() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run `python tests/promises.py`"
