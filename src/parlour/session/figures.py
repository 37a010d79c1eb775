"""Figures of any library as bytes, by what they can do: none of the libraries is imported here."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

PLOTLY = "application/vnd.plotly.v1+json"
VEGA = "application/vnd.vega.v6+json"
VEGA_LITE = "application/vnd.vegalite.v6+json"
_DPI = 160


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure as the page takes it; `title` is its own."""

    content: bytes
    type: str
    title: str


def draw(figure: Any) -> Drawn:
    """Raises `TypeError` for what is no figure."""
    module = type(cast("object", figure)).__module__.partition(".")[0]
    if isinstance(figure, Mapping):
        return _specified(cast("Mapping[str, Any]", figure))
    if module == "plotly":
        return _plotly(json.loads(figure.to_json()))
    if hasattr(figure, "to_dict") and module in ("altair", "hvplot"):
        return _vega(figure.to_dict())
    picture = _picture_of(figure)
    if picture is not None:
        return _matplotlib(picture)
    return _mime(figure)


def _specified(spec: Mapping[str, Any]) -> Drawn:
    if "$schema" in spec:
        return _vega(spec)
    if "data" in spec and ("layout" in spec or "frames" in spec):
        return _plotly(spec)
    raise TypeError(
        "a figure as a dict is a Vega or Vega-Lite specification with its $schema, or one of "
        "Plotly with data and layout"
    )


def _plotly(spec: Mapping[str, Any]) -> Drawn:
    layout = cast("Mapping[str, Any]", spec.get("layout") or {})
    kept = {name: spec[name] for name in ("data", "layout", "frames") if spec.get(name)}
    return Drawn(_json(kept), PLOTLY, _plain(layout.get("title")))


def _vega(spec: Mapping[str, Any]) -> Drawn:
    lite = "vega-lite" in str(spec.get("$schema", "vega-lite"))
    kind = VEGA_LITE if lite else VEGA
    return Drawn(_json(spec), kind, _plain(spec.get("description") or spec.get("title")))


def _json(spec: Any) -> bytes:
    return json.dumps(spec, separators=(",", ":"), default=str, allow_nan=False).encode()


def _plain(words: Any) -> str:
    """A title as the libraries write it: words, lines of them, or an object that has them."""
    if isinstance(words, Mapping):
        words = cast("Mapping[str, Any]", words).get("text")
    lines = cast("object", words)
    if isinstance(lines, list):
        words = " ".join(map(str, words))
    return words if isinstance(words, str) else ""


def _picture_of(figure: Any) -> Any:
    """What of a figure of matplotlib, or of a library built on it, can be saved."""
    if callable(getattr(figure, "savefig", None)) and hasattr(figure, "get_axes"):
        return figure
    for name in ("figure", "fig"):
        inner = getattr(figure, name, None)
        if callable(getattr(inner, "savefig", None)):
            return inner
    if callable(getattr(figure, "gcf", None)):
        return figure.gcf()
    return None


def _matplotlib(figure: Any) -> Drawn:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    titles = [figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""]
    titles += [axes.get_title() for axes in figure.get_axes()]
    title = "; ".join(words for words in titles if words)
    return Drawn(buffer.getvalue(), "image/png", title)


def _mime(figure: Any) -> Drawn:
    """What shows itself to notebooks shows itself here."""
    show: Any = getattr(figure, "_repr_mimebundle_", None)
    shown: Any = show() if callable(show) else None
    bundle = cast("Any", shown[0] if isinstance(shown, tuple) else shown)
    for kind, content in cast("dict[str, Any]", bundle).items() if bundle else ():
        if kind == PLOTLY:
            return _plotly(content)
        if "vegalite" in kind or "vnd.vega." in kind:
            return _vega(content)
        if kind in ("image/png", "image/jpeg", "image/svg+xml"):
            return Drawn(_bytes(content, kind), kind, "")
    for name, kind in (("_repr_png_", "image/png"), ("_repr_svg_", "image/svg+xml")):
        show = getattr(figure, name, None)
        if callable(show):
            return Drawn(_bytes(show(), kind), kind, "")
    raise TypeError(
        f"a {type(figure).__qualname__} is no figure; give one of matplotlib, Plotly or Altair, a "
        "specification of Plotly or Vega-Lite as a dict, or save it and attach an Image"
    )


def _bytes(content: Any, kind: str) -> bytes:
    if isinstance(content, bytes):
        return content
    text = str(content)
    return text.encode() if kind.endswith("xml") else b64decode(text)
