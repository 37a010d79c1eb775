"""Cells of handlers: run in the session's kernel, their large outputs and files kept as files.

Between `kernels`, which knows no session, and the journal, which keeps what is small.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from parlour.errors import ParlourError, Refused, StoreError
from parlour.events import FileRef
from parlour.kernels.backends import host_for
from parlour.kernels.cell import Cell, CellOutput, Run, Shown
from parlour.kernels.kernel import Displayed, Place, Printed, Raised, Returned
from parlour.kernels.seats import Input, Kernels
from parlour.kernels.workspace import reading
from parlour.stores.files import one_chunk

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

_FOLDER = "kernel"
_INLINE = 8 * 1024
_INLINE_ALL = 64 * 1024
_MOST_FILES = 50
_PIECE = 1024 * 1024
_ENDINGS = {
    "application/vnd.plotly.v1+json": (".plotly.json", "figure"),
    "image/png": (".png", "figure"),
    "image/jpeg": (".jpg", "figure"),
    "image/svg+xml": (".svg", "figure"),
    "text/html": (".html", "table"),
}


class Cells:
    """The kernels of an engine's sessions; none is there before one is wanted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kernels: Kernels | None = None

    @property
    def kernels(self) -> Kernels:
        if self._kernels is None:
            engine = self._engine
            self._kernels = Kernels(
                engine.app.kernels or host_for,
                engine.settings.kernels,
                self.place,
                lambda: engine.files.root,
            )
        return self._kernels

    def place(self, session: str) -> Place:
        """Where a session's kernel works, beside its files."""
        folder = self._engine.files.workspace(session) / _FOLDER
        return Place(work=folder / "work", state=folder / "state")

    async def run(
        self,
        session: str,
        code: str,
        files: Sequence[tuple[str, Path]],
        seconds: float | None,
        live: Callable[[str], None],
    ) -> Cell:
        """Run a cell and keep what came of it. Raises `KernelUnavailable`."""
        inputs = [Input(name, path) for name, path in files]
        done = await self.kernels.run(session, code, files=inputs, seconds=seconds, live=live)
        keeping = _Keeping(self._engine, session)
        outputs = [await keeping.keep(output) for output in done.outputs]
        written = [
            ref
            for relative in done.written[:_MOST_FILES]
            if (ref := await keeping.artifact(self.place(session).work, relative)) is not None
        ]
        left = len(done.written) - _MOST_FILES
        if left > 0:
            keeping.lost["files"] = (
                f"{left} more files were written; the first {_MOST_FILES} are kept"
            )
        cell = _cell(done, outputs, written, keeping.lost)
        return _small_enough(cell, self._engine.settings.limits.value_bytes)

    async def warm_up(self) -> None:
        """Have kernels ready before they are wanted; what is wrong is told at the first cell."""
        with contextlib.suppress(ParlourError):
            await self.kernels.warm_up()

    async def restart(self, session: str) -> None:
        await self.kernels.restart(session)

    async def release(self, session: str) -> None:
        """End the session's kernel, if there is one."""
        if self._kernels is not None:
            await self._kernels.release(session)

    async def close(self) -> None:
        if self._kernels is not None:
            await self._kernels.close()


class _Keeping:
    """Puts what is large in a cell's outputs into files of its session."""

    def __init__(self, engine: Engine, session: str) -> None:
        self._engine = engine
        self._session = session
        self._left = _INLINE_ALL
        self._count: dict[str, int] = {}
        self.lost: dict[str, str] = {}

    async def keep(self, output: Printed | Displayed | Returned | Raised) -> CellOutput:
        if isinstance(output, Printed | Raised):
            return output
        data: dict[str, Any] = {}
        files: dict[str, FileRef] = {}
        for kind, value in output.data.items():
            raw = _bytes_of(kind, value)
            size = len(raw)
            if not _is_binary(kind) and size <= min(_INLINE, self._left):
                self._left -= size
                data[kind] = value
            elif kind == "text/plain":
                data[kind] = f"{str(value)[:1000]}\n[… {size:,} characters …]"
                self._left -= 1000
            else:
                ref = await self._add(one_chunk(raw), self._name(kind), kind)
                if ref is not None:
                    files[kind] = ref
        return Shown(
            data=data,
            files=files,
            metadata=output.metadata if len(repr(output.metadata)) < _INLINE else {},
            result=isinstance(output, Returned),
        )

    def _name(self, kind: str) -> str:
        ending, stem = _ENDINGS.get(kind, (mimetypes.guess_extension(kind) or ".bin", "output"))
        number = self._count[stem] = self._count.get(stem, 0) + 1
        return f"{stem}-{number}{ending}"

    async def artifact(self, folder: Path, relative: str) -> FileRef | None:
        """A file that the cell has written, as a file of the session."""
        name = PurePosixPath(relative).name
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        try:
            with reading(folder, relative) as source:
                return await self._add(_pieces(source), name, kind)
        except OSError:
            # It is gone already, or no plain file.
            return None

    async def _add(self, content: AsyncIterator[bytes], name: str, kind: str) -> FileRef | None:
        limits = self._engine.settings.limits
        files = self._engine.files
        try:
            if files.count(self._session) >= limits.files_per_session:
                raise Refused("too_many", "The session has too many files.")
            return await files.add(
                self._session, content, name=name, type_=kind, limit=limits.upload_bytes
            )
        except Refused as refused:
            self.lost[name] = refused.message
        except StoreError as error:
            self.lost[name] = str(error)
        return None


async def _pieces(source: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(source.read, _PIECE):
        yield piece


def _is_binary(kind: str) -> bool:
    return kind.startswith(("image/", "audio/", "video/")) or kind == "application/pdf"


def _bytes_of(kind: str, value: Any) -> bytes:
    """One form of a bundle as the file that it would be."""
    if not isinstance(value, str):
        return msgspec.json.encode(value)
    if _is_binary(kind) and kind != "image/svg+xml":
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(value)
    return value.encode("utf-8", "replace")


def _cell(done: Run, outputs: list[CellOutput], files: list[FileRef], lost: dict[str, str]) -> Cell:
    return Cell(
        status=done.ended.status,
        reason=done.ended.reason,
        outputs=tuple(outputs),
        files=tuple(files),
        execution_count=done.ended.execution_count,
        seconds=done.seconds,
        fresh=done.fresh,
        restored=done.restored[:_MOST_NAMES],
        lost=dict(list({**done.lost, **lost}.items())[:_MOST_NAMES]),
        cut=done.cut,
    )


_MOST_NAMES = 200


def _small_enough(cell: Cell, limit: int) -> Cell:
    """The cell, with less of what it printed if the log could not hold it."""
    most = 64 * 1024
    while len(msgspec.json.encode(cell)) > limit and most:
        most //= 2
        outputs = tuple(_shortened(output, most) for output in cell.outputs)
        cell = msgspec.structs.replace(cell, outputs=outputs[: max(1, most)])
    return cell


def _shortened(output: CellOutput, most: int) -> CellOutput:
    match output:
        case Printed() if len(output.text) > most:
            return Printed(name=output.name, text=f"{output.text[:most]}\n[…]")
        case Raised():
            return Raised(
                ename=output.ename, evalue=output.evalue[:most], traceback=output.traceback[-1:]
            )
        case _:
            return output
