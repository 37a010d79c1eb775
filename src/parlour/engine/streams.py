"""Messages that are being written: shown live as they grow, recorded once, when they are complete.

One whose branch is cancelled ends as far as it came, and says so: in a replay that branch goes no
further than it did.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

from parlour.engine.receipts import Written
from parlour.engine.replay import diverged
from parlour.engine.scope import Scope
from parlour.errors import SessionOver
from parlour.events import Button, Event, FileRef, MessageAdded, PartStreamed, TextStreamed
from parlour.session.effects import Receipt, StreamSink
from parlour.state import Effect
from parlour.storable import text_size

if TYPE_CHECKING:
    from parlour.engine.activation import Activation
    from parlour.engine.run import Run
    from parlour.session.agent import File
    from parlour.session.attachments import Attachment


class OpenStream:
    """A message that is being written; what is written in one turn of the loop is one delta."""

    __slots__ = (
        "_new",
        "_sent",
        "_shown",
        "_size",
        "_streams",
        "actions",
        "done",
        "effect",
        "files",
        "path",
    )

    def __init__(self, streams: Streams, path: str, effect: Effect | None) -> None:
        self._streams = streams
        # In pieces, or each token would copy all before it.
        self._shown: list[str] = []
        self._new: list[str] = []
        self._sent = 0
        self._size = 0
        self.files: tuple[Attachment | File, ...] = ()
        self.actions: tuple[Button, ...] = ()
        self.path = path
        self.effect = effect
        self.done = effect is not None
        if effect is not None:
            self._shown.append(cast("MessageAdded", effect.event).text)

    @property
    def recorded(self) -> bool:
        return self.effect is not None

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "".join((*self._shown, *self._new))

    def write(self, text: str) -> None:
        journal = self._streams.journal
        journal.check_alive()
        if self.recorded:
            return
        if self.done:
            raise SessionOver("this stream has ended; begin another one")
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a stream takes text, not {type(text).__name__}")
        text = text if type(text) is str else str.__str__(text)
        size = text_size(text)
        if size < 0:
            raise ValueError("a stream takes valid Unicode; join halves of a character first")
        journal.check_reply(self._size + size)
        if not text:
            return
        self._size += size
        if not self._new:
            self._streams.flush_soon(self)
        self._new.append(text)

    def flush(self) -> None:
        """Show what has been written since the last time."""
        if self.done or not self._new:
            return
        piece = "".join(self._new)
        delta = self._delta(self._sent, piece)
        self._new.clear()
        self._shown.append(piece)
        self._sent += len(piece)
        self._streams.show(delta)

    def _delta(self, offset: int, piece: str) -> TextStreamed | PartStreamed:
        number = self._streams.journal.number
        return TextStreamed(round=number, path=self.path, offset=offset, text=piece)

    def so_far(self, until: int | None) -> TextStreamed | PartStreamed | None:
        """What has been shown, as one delta; the rest, held back from `until` on, comes itself."""
        text = "".join(self._shown)[:until]
        if not text:
            return None
        return self._delta(0, text)


class Streams:
    """The messages that one run of a round is writing."""

    __slots__ = ("_activation", "_open", "journal")

    def __init__(self, journal: Run, activation: Activation) -> None:
        self.journal = journal
        self._activation = activation
        self._open: dict[str, OpenStream] = {}

    def values(self) -> tuple[OpenStream, ...]:
        return tuple(self._open.values())

    def open(self, path: str) -> OpenStream:
        self.journal.check_alive()
        effect = self.journal.peek(path)
        if effect is None:
            stream = self._open[path] = OpenStream(self, path, None)
            return stream
        if not isinstance(effect.event, MessageAdded):
            raise diverged(path, effect.event, "a stream")
        return OpenStream(self, path, effect)

    async def begin(self, scope: Scope, name: str) -> OpenStream:
        """The same where the handler can wait: what is not recorded begins after all that is."""
        self.journal.check_alive()
        path = scope.path("stream", name)
        if self.journal.peek(path) is None and not self.journal.gone_through:
            await self.journal.hold(scope)
        return self.open(path)

    def recorded(self, sink: StreamSink) -> bool:
        return cast("OpenStream", sink).recorded

    def end(self, sink: StreamSink) -> Receipt | None:
        """The message is complete."""
        seq = self._end(cast("OpenStream", sink))
        return None if seq is None else Written(self._activation, seq)

    async def finish(self, sink: StreamSink, scope: Scope, *, cut: bool) -> None:
        """The same in its turn; `cut`: its branch is cancelled, and it ends as far as it came."""
        stream, journal = cast("OpenStream", sink), self.journal
        if cut:
            if journal.dead is None:
                self._end(stream, cut=True)
            return
        turns = journal.crowd(scope)
        event = None if stream.effect is None else cast("MessageAdded", stream.effect.event)
        try:
            if event is not None and event.cut:
                await journal.stand(scope)
            elif turns is not None and stream.effect is not None:
                await journal.parked(turns.at(stream.effect.seq), scope)
            elif turns is not None and (stream.text or stream.files or stream.actions):
                await journal.parked(turns.do(lambda: self._end(stream)), scope)
                return
        except asyncio.CancelledError:
            if journal.dead is None:
                self._end(stream, cut=True)
            raise
        self._end(stream)

    def _end(self, stream: OpenStream, *, cut: bool = False) -> int | None:
        journal, effect = self.journal, stream.effect
        if effect is not None:
            journal.take(cast("MessageAdded", effect.event))
            return None
        if stream.done:
            return None
        journal.check_alive()
        self._close(stream)
        if cut or not (stream.files or stream.actions):
            return journal.commit(_message(stream, cut=cut)) if stream.text else None
        return self.journal.send(stream.files, partial(_whole, stream))

    def cut_all(self) -> list[Event]:
        """The messages that were being written when the round ended, as far as they came."""
        streams = self.values()
        for stream in streams:
            self._close(stream)
        return [_message(stream, cut=True) for stream in streams if stream.text]

    def _close(self, stream: OpenStream) -> None:
        stream.done = True
        self._open.pop(stream.path, None)
        self._activation.forget_deltas(stream.path)

    def flush_soon(self, stream: OpenStream) -> None:
        self._activation.engine.loop.call_soon(stream.flush)

    def show(self, delta: TextStreamed | PartStreamed) -> None:
        if self.journal.dead is None:
            self._activation.show(delta)


def _whole(stream: OpenStream, files: tuple[FileRef, ...]) -> MessageAdded:
    return MessageAdded(
        role="bot", text=stream.text, files=files, path=stream.path, actions=stream.actions
    )


def _message(stream: OpenStream, *, cut: bool) -> MessageAdded:
    return MessageAdded(role="bot", text=stream.text, path=stream.path, cut=cut)
