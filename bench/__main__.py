"""`python -m bench`: one table of ratios, printed and written to bench/results/latest.md."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import time
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.figures import FIGURES, Bench, Failed
from bench.machine import LOAD_CORE, SERVER_CORE, pin
from bench.report import Figure, Report, loads_table, table
from bench.servers import RESULTS, DidNotStart


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=FIGURES, metavar="NAME", help=", ".join(FIGURES)
    )
    parser.add_argument("--seconds", type=float, help="how long each load is measured (4)")
    parser.add_argument("--quick", action="store_true", help="less of everything; a smoke test")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    began = time.monotonic()
    pin(LOAD_CORE)
    bench = Bench(seconds=options.seconds or (1.0 if options.quick else 4.0), quick=options.quick)
    figures: list[Figure] = []
    for name in options.only or FIGURES:
        print(f"{name}", file=sys.stderr, flush=True)
        try:
            figures += FIGURES[name](bench)
        except (Failed, DidNotStart) as error:
            figures.append(Figure(group=name, name=name, note=str(error)))
    report = Report(
        about=_about(bench, time.monotonic() - began),
        figures=figures,
        loads=[load for loads in bench.loads.values() for load in loads],
        doubts=bench.doubts,
    )
    text = table(report) + loads_table(report)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.md").write_text(text, encoding="utf-8")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def _about(bench: Bench, seconds: float) -> list[str]:
    here = ", ".join(f"{name} {version(name)}" for name in ("parlour", "uvicorn", "uvloop"))
    sharing = "" if SERVER_CORE != LOAD_CORE else " (ONE core for both: the figures mean little)"
    return [
        f"Parlour's benchmarks, {time.strftime('%Y-%m-%d %H:%M')}, {seconds:.0f} s"
        + (", QUICK: a smoke test, not a measurement" if bench.quick else ""),
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {here}",
        *([f"Against {'; '.join(bench.versions)}"] if bench.versions else []),
        f"{os.cpu_count()} cores: server on {SERVER_CORE}, load generator on {LOAD_CORE}{sharing}",
        f"Medians of {bench.repeat} runs of {bench.seconds:g} s each, in turns",
    ]


if __name__ == "__main__":
    main()
