"""The contract of a kernel, and what it says: Jupyter's messages as frozen values."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct

from parlour.settings import KernelSettings

Status = Literal[
    "ok",
    "error",
    "interrupted",
    "timeout",
    "out_of_memory",
    "out_of_cpu",
    "workspace_full",
    "too_many_processes",
    "killed",
]
"""How a cell ended. `error`: its code raised; from `interrupted` on it was ended by something."""

Bundle = dict[str, Any]


class Output(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What a cell says while it runs, or at its end."""


class Printed(Output, frozen=True, kw_only=True, tag="stream"):
    """Text that was written to `stdout` or `stderr`."""

    name: Literal["stdout", "stderr"]
    text: str


class Displayed(Output, frozen=True, kw_only=True, tag="display_data"):
    """Something to show: media types to its forms, binary ones in base64."""

    data: Bundle
    metadata: Bundle = {}
    transient: Bundle = {}


class Updated(Output, frozen=True, kw_only=True, tag="update_display_data"):
    """What was displayed under `transient["display_id"]` looks like this now."""

    data: Bundle
    metadata: Bundle = {}
    transient: Bundle = {}


class Returned(Output, frozen=True, kw_only=True, tag="execute_result"):
    """The value of the cell's last expression."""

    data: Bundle
    metadata: Bundle = {}
    execution_count: int = 0


class Raised(Output, frozen=True, kw_only=True, tag="error"):
    """An exception that nobody caught."""

    ename: str
    evalue: str = ""
    traceback: list[str] = []


class Cleared(Output, frozen=True, kw_only=True, tag="clear_output"):
    """What was shown so far is to go, with `wait` when the next output comes."""

    wait: bool = False


class Ended(Output, frozen=True, kw_only=True, tag="execute_reply"):
    """The cell is over; `reason` says why it did not end well."""

    status: Status
    reason: str = ""
    execution_count: int = 0


class Saved(Struct, frozen=True, kw_only=True):
    """Variables that were saved or brought back; `lost` are those that could not be, with why."""

    names: tuple[str, ...] = ()
    lost: dict[str, str] = {}
    bytes: int = 0


class Place(Struct, frozen=True, kw_only=True):
    """Where a kernel works: `work` is all it may write, `state` holds its saved variables."""

    work: Path
    state: Path


class Kernel(Protocol):
    """One running kernel. It does one thing at a time; `interrupt` and `close` come in between.

    When its process ends by itself, what is under way ends with the status `killed`, and whatever
    is asked later raises `KernelDied`.
    """

    @property
    def alive(self) -> bool: ...

    @property
    def over(self) -> str:
        """What it used too much of in this cell: memory, cpu, processes, workspace; else ""."""
        ...

    def execute(self, code: str, *, silent: bool = False) -> AsyncGenerator[Output]:
        """Run a cell; everything it says, in order, then `Ended`.

        Who reads slowly is waited for. Leaving early does not end the cell: interrupt it.
        """
        ...

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell that runs; nothing happens if none does."""
        ...

    async def restart(self) -> None:
        """Begin anew in a fresh process, without any variable."""
        ...

    async def snapshot(self) -> Saved:
        """Keep the variables in the place's `state`. Raises `KernelFailed` and `KernelDied`."""
        ...

    async def restore(self) -> Saved | None:
        """Bring kept variables back; None if there are none. Raises the same."""
        ...

    async def close(self) -> None:
        """End its processes, all of them; more than once is no error."""
        ...


class KernelHost(Protocol):
    """What starts kernels, for all sessions of an engine."""

    @property
    def level(self) -> str:
        """How its kernels are confined: full, landlock or none."""
        ...

    async def start(self, place: Place) -> Kernel:
        """A fresh kernel in `place`. Raises `KernelUnavailable` that says the cure."""
        ...

    async def close(self) -> None:
        """End all kernels."""
        ...


KernelFactory = Callable[[KernelSettings, Path], KernelHost]
"""Makes a host; the path is the folder below which all places will be."""
