"""Any Jupyter kernel of the machine, through jupyter_client: R, Julia, an environment's own Python.

Slower to start than a fork, and not sandboxed: what it runs may do what the server may do. So it
wants `sandbox = "none"`.
"""

# jupyter_client's types are partly unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from queue import Empty
from typing import Any

import msgspec

from parlour.errors import KernelDied, KernelFailed, KernelUnavailable
from parlour.kernels.kernel import (
    Cleared,
    Displayed,
    Ended,
    Kernel,
    Output,
    Place,
    Printed,
    Raised,
    Returned,
    Saved,
    Status,
    Updated,
)
from parlour.kernels.levels import INSIDE
from parlour.settings import KernelSettings

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_LONGEST_PATH = 80
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "VIRTUAL_ENV", "JUPYTER_PATH")
"""What a kernel gets of the server's environment: nothing that could be a secret."""

_KINDS: dict[str, type[Output]] = {
    "stream": Printed,
    "display_data": Displayed,
    "update_display_data": Updated,
    "execute_result": Returned,
    "error": Raised,
    "clear_output": Cleared,
}
_CHECKPOINT = """
def _parlour(what):
    import builtins, importlib.util as u, json, pathlib, sys
    if "parlour_checkpoint" not in sys.modules:
        spec = u.spec_from_file_location("parlour_checkpoint", {file!r})
        sys.modules["parlour_checkpoint"] = module = u.module_from_spec(spec)
        spec.loader.exec_module(module)
    module, shell = sys.modules["parlour_checkpoint"], get_ipython()
    folder, names = pathlib.Path({state!r}), shell.user_ns
    if what == "save":
        hidden = set(shell.user_ns_hidden) | {{"_parlour"}}
        about = {{"execution_count": shell.execution_count, "python": sys.version}}
        done = module.save(names, module.worth_keeping(names, hidden), folder, about)
    else:
        done = module.load(names, folder)
        if done is not None:
            shell.execution_count = done["execution_count"]
    print(json.dumps(done and {{"names": done["names"], "lost": done["lost"]}}))
try:
    _parlour({what!r})
finally:
    del _parlour
"""


class JupyterHost:
    """Starts kernels of one kernelspec (`KernelHost`)."""

    level = "none"

    def __init__(self, settings: KernelSettings) -> None:
        if settings.sandbox != "none":
            raise KernelUnavailable(
                'kernels of jupyter_client are not sandboxed; write sandbox = "none" under '
                '[kernels] if only you give them code, or take backend = "fork"'
            )
        self._settings = settings
        self._kernels: set[JupyterKernel] = set()

    async def start(self, place: Place) -> Kernel:
        kernel = JupyterKernel(self._settings, place)
        self._kernels.add(kernel)
        try:
            await kernel.begin()
        except BaseException:
            self._kernels.discard(kernel)
            await kernel.close()
            raise
        return kernel

    async def close(self) -> None:
        kernels, self._kernels = self._kernels, set()
        for kernel in kernels:
            await kernel.close()


class JupyterKernel:
    """One kernel of jupyter_client (`Kernel`)."""

    over = ""

    def __init__(self, settings: KernelSettings, place: Place) -> None:
        self._settings = settings
        self._place = place
        self._lock = asyncio.Lock()
        self._manager: Any = None
        self._client: Any = None
        self._dead = True

    @property
    def alive(self) -> bool:
        return not self._dead

    async def begin(self) -> None:
        """Start the process and wait until it answers. Raises `KernelUnavailable`."""
        from jupyter_client.kernelspec import NoSuchKernel
        from jupyter_client.manager import AsyncKernelManager

        name = self._settings.kernelspec
        manager: Any = AsyncKernelManager(kernel_name=name)
        sockets = str(self._place.state / "socket")
        if len(sockets) < _LONGEST_PATH:
            # Sockets in a folder of one's own: nobody else on the machine can reach them.
            self._place.state.chmod(0o700)
            manager.transport, manager.ip = "ipc", sockets
        environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
        try:
            await manager.start_kernel(cwd=str(self._place.work), env=environment)
            self._manager = manager
            self._client = manager.client()
            self._client.start_channels()
            await self._client.wait_for_ready(timeout=_START_SECONDS)
        except NoSuchKernel as error:
            raise KernelUnavailable(
                f"there is no kernel {name!r}; `jupyter kernelspec list` says which there are"
            ) from error
        except (RuntimeError, OSError) as error:
            raise KernelUnavailable(f"the kernel {name!r} did not begin: {error}") from error
        self._dead = False

    async def execute(self, code: str, *, silent: bool = False) -> AsyncGenerator[Output]:
        async with self._lock:
            if self._dead:
                raise KernelDied("the kernel has ended; start a new one")
            asked = self._client.execute(
                code, silent=silent, store_history=not silent, allow_stdin=False
            )
            while True:
                message = await self._message(self._client.get_iopub_msg)
                if message is None:
                    yield Ended(status="killed")
                    return
                if message["parent_header"].get("msg_id") != asked:
                    continue
                kind, content = message["msg_type"], message["content"]
                if kind == "status" and content["execution_state"] == "idle":
                    break
                output = _output(kind, content)
                if output is not None:
                    yield output
            yield await self._reply(asked)

    async def _reply(self, asked: str) -> Ended:
        while True:
            message = await self._message(self._client.get_shell_msg)
            if message is None:
                return Ended(status="killed")
            if message["parent_header"].get("msg_id") == asked:
                return _ended(message["content"])

    async def _message(self, get: Any) -> Any:
        """The next message; None if the process has ended."""
        while True:
            try:
                return await get(timeout=_LOOK_SECONDS)
            except Empty:
                if self._dead or not await self._manager.is_alive():
                    self._dead = True
                    return None

    async def interrupt(self) -> None:
        if not self._dead:
            await self._manager.interrupt_kernel()

    async def kill(self) -> None:
        """End its processes at once."""
        self._dead = True
        if self._manager is not None:
            await self._manager.shutdown_kernel(now=True)

    async def restart(self) -> None:
        await self.close()
        await self.begin()

    async def snapshot(self) -> Saved:
        found = await self._checkpoint("save")
        if found is None:
            raise KernelFailed("this kernel's variables cannot be kept; it runs no IPython")
        return found

    async def restore(self) -> Saved | None:
        if not (self._place.state / "variables").is_file():
            return None
        return await self._checkpoint("load")

    async def _checkpoint(self, what: str) -> Saved | None:
        if "python" not in self._settings.kernelspec:
            return None
        file, state = str(INSIDE / "checkpoint.py"), str(self._place.state)
        said: list[str] = []
        code = _CHECKPOINT.format(file=file, state=state, what=what)
        async for output in self.execute(code, silent=True):
            match output:
                case Printed():
                    said.append(output.text)
                case Raised():
                    raise KernelFailed(f"{output.ename}: {output.evalue}")
                case Ended() if output.status == "killed":
                    raise KernelDied("the kernel ended while it worked; run the cell again")
                case _:
                    pass
        return msgspec.json.decode("".join(said) or "null", type=Saved | None)

    async def close(self) -> None:
        self._dead = True
        client, self._client = self._client, None
        manager, self._manager = self._manager, None
        if client is not None:
            client.stop_channels()
        if manager is not None:
            with contextlib.suppress(RuntimeError, OSError):
                await manager.shutdown_kernel(now=True)


def _output(kind: str, content: dict[str, Any]) -> Output | None:
    type_ = _KINDS.get(kind)
    if type_ is None:
        return None
    try:
        return msgspec.convert({**content, "type": kind}, type_, strict=False)
    except msgspec.ValidationError as error:
        return Raised(ename="OutputUnreadable", evalue=f"an output could not be read: {error}")


def _ended(content: dict[str, Any]) -> Ended:
    count = content.get("execution_count") or 0
    if content["status"] == "ok":
        return Ended(status="ok", execution_count=count)
    name = content.get("ename", "")
    if name == "KeyboardInterrupt":
        return Ended(status="interrupted", execution_count=count)
    reason = f"{name}: {content.get('evalue', '')}"[:2000]
    status: Status = "out_of_memory" if name == "MemoryError" else "error"
    return Ended(status=status, reason=reason, execution_count=count)
