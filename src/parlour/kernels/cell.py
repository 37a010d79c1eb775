"""What became of one cell: folded from a kernel's outputs while they come, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from parlour.events import FileRef
from parlour.kernels.kernel import (
    Bundle,
    Cleared,
    Displayed,
    Ended,
    Output,
    Printed,
    Raised,
    Returned,
    Status,
    Updated,
)

_HEAD = 3 / 4
_MOST_OUTPUTS = 500
_MOST_TRACE = 16_000


class Shown(Struct, frozen=True, kw_only=True, tag="shown", tag_field="type", omit_defaults=True):
    """Something displayed, or the value of the last expression (`result`).

    `data` has the small forms by media type, `files` the large ones, as files of the session.
    """

    data: Bundle = {}
    files: dict[str, FileRef] = {}
    metadata: Bundle = {}
    result: bool = False

    @property
    def text(self) -> str:
        """The plain form."""
        found = self.data.get("text/plain", "")
        return found if isinstance(found, str) else ""


CellOutput = Printed | Shown | Raised


class Cell(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell that has ended.

    `status` says how, `reason` why if not well. `restored` names variables that were brought back
    before it began, `lost` those that could not be kept or brought back, with why. `files` are
    those that it wrote into its workspace, `seconds` how long it took.
    """

    status: Status
    reason: str = ""
    outputs: tuple[CellOutput, ...] = ()
    files: tuple[FileRef, ...] = ()
    execution_count: int = 0
    seconds: float = 0.0
    fresh: bool = False
    restored: tuple[str, ...] = ()
    lost: dict[str, str] = {}
    cut: int = 0

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def stdout(self) -> str:
        return "".join(self._printed("stdout"))

    @property
    def stderr(self) -> str:
        return "".join(self._printed("stderr"))

    def _printed(self, name: str) -> Iterator[str]:
        for output in self.outputs:
            if isinstance(output, Printed) and output.name == name:
                yield output.text

    @property
    def result(self) -> str:
        """The plain form of the last expression's value; "" if it had none."""
        for output in reversed(self.outputs):
            if isinstance(output, Shown) and output.result:
                return output.text
        return ""

    @property
    def error(self) -> Raised | None:
        """The exception that ended it."""
        for output in reversed(self.outputs):
            if isinstance(output, Raised):
                return output
        return None

    @property
    def pictures(self) -> tuple[FileRef, ...]:
        """What was displayed as a picture, in order."""
        return tuple(
            ref
            for output in self.outputs
            if isinstance(output, Shown)
            for kind, ref in output.files.items()
            if kind.startswith("image/")
        )

    @property
    def text(self) -> str:
        """All in words: what was printed, displayed, returned and raised, in order."""
        parts: list[str] = []
        for output in self.outputs:
            match output:
                case Printed():
                    parts.append(output.text)
                case Shown():
                    parts.append(_line(output.text))
                case Raised():
                    parts.append(_line("\n".join(output.traceback) or output.evalue))
        if self.reason and self.status not in ("ok", "error"):
            parts.append(_line(self.reason))
        return "".join(parts)


def _line(text: str) -> str:
    return f"{text}\n" if text and not text.endswith("\n") else text


class _Text:
    """Text of which the middle is left out when there is too much."""

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self.name: Literal["stdout", "stderr"] = name
        self.head: list[str] = []
        self.tail = ""
        self.cut = 0

    def value(self) -> Printed:
        middle = f"\n[… {self.cut:,} characters are left out …]\n" if self.cut else ""
        return Printed(name=self.name, text="".join(self.head) + middle + self.tail)


class Collector:
    """Takes a cell's outputs; `live` is told printed text as long as it is kept."""

    def __init__(
        self, *, most_printed: int, most_displayed: int, live: Callable[[str], None]
    ) -> None:
        self._head_left = int(most_printed * _HEAD)
        self._tail_most = most_printed - self._head_left
        self._display_left = most_displayed
        self._live = live
        self._parts: list[_Text | Displayed | Returned | Raised] = []
        self._clear = False
        self.flooded = False
        self.cut = 0

    def take(self, output: Output) -> None:
        match output:
            case Printed():
                self._print(output)
            case Displayed() | Returned():
                self._show(output)
            case Updated():
                self._update(output)
            case Raised():
                self._begin()
                self._parts.append(_bounded(output))
            case Cleared():
                self._clear = True
                if not output.wait:
                    self._begin()
            case _:
                pass

    def _begin(self) -> None:
        if self._clear:
            self._parts.clear()
            self._clear = False

    def _print(self, printed: Printed) -> None:
        self._begin()
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, _Text) or last.name != printed.name:
            if len(self._parts) >= _MOST_OUTPUTS:
                self._flood(len(printed.text))
                return
            last = _Text(printed.name)
            self._parts.append(last)
        text = printed.text
        if self._head_left > 0 and not last.cut and not last.tail:
            kept = text[: self._head_left]
            self._head_left -= len(kept)
            last.head.append(kept)
            self._live(kept)
            text = text[len(kept) :]
        if text:
            whole = last.tail + text
            last.tail = whole[-self._tail_most :] if self._tail_most else ""
            last.cut += len(whole) - len(last.tail)
            if last.cut:
                self._flood(len(text))

    def _flood(self, left_out: int) -> None:
        self.flooded = True
        self.cut += left_out

    def _show(self, shown: Displayed | Returned) -> None:
        self._begin()
        size = _size(shown.data)
        if size > self._display_left or len(self._parts) >= _MOST_OUTPUTS:
            self._flood(size)
            note = (
                f"[an output of {size:,} characters is left out: the cell has displayed too much]"
            )
            if len(self._parts) < _MOST_OUTPUTS:
                self._parts.append(Displayed(data={"text/plain": note}))
            return
        self._display_left -= size
        self._parts.append(shown)

    def _update(self, update: Updated) -> None:
        wanted = update.transient.get("display_id")
        for place, part in enumerate(self._parts):
            if isinstance(part, Displayed) and part.transient.get("display_id") == wanted:
                self._parts[place] = Displayed(
                    data=update.data, metadata=update.metadata, transient=part.transient
                )

    def outputs(self) -> list[Printed | Displayed | Returned | Raised]:
        """All, in order."""
        return [part.value() if isinstance(part, _Text) else part for part in self._parts]


def _size(data: Mapping[str, Any]) -> int:
    return sum(
        len(value) if isinstance(value, str) else len(repr(value)) for value in data.values()
    )


def _bounded(raised: Raised) -> Raised:
    left = _MOST_TRACE
    lines: list[str] = []
    for line in reversed(raised.traceback):
        lines.append(line[-left:] if left else "")
        left = max(0, left - len(line))
    return Raised(
        ename=raised.ename[:200],
        evalue=raised.evalue[:4000],
        traceback=[line for line in reversed(lines) if line],
    )


class Run(Struct, frozen=True, kw_only=True):
    """A cell as its kernel left it, before anything of it is stored."""

    ended: Ended
    outputs: list[Printed | Displayed | Returned | Raised]
    cut: int
    seconds: float
    fresh: bool
    restored: tuple[str, ...]
    lost: dict[str, str]
    written: list[str]
