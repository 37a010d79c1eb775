"""The table: each figure beside its target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from bench.load import Load

Sense = Literal["at least", "at most", ""]


class Figure(msgspec.Struct, kw_only=True):
    """One line. `value` is a ratio to `reference` of the same run, or has the `unit`.

    `measured` and `compared` are the two sides in words; `value` None means not measured, and
    `note` says why.
    """

    group: str
    name: str
    measured: str = ""
    compared: str = ""
    value: float | None = None
    unit: str = "×"
    sense: Sense = ""
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.target is None:
            return ""
        good = self.value >= self.target if self.sense == "at least" else self.value <= self.target
        return "met" if good else "NOT MET"


class Report(msgspec.Struct, kw_only=True):
    """A whole run: where it ran, what it found, and what makes it doubtful."""

    about: list[str]
    figures: list[Figure]
    loads: list[Load]
    doubts: list[str]


_HEAD = ("Figure", "Measured", "Reference", "Ratio", "Target", "")


def table(report: Report) -> str:
    """The report as Markdown that reads well as plain text, too."""
    rows = [_row(figure) for figure in report.figures]
    lines = [*report.about, "", *_grid(_HEAD, rows)]
    notes = [f"- {f.name}: {f.note}" for f in report.figures if f.note]
    if notes:
        lines += ["", "Notes", "", *notes]
    if report.doubts:
        lines += ["", "Doubts", "", *(f"- {doubt}" for doubt in report.doubts)]
    return "\n".join(lines) + "\n"


def loads_table(report: Report) -> str:
    """Every single load, for whoever doubts a median."""
    head = ("Load", "Rounds/s", "p50 ms", "p99 ms", "max ms", "Server CPU", "Load CPU")
    rows = [
        (
            f"{load.kind}, {load.sessions}",
            f"{load.rate:,.0f}",
            f"{load.p50_ms:.2f}",
            f"{load.p99_ms:.2f}",
            f"{load.max_ms:.1f}",
            f"{100 * load.server_cpu:.0f} %",
            f"{100 * load.client_cpu:.0f} %",
            f"{load.cpu_ms_per_round:.4f}",
            f"{load.memory / 1024**2:.0f}",
        )
        for load in report.loads
    ]
    if not rows:
        return ""
    return "\n".join(["", *_grid((*head, "CPU ms/round", "MiB"), rows)]) + "\n"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return [_line(row, widths) for row in (head, rule, *rows)]


def _row(figure: Figure) -> tuple[str, ...]:
    sign = {"at least": "≥ ", "at most": "≤ ", "": ""}[figure.sense]
    return (
        figure.name,
        figure.measured,
        figure.compared,
        _number(figure.value, figure.unit),
        sign + _number(figure.target, figure.unit) if figure.target is not None else "",
        figure.verdict,
    )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
