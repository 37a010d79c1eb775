"""A kernel's variables in a file, and back: one pickle, large buffers beside it and mapped.

Written and read only inside the sandbox: a pickle may run anything. What cannot be kept is left
out and named. Functions keep looking at the kernel's own names after they come back.
"""

# cloudpickle has no types.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import gc
import io
import json
import mmap
import os
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

_MAGIC = b"parlour kernel 1\n"
_HEAD = 64
_ALIGNED = 64
_WHY = 200

Names = dict[str, Any]


class _Globals(dict[str, Any]):
    """Stands for the kernel's names in a pickle, as what functions look things up in."""


class _Writer(cloudpickle.Pickler):
    def __init__(self, out: io.BytesIO, names: Names, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(out, protocol=5, buffer_callback=buffers.append)
        self._globals = _Globals(__name__="__main__")
        self.globals_ref[id(names)] = self._globals

    def persistent_id(self, obj: Any) -> Any:
        return "globals" if obj is self._globals else None


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, names: Names, buffers: list[memoryview]) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._names = names

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002 - there is only one
        return self._names


def save(names: Names, kept: Names, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Write the variables `kept` of the kernel whose globals are `names`; what became of them.

    The file has its name only when it is whole. Raises `OSError`.
    """
    lost: dict[str, str] = {}
    data, buffers = _pickle(names, kept, lost)
    head = {**about, "names": sorted(kept.keys() - lost.keys()), "lost": lost}
    size = _write(folder, json.dumps(head).encode(), data, buffers)
    return {"bytes": size, "names": head["names"], "lost": lost}


def _pickle(
    names: Names, kept: Names, lost: dict[str, str]
) -> tuple[bytes, list[pickle.PickleBuffer]]:
    gc.disable()
    try:
        while True:
            good = {name: value for name, value in kept.items() if name not in lost}
            out, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
            try:
                _Writer(out, names, buffers).dump(good)
            except MemoryError:
                raise
            except Exception:  # a class may do anything when it is pickled
                found = _troublemakers(names, good)
                if not found:
                    raise
                lost.update(found)
                continue
            return out.getvalue(), buffers
    finally:
        gc.enable()


def _troublemakers(names: Names, kept: Names) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in kept.items():
        try:
            _Writer(io.BytesIO(), names, []).dump(value)
        except Exception as error:  # noqa: BLE001 - a class may do anything when it is pickled
            found[name] = f"{type(value).__name__}: {str(error).splitlines()[0][:_WHY]}"
    return found


def _write(folder: Path, head: bytes, data: bytes, buffers: list[pickle.PickleBuffer]) -> int:
    raws = [buffer.raw() for buffer in buffers]
    draft, target = folder / "variables.part", folder / "variables"
    try:
        with draft.open("wb") as out:
            sizes = [len(head), len(data), *(raw.nbytes for raw in raws)]
            index = json.dumps(sizes).encode()
            out.write(_MAGIC + len(index).to_bytes(8, "little") + index + head + data)
            for raw in raws:
                out.write(b"\0" * (-out.tell() % _ALIGNED))
                out.write(raw)
            size = out.tell()
        draft.rename(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return size


def load(names: Names, folder: Path) -> dict[str, Any] | None:
    """Put the saved variables into `names`; what the file tells of them, None if there is none.

    Those that cannot be read any more are in its `lost`.
    """
    path = folder / "variables"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        whole = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
    head, data, buffers = _parts(whole)
    try:
        found: Names = _Reader(data, names, buffers).load()
    except Exception as error:  # noqa: BLE001 - what is loaded runs the user's own code
        why = f"{type(error).__name__}: {error}"[:_WHY]
        head["lost"] = {**head["lost"], **dict.fromkeys(head["names"], why)}
        head["names"] = []
        return head
    names.update(found)
    return head


def _parts(whole: mmap.mmap) -> tuple[dict[str, Any], bytes, list[memoryview]]:
    view = memoryview(whole)
    start = len(_MAGIC) + 8
    if bytes(view[: len(_MAGIC)]) != _MAGIC:
        raise ValueError("that is no checkpoint of a kernel")
    end = start + int.from_bytes(view[len(_MAGIC) : start], "little")
    head_size, data_size, *sizes = json.loads(bytes(view[start:end]))
    head = json.loads(bytes(view[end : end + head_size]))
    place = end + head_size + data_size
    data = bytes(view[end + head_size : place])
    buffers: list[memoryview] = []
    for size in sizes:
        place += -place % _ALIGNED
        buffers.append(view[place : place + size])
        place += size
    if place > len(view):
        raise ValueError("the checkpoint is cut off")
    return head, data, buffers


def worth_keeping(names: Names, hidden: set[str]) -> Names:
    """The variables that are the user's own."""
    return {
        name: value for name, value in names.items() if name not in hidden and not _is_history(name)
    }


def _is_history(name: str) -> bool:
    return (
        name.startswith("__")
        or name == "_exit_code"
        or (name.startswith("_") and not name.strip("_i0123456789"))
    )


def imported(value: object) -> bool:
    return isinstance(value, ModuleType)
