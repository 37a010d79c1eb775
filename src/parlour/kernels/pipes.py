"""What a kernel prints, in the order it had with what it displays.

Text comes through a pipe and messages through a channel, so the kernel leaves a mark in the pipe
for each message: a token that only its own code can know. Text before the mark was printed before
the message, what is after it waits until the message is there.
"""

from __future__ import annotations

import codecs
import os
from typing import Literal

from parlour.kernels.kernel import Printed

_PIECE = 65536
_MOST = 1024 * 1024


class Pipe:
    """One of the two pipes of a kernel, from where they are read."""

    def __init__(self, descriptor: int, name: Literal["stdout", "stderr"]) -> None:
        self.descriptor = descriptor
        self.token = b""
        self._name: Literal["stdout", "stderr"] = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = bytearray()

    @property
    def waits(self) -> bool:
        """Whether what comes next belongs behind a message."""
        return bool(self.token) and self.token in self._held

    def take(self) -> list[Printed]:
        """What can be shown now."""
        if not self.waits:
            self._fill()
        place = self._held.find(self.token) if self.token else -1
        if place < 0:
            place = len(self._held) - self._begun()
        return self._give(place)

    def pass_mark(self) -> list[Printed]:
        """What comes before the mark of a message that is there; the mark goes."""
        read = 0
        while not self.waits and read < _MOST:
            found = self._fill()
            if not found:
                return self.take()
            read += found
        place = self._held.find(self.token)
        text = self._give(max(0, place))
        if place >= 0:
            del self._held[: len(self.token)]
        return text

    def rest(self) -> list[Printed]:
        """All that there is: the cell is over."""
        read = 0
        while read < _MOST and (found := self._fill()):
            read += found
        if self.token:
            self._held = self._held.replace(self.token, b"")
        return self._give(len(self._held), final=True)

    def _fill(self) -> int:
        try:
            piece = os.read(self.descriptor, _PIECE)
        except OSError:
            return 0
        self._held += piece
        return len(piece)

    def _begun(self) -> int:
        """How many bytes at the end may be the beginning of a mark."""
        for count in range(min(len(self.token) - 1, len(self._held)), 0, -1):
            if self._held.endswith(self.token[:count]):
                return count
        return 0

    def _give(self, count: int, *, final: bool = False) -> list[Printed]:
        text = self._decoder.decode(bytes(self._held[:count]), final)
        del self._held[:count]
        return [Printed(name=self._name, text=text)] if text else []
