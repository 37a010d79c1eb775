"""A message that is being written: shown live as it grows, recorded once when it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parlour.errors import SessionOver
from parlour.events import TextStreamed

if TYPE_CHECKING:
    from parlour.engine.journal import Journal


class OpenStream:
    """A message that is being written; what is written in one turn of the loop is one delta."""

    __slots__ = ("_journal", "_sent", "done", "path", "recorded", "text")

    def __init__(self, journal: Journal, path: str, recorded: str | None) -> None:
        self._journal = journal
        self._sent = 0
        self.path = path
        self.recorded = recorded is not None
        self.text = recorded or ""
        self.done = recorded is not None

    def write(self, text: str) -> None:
        self._journal.check_alive()
        if self.recorded:
            return
        if self.done:
            raise SessionOver("this stream has ended; begin another one")
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a stream takes text, not {type(text).__name__}")
        self._journal.check_reply(len(self.text) + len(text))
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                "a stream takes valid Unicode; join halves of a character first"
            ) from None
        waits = len(self.text) > self._sent
        self.text += text
        if not waits and text:
            self._journal.flush_soon(self)

    def flush(self) -> None:
        """Show what has been written since the last time."""
        if self.done or len(self.text) <= self._sent:
            return
        piece = self.text[self._sent :]
        delta = TextStreamed(
            round=self._journal.number, path=self.path, offset=self._sent, text=piece
        )
        self._sent = len(self.text)
        self._journal.show(delta)

    def so_far(self) -> TextStreamed:
        return TextStreamed(round=self._journal.number, path=self.path, offset=0, text=self.text)
