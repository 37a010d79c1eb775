"""Frames of any library as CSV, by what they can do: none of the libraries is imported here."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, cast

_CELL = 10_000
"""The longest text of a cell, in characters."""


def tabulate(data: Any, most: int) -> tuple[str, int]:
    """The first `most` rows as CSV with a head, and how many there are in all.

    Raises `TypeError` for what is no table.
    """
    shape = cast("object", data)
    package = type(shape).__module__.partition(".")[0]
    if package == "pandas":
        return _pandas(data, most)
    if package == "polars":
        return _polars(data, most)
    if package == "pyarrow":
        return _arrow(data, most)
    if isinstance(shape, Mapping):
        return _columns(data, most)
    if isinstance(shape, Sequence) and not isinstance(shape, str | bytes):
        return _rows(data, most)
    if hasattr(shape, "__arrow_c_stream__"):
        return _arrow(importlib.import_module("pyarrow").table(data), most)
    raise TypeError(
        f"a {type(shape).__qualname__} is no table; give a frame of pandas, polars or Arrow, a "
        "list of dicts, or a dict of columns"
    )


def _pandas(data: Any, most: int) -> tuple[str, int]:
    frame = data.to_frame() if not hasattr(data, "columns") else data
    index = frame.index
    meant = index.nlevels > 1 or index.name is not None or type(index).__name__ != "RangeIndex"
    return str(frame.head(most).to_csv(index=meant, lineterminator="\n")), len(frame)


def _polars(data: Any, most: int) -> tuple[str, int]:
    if hasattr(data, "collect"):
        raise TypeError("a lazy frame has no rows yet; give Table(frame.collect())")
    frame = data.to_frame() if not hasattr(data, "columns") else data
    return _written(frame.columns, frame.head(most).iter_rows()), int(frame.height)


def _arrow(data: Any, most: int) -> tuple[str, int]:
    columns = data.slice(0, most).to_pydict()
    rows = zip(*columns.values(), strict=True)
    return _written(list(columns), rows), int(data.num_rows)


def _columns(data: Mapping[Any, Any], most: int) -> tuple[str, int]:
    columns = {name: list(values) for name, values in data.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError("the columns of a table are equally long")
    total = lengths.pop() if lengths else 0
    rows = zip(*(values[:most] for values in columns.values()), strict=True)
    return _written(list(columns), rows), total


def _rows(data: Sequence[Any], most: int) -> tuple[str, int]:
    shown = data[:most]
    if not all(isinstance(row, Mapping) for row in shown):
        raise TypeError("a table is made from a list of dicts, one for each row")
    names: dict[Any, None] = {}
    for row in shown:
        names.update(dict.fromkeys(row))
    columns = list(names)
    return _written(columns, ([row.get(name) for name in columns] for row in shown)), len(data)


def _written(columns: Any, rows: Any) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow([str(name) for name in columns])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return sheet.getvalue()


def _cell(value: Any) -> Any:
    if value is None or value != value:  # noqa: PLR0124 - what is not a number is not itself
        return ""
    if isinstance(value, int | float):
        return value
    return str(value)[:_CELL]
