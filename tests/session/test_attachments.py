"""What attachments become: of every library's frames and figures, and of what is none."""

from __future__ import annotations

import csv
import io
import struct
from pathlib import Path
from typing import Any

import pytest

import parlour
from parlour.session.attachments import named
from parlour.session.pictures import picture_size, picture_type

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 640, 480) + b"\x08\x02"
GIF = b"GIF89a" + struct.pack("<HH", 12, 7)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 9 + b"\xff\xc0\x00\x11\x08\x00\x20\x00\x40"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x00" * 8 + b"\x3f\x00\x00\x1f\x00\x00"
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>'


def rows_of(table: parlour.Table) -> list[list[str]]:
    content = table.packed.content
    assert isinstance(content, bytes)
    return list(csv.reader(io.StringIO(content.decode())))


def frames() -> list[Any]:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    columns = {"name": ["Ada", 'said "hi", twice'], "born": [1815, None]}
    return [
        pd.DataFrame(columns),
        pl.DataFrame(columns),
        pa.table(columns),
        pa.table(columns).to_batches()[0],
        columns,
        [{"name": "Ada", "born": 1815}, {"name": 'said "hi", twice'}],
    ]


@pytest.mark.parametrize("place", range(6))
def test_a_frame_of_any_library_is_the_same_table(place: int) -> None:
    table = parlour.Table(frames()[place])

    head, first, second = rows_of(table)
    assert head == ["name", "born"]
    assert (first[0], float(first[1])) == ("Ada", 1815)
    assert second == ['said "hi", twice', ""]
    assert (table.packed.type, table.packed.view, table.packed.rows) == ("text/csv", "table", 2)


@pytest.mark.parametrize("place", range(6))
def test_a_long_table_keeps_its_first_rows_and_says_how_many_there_are(place: int) -> None:
    table = parlour.Table(frames()[place], rows=1)

    assert len(rows_of(table)) == 2
    assert table.packed.rows == 2


def test_an_index_that_means_something_is_a_column() -> None:
    import pandas as pd

    named_index = pd.DataFrame({"n": [1]}, index=pd.Index(["a"], name="key"))

    assert rows_of(parlour.Table(named_index)) == [["key", "n"], ["a", "1"]]
    assert rows_of(parlour.Table(pd.DataFrame({"n": [1]}))) == [["n"], ["1"]]
    assert rows_of(parlour.Table(pd.Series([1.5], name="s"))) == [["s"], ["1.5"]]


def test_figures_of_every_library_are_drawn_and_described() -> None:
    import altair as alt
    import pandas as pd
    import plotly.express as px
    from matplotlib.figure import Figure

    frame = pd.DataFrame({"x": [1, 2], "y": [3, 4]})
    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([1, 2])
    axes.set_title("A line")
    found = {
        name: parlour.Figure(figure).packed
        for name, figure in {
            "matplotlib": drawn,
            "axes": axes,
            "plotly": px.line(frame, x="x", y="y", title="Plotted"),
            "altair": alt.Chart(frame, title="Charted").mark_bar().encode(x="x", y="y"),
        }.items()
    }

    assert found["matplotlib"].type == found["axes"].type == "image/png"
    assert found["matplotlib"].width > 300
    assert found["plotly"].type == "application/vnd.plotly.v1+json"
    assert found["altair"].type == "application/vnd.vegalite.v6+json"
    titles = {name: packed.alt for name, packed in found.items()}
    assert titles == {
        "matplotlib": "A line",
        "axes": "A line",
        "plotly": "Plotted",
        "altair": "Charted",
    }
    assert named("figure", found["plotly"]) == "figure.json"
    assert named("chart.png", found["axes"]) == "chart.png"


def test_a_specification_is_a_figure() -> None:
    vega = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "description": "Bars"}
    plotly = {"data": [], "layout": {"title": {"text": "Nothing"}}}

    assert parlour.Figure(vega).packed.alt == "Bars"
    assert parlour.Figure(plotly).packed.alt == "Nothing"
    assert parlour.Figure(plotly, "Empty axes").packed.alt == "Empty axes"


@pytest.mark.parametrize(
    ("data", "kind", "size"),
    [
        (PNG, "image/png", (640, 480)),
        (GIF, "image/gif", (12, 7)),
        (JPEG, "image/jpeg", (64, 32)),
        (WEBP, "image/webp", (64, 32)),
        (SVG, "image/svg+xml", (0, 0)),
        (PNG[:18], "image/png", (0, 0)),
        (b"%PDF-1.7", "", (0, 0)),
        (b"", "", (0, 0)),
    ],
)
def test_a_picture_tells_its_kind_and_its_size(data, kind, size) -> None:
    assert picture_type(data) == kind
    assert picture_size(data) == size


def test_the_media_type_of_a_picture_is_what_its_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(PNG)

    image = parlour.Image(tmp_path / "photo.jpg", "A house")

    assert (image.name, image.packed.type, image.packed.alt) == (
        "photo.jpg",
        "image/png",
        "A house",
    )
    assert (image.packed.width, image.packed.height) == (640, 480)


def test_a_picture_of_pillow_is_a_picture() -> None:
    from PIL import Image

    assert parlour.Image(Image.new("RGB", (3, 2)), "").packed.width == 3


def test_a_large_file_is_not_read_where_it_is_passed(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\x00" * 1_000_000)

    packed = parlour.Video(str(film)).packed

    assert (packed.content, packed.size, packed.type) == (film.resolve(), 1_000_000, "video/mp4")


class Stranger:
    """Neither a frame nor a figure."""


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda: parlour.Table(Stranger()).packed, "list of dicts"),
        (lambda: parlour.Table(["a"]).packed, "list of dicts"),
        (lambda: parlour.Table({"a": [1], "b": []}).packed, "equally long"),
        (lambda: parlour.Table([], rows=10**9), "attach the whole as a File"),
        (lambda: parlour.Figure(Stranger()).packed, "attach an Image"),
        (lambda: parlour.Figure({"a": 1}).packed, r"its \$schema"),
        (lambda: parlour.Image(b"nothing", "x").packed, "attach them as a File"),
        (lambda: parlour.Image("https://example.org/a.png", "x"), "fetch"),
        (lambda: parlour.Image("/no/such/file.png", "x"), "no file"),
        (lambda: parlour.Image(7, "x"), "bytes or a path"),
        (lambda: parlour.Pdf(b"<html>").packed, "no PDF"),
        (lambda: parlour.Action("", "go"), "is empty"),
        (lambda: parlour.Action("x" * 200, "go"), "128 characters"),
        (lambda: parlour.Action("Go", "go", object()), "cannot be stored"),
    ],
)
def test_what_cannot_be_shown_is_refused_where_it_is_made_in_words_that_help(make, cure) -> None:
    with pytest.raises((TypeError, ValueError, OSError, parlour.NotStorable), match=cure):
        make()


def test_a_lazy_frame_is_to_be_collected() -> None:
    import polars as pl

    with pytest.raises(TypeError, match="collect"):
        _ = parlour.Table(pl.LazyFrame({"a": [1]})).packed
