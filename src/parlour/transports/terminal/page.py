"""What a conversation looks like on a live screen, as text with colours.

Rendered by rich, from Markdown for the bot's messages. Knows no terminal but its width, and makes
harmless all that it is given.
"""

from __future__ import annotations

from io import StringIO
from typing import ClassVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markdown import Heading, Markdown
from rich.padding import Padding
from rich.text import Text

from parlour.events import PartStatus
from parlour.transports.terminal.screen import ShownFile, ShownPart
from parlour.transports.terminal.visible import one_line, visible

_WIDEST = 100
_PART_LINES = 12
_MARKS: dict[PartStatus, tuple[str, str]] = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "stopped": ("■", "bright_black"),
}


class _Heading(Heading):
    """A heading in line with the text; a chat is no page of a book."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        self.text.stylize("bold underline" if self.tag == "h1" else "bold")
        yield self.text


class _Markdown(Markdown):
    elements: ClassVar = {**Markdown.elements, "heading_open": _Heading}

    def __init__(self, text: str) -> None:
        super().__init__(text, code_theme="ansi_dark", hyperlinks=False)

    def last_block(self) -> int:
        """The line at which the last of the top-level blocks begins."""
        starts = [token.map[0] for token in self.parsed if token.level == 0 and token.map]
        return starts[-1] if starts else 0


class Page:
    """Renders blocks for the terminal's width, with an empty line after each."""

    def __init__(self, width: int | None = None) -> None:
        self._width = width

    def title(self, title: str, hint: str) -> str:
        return self._render(Text.assemble((one_line(title), "bold"), "  ", (hint, "bright_black")))

    def bot(self, text: str) -> str:
        """A message, or a piece of one that holds whole blocks; `text` is harmless already."""
        return self._render(_Markdown(text)) if text.strip() else ""

    def user(self, text: str, files: tuple[str, ...], note: str) -> str:
        lines = [line for line in (visible(text), *map(_file, files)) if line]
        said = Text("› ", style="bold cyan")
        said.append("\n  ".join("\n".join(lines).split("\n")), style="cyan not bold")
        if note:
            said.append(f"  ({note})", style="bright_black not bold")
        return self._render(said)

    def files(self, files: tuple[ShownFile, ...]) -> str:
        lines = [
            Text.assemble((_file(file.name), "cyan"), "  ", (visible(file.about), "bright_black"))
            for file in files
        ]
        return self._render(Text("\n").join(lines))

    def part(self, part: ShownPart) -> str:
        """A line for a part of the work; what went in and came out of it below, in short."""
        mark, style = _MARKS[part.status]
        line = Text.assemble((mark, style), " ", one_line(part.name, 80))
        line.append(f"  {part.about}".rstrip(), style="bright_black")
        texts = [_shortened(visible(text)) for text in (part.input, part.output) if text.strip()]
        below = [Padding(_Markdown(text), (0, 0, 0, 2)) for text in texts]
        return self._render(Padding(Group(line, *below), (0, 0, 0, 2 * part.depth)))

    def notice(self, text: str) -> str:
        return self._render(Text(visible(text), style="bright_black"))

    def problem(self, text: str) -> str:
        return self._render(Text(visible(text), style="red"))

    def _render(self, block: RenderableType) -> str:
        console = Console(
            file=StringIO(),
            force_terminal=True,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
            width=self._width,
        )
        width = min(console.width, _WIDEST)
        with console.capture() as captured:
            console.print(Padding(block, (0, 0, 1, 0)), width=width)
        lines = captured.get().split("\n")
        return "\n".join(line.rstrip() for line in lines)


class Tail:
    """A message that is being written: its whole blocks are given out once, its end is kept."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._given = ""
        self._looked_at = 0
        self._rendered = ("", [""])
        self.text = ""
        """What has not been given out yet."""

    def grow(self, text: str) -> str:
        """The message is `text` so far: its blocks that are complete now, rendered."""
        safe = visible(text)
        if not safe.startswith(self._given):
            self._given, self._looked_at = "", 0
        self.text = safe[len(self._given) :]
        breaks = self.text.count("\n")
        if breaks == self._looked_at:
            return ""
        self._looked_at = breaks
        lines = self.text.splitlines(keepends=True)
        whole = "".join(lines[: _Markdown(self.text).last_block()])
        if not whole.strip():
            return ""
        self._given += whole
        self.text = self.text.removeprefix(whole)
        self._looked_at = 0
        return self._page.bot(whole)

    def finish(self, text: str) -> str:
        """The message is `text`, and complete: what has not been given out of it, rendered."""
        safe = visible(text)
        rest = safe.removeprefix(self._given) if self._given else safe
        self._given, self.text, self._looked_at = "", "", 0
        return self._page.bot(rest)

    def cut(self) -> str:
        """The message broke off: what was shown of it."""
        return self.finish(self._given + self.text)

    def lines(self) -> list[str]:
        """The end of the message, rendered."""
        if self._rendered[0] != self.text:
            self._rendered = (self.text, self._page.bot(self.text).rstrip("\n").split("\n"))
        return self._rendered[1]


def _shortened(text: str) -> str:
    """As much of it as is looked at in passing; never half a block of code."""
    lines = text.splitlines()
    if len(lines) <= _PART_LINES:
        return text
    kept = lines[:_PART_LINES]
    if sum(line.startswith("```") for line in kept) % 2:
        kept.append("```")
    return "\n".join([*kept, "", f"… {len(lines) - _PART_LINES} more lines"])


def _file(name: str) -> str:
    return f"[{one_line(name)}]"
