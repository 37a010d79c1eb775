"""A conversation with code as a Jupyter notebook: messages as text, cells with what came of them.

Pure: it is told what happened, in order, and gives the notebook's JSON (format 4.5).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from parlour.events import FileRef
from parlour.kernels.cell import Cell, CellOutput, Shown
from parlour.kernels.kernel import Printed

Document = dict[str, Any]
Read = Callable[[FileRef], bytes | None]
"""The bytes of a file of the session; None where they are gone or too many."""

_BINARY = ("image/", "audio/", "video/", "application/pdf")


class Notebook:
    """Grows cell by cell. `read` fetches what a cell's outputs have as files."""

    def __init__(self, title: str, read: Read) -> None:
        self._cells: list[Document] = []
        self._read = read
        self._title = title

    def say(self, who: str, text: str, files: tuple[FileRef, ...] = ()) -> None:
        """Somebody said something."""
        names = "".join(f"\n\n*{file.name}* ({file.size:,} bytes)" for file in files)
        self._cells.append(
            {
                "cell_type": "markdown",
                "id": self._id(),
                "metadata": {"parlour": {"role": who}},
                "source": f"**{who}:** {text}{names}",
            }
        )

    def write(self, code: str) -> None:
        """Code was written; what came of it follows, or never came."""
        self._cells.append(
            {
                "cell_type": "code",
                "id": self._id(),
                "metadata": {},
                "source": code,
                "execution_count": None,
                "outputs": [],
            }
        )

    def ran(self, cell: Cell) -> None:
        """What came of the code that was written last."""
        written = next((c for c in reversed(self._cells) if c["cell_type"] == "code"), None)
        if written is None:
            return
        count = cell.execution_count or None
        written["execution_count"] = count
        written["metadata"]["parlour"] = {"status": cell.status, "seconds": cell.seconds}
        written["outputs"] = [self._output(output, count) for output in cell.outputs]

    def _output(self, output: CellOutput, count: int | None) -> Document:
        match output:
            case Printed():
                return {"output_type": "stream", "name": output.name, "text": output.text}
            case Shown():
                return self._shown(output, count)
            case _:
                return {
                    "output_type": "error",
                    "ename": output.ename,
                    "evalue": output.evalue,
                    "traceback": list(output.traceback),
                }

    def _shown(self, output: Shown, count: int | None) -> Document:
        data = dict(output.data)
        for kind, ref in output.files.items():
            raw = self._read(ref)
            if raw is not None:
                data[kind] = _form(kind, raw)
        shown: Document = {"data": data, "metadata": dict(output.metadata)}
        if output.result:
            return {"output_type": "execute_result", "execution_count": count, **shown}
        return {"output_type": "display_data", **shown}

    def _id(self) -> str:
        return hashlib.blake2b(str(len(self._cells)).encode(), digest_size=4).hexdigest()

    def document(self) -> Document:
        """The notebook, as it is written to an .ipynb file."""
        return {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
                "title": self._title,
            },
            "cells": self._cells,
        }


def _form(kind: str, raw: bytes) -> Any:
    """A file's bytes as a notebook has them under a media type."""
    if kind.startswith(_BINARY) and kind != "image/svg+xml":
        return base64.b64encode(raw).decode()
    text = raw.decode("utf-8", "replace")
    if kind.endswith("json"):
        import msgspec

        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text
