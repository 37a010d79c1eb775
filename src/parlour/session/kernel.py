"""A session's kernel as handlers see it: each cell runs once, and what came of it is recorded."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

from parlour.events import CellWritten, FileRef, MessageAdded
from parlour.kernels.cell import Cell, Shown
from parlour.session.agent import File
from parlour.session.arguments import plain_text, seconds
from parlour.session.base import file_of
from parlour.session.effects import Effects, Receipt
from parlour.session.part import Part, begun_part
from parlour.session.values import decode_value, digest, encode_value
from parlour.stores.files import safe_name

_LONGEST_SHOWN = 8000


class SessionKernel:
    """Runs Python for one session, in a process of its own whose variables stay."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    async def execute(
        self,
        code: str,
        *,
        files: Iterable[File] = (),
        timeout: float | None = None,
        name: str = "",
    ) -> Cell:
        """Run a cell, once; how it ended is in its `status`, also when it raised.

        It is shown as a part of the work, called `name`, with its code and what it prints while it
        runs. `files` lie beside it, under their names, when it begins. `timeout` is in seconds;
        None: as the settings say. If the worker dies while it runs, `StepInterrupted` is raised: it
        may have taken effect. Raises `KernelUnavailable` (as `StepFailed`, because it is recorded)
        where no kernel can be had.
        """
        code = plain_text("code", code)
        limit = seconds(timeout)
        beside = [(safe_name(file.name), file.path) for file in files]
        begun = begun_part(name or "Code", "code", fenced(code, "python"))
        async with Part(self._effects, begun, cost=False) as part:
            self._effects.record("code", "", lambda path: CellWritten(path=path, code=code))
            live = _Live(part)

            async def run() -> tuple[Raw, str]:
                return encode_value(await self._effects.run_cell(code, beside, limit, live.write))

            data, kind = await self._effects.perform(
                "cell", "", digest(code, [place for place, _ in beside]), run, at_most_once=True
            )
            cell = decode_value(data, kind, Cell)
            part.output = fenced(_shortened(cell.text.rstrip("\n")), "text")
            if not cell.ok:
                part.fail()
            return cell

    async def restart(self) -> None:
        """Forget all variables; the files stay."""

        async def run() -> tuple[Raw, str]:
            await self._effects.restart_kernel()
            return encode_value(None)

        await self._effects.perform("restart", "", "", run)

    def file(self, ref: FileRef) -> File:
        """A file that a cell has written or displayed."""
        return file_of(self._effects, ref)

    def show(self, cell: Cell, text: str = "") -> Receipt:
        """Give the user what a cell has said, as a message: words, pictures, files.

        `text` goes before it.
        """
        parts = [plain_text("a message", text)] if text else []
        said = fenced(_shortened(cell.text.rstrip("\n")), "text")
        if said:
            parts.append(said)
        shown = [
            ref for out in cell.outputs if isinstance(out, Shown) for ref in out.files.values()
        ]
        files = {ref.id: ref for ref in (*shown, *cell.files)}
        return self._effects.record(
            "reply",
            "",
            lambda path: MessageAdded(
                role="bot", text="\n\n".join(parts), files=tuple(files.values()), path=path
            ),
        )


class _Live:
    """Shows what a cell prints, as much as a message may have, as what it is: no Markdown."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._left = _LONGEST_SHOWN

    def write(self, text: str) -> None:
        if not self._part.text:
            text = f"```text\n{text}"
        kept = text[: self._left].encode("utf-8", "replace").decode()
        self._left -= len(kept)
        if kept:
            self._part.write(kept)


def fenced(text: str, language: str) -> str:
    """Text as Markdown that shows it as it is; nothing for nothing."""
    if not text:
        return ""
    fence = "`" * (_longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}\n[…]"


def _longest_run(text: str) -> int:
    """How many backquotes a fence needs at least, less one."""
    longest, run = 2, 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    return longest


class BlockingKernel:
    """The same for a plain handler."""

    def __init__(self, kernel: SessionKernel, effects: Effects) -> None:
        self._kernel = kernel
        self._effects = effects

    def execute(
        self,
        code: str,
        *,
        files: Iterable[File] = (),
        timeout: float | None = None,
        name: str = "",
    ) -> Cell:
        return self._effects.await_from_thread(
            lambda: self._kernel.execute(code, files=files, timeout=timeout, name=name)
        )

    def restart(self) -> None:
        self._effects.await_from_thread(self._kernel.restart)

    def file(self, ref: FileRef) -> File:
        return self._kernel.file(ref)

    def show(self, cell: Cell, text: str = "") -> None:
        self._effects.from_thread(lambda: self._kernel.show(cell, text))
