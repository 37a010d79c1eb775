"""`parlour sessions export --notebook`: a session's log as a Jupyter notebook."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from parlour.cli.conversations import find_session, opened
from parlour.engine.reading import read_records
from parlour.errors import Refused, StoreUnavailable
from parlour.events import CellWritten, FileRef, MessageAdded, StepFinished
from parlour.kernels.cell import Cell
from parlour.kernels.notebook import Notebook
from parlour.stores.address import files_for
from parlour.stores.files import Files

_LARGEST = 10 * 1024 * 1024


async def export_notebook(address: str, session: str, user: str | None, target: Path) -> str:
    """Write one session into the new file `target`. Raises `Refused` and `StoreError`."""
    files = files_for(address)
    count = 0
    async with opened(address) as store:
        info = await find_session(store, session, user)
        notebook = Notebook(info.title, lambda ref: _bytes(files, info.id, ref))
        cells: set[str] = set()
        async for record in read_records(store, info.id, 0):
            match record.event:
                case MessageAdded(role=role, text=text, files=said):
                    notebook.say(role, text, said)
                case CellWritten(path=path, code=code):
                    cells.add(_cell_of(path))
                    notebook.write(code)
                    count += 1
                case StepFinished(path=path, value=value) if path in cells:
                    notebook.ran(msgspec.json.decode(value, type=Cell))
                case _:
                    pass
    _write(target, msgspec.json.format(msgspec.json.encode(notebook.document())))
    return f"Wrote {target}: {count:,} cells"


def _cell_of(path: str) -> str:
    """The path of the step that says what came of the code at `path`."""
    before, slash, last = path.rpartition("/")
    return f"{before}{slash}cell{last.removeprefix('code')}"


def _bytes(files: Files, session: str, ref: FileRef) -> bytes | None:
    if ref.size > _LARGEST:
        return None
    try:
        return files.path(session, ref.id).read_bytes()
    except (OSError, Refused):
        return None


def _write(target: Path, data: bytes) -> None:
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise StoreUnavailable(f"{target} is there already; give the name of a new file") from None
    except OSError as error:
        raise StoreUnavailable(f"{target} cannot be written ({error.strerror})") from error
    with os.fdopen(handle, "wb") as out:
        out.write(data)
