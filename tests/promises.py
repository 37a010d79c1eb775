"""Which test carries which promise: writes docs/promises.md from the table here and the tests.

`python tests/promises.py` writes it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

_ROOT = Path(__file__).parent.parent
TARGET = _ROOT / "docs" / "promises.md"

PROMISES = {
    "P1": (
        "Isolation",
        "No value, file, event, error or timing side effect of one session reaches another, under "
        "any concurrency.",
    ),
    "P2": (
        "Order",
        "A session's records are numbered 1, 2, 3 … without a gap; every listener sees them in "
        "that order, once.",
    ),
    "P3": (
        "One writer",
        "At most one activation appends; one whose lease is gone is refused by the store, and its "
        "unpublished work is dropped.",
    ),
    "P4": (
        "Exactly-once message",
        "A command carries the client's id; sent twice, ten times or to two workers, it makes one "
        "round, and every sender gets that round.",
    ),
    "P5": (
        "Acknowledged means durable",
        "Nothing is acknowledged or published before it is committed; what was, survives kill -9 "
        "of everything. (Deltas excepted: they may come early and are superseded by the record.)",
    ),
    "P6": (
        "No gap on return",
        "Reading after a seq replays, then goes live, no gap and no repeat; a client that returns "
        "in mid-stream also gets the text so far.",
    ),
    "P7": (
        "A waiting question waits",
        "It survives crash, restart, deployment, eviction from memory and another worker; its "
        "timeout too.",
    ),
    "P8": (
        "Journaled once",
        "A step's recorded result is never computed again; a reply already in the log is never "
        "repeated.",
    ),
    "P9": (
        "Divergence is loud",
        "When replay meets code that no longer matches the journal, the round ends with a clear "
        "event that names both sides; the session stays usable.",
    ),
    "P10": (
        "Idle is free",
        "An idle or waiting session is put out of memory after a while and wakes on its next "
        "command, unseen by anyone.",
    ),
    "P11": (
        "Ends are clean",
        "Close, expiry and erase release kernels, files, leases and rows; export gives a user "
        "everything first; erase leaves nothing.",
    ),
    "P12": (
        "Everything is bounded",
        "Queues, messages, files, rounds, steps, listeners: each has a limit and a policy, both "
        "settings. A slow listener is cut off and may return; an overloaded engine refuses early "
        "and says when to retry.",
    ),
    "P13": (
        "One failure, one round",
        "A handler that raises, hangs or floods ends its own round as failed (with an id the "
        "operator can find; no internals to the user); session and neighbours go on.",
    ),
    "P14": (
        "Stop stops",
        "Cancelling a round cancels what it owns and leaves the session ready.",
    ),
    "P15": (
        "Time travel",
        "Any session can be read as of a seq, forked there, and replayed offline.",
    ),
    "P16": (
        "Old logs load",
        "Every released event shape stays readable; unknown events pass through.",
    ),
    "P17": (
        "Nobody else's",
        "A session belongs to its user. Another's id answers exactly as one that does not exist. "
        "Ids are 128-bit random.",
    ),
}


def carried() -> dict[str, list[tuple[str, str]]]:
    """For each promise the tests that carry it, as (file, name of the test)."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    places = [*sorted((_ROOT / "tests").rglob("test_*.py"))]
    places += sorted((_ROOT / "src" / "parlour" / "testing").glob("*_contract.py"))
    for path in places:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                for promise in _marks(node):
                    found[promise].append((str(path.relative_to(_ROOT)), node.name))
    return found


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [
        argument.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        for argument in decorator.args
        if isinstance(argument, ast.Constant)
        and isinstance(argument.value, str)
        and argument.value in PROMISES
    ]


def page() -> str:
    """docs/promises.md."""
    lines = [
        "# Promises",
        "",
        "What Parlour promises, and the tests that carry each promise. This page is written by",
        "`python tests/promises.py`; a test says when it is out of date. A promise without a test",
        "is one that is still to be kept.",
    ]
    tests = carried()
    for promise, (name, text) in PROMISES.items():
        lines += ["", f"## {promise} {name}", "", text, ""]
        by_file: dict[str, list[str]] = defaultdict(list)
        for file, test in tests.get(promise, []):
            by_file[file].append(test)
        if not by_file:
            lines.append("- No test carries it yet.")
        for file, names in by_file.items():
            lines.append(f"- [{file}](../{file})")
            lines += [f"  - {_sentence(name)}" for name in names]
    return "\n".join(lines) + "\n"


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
