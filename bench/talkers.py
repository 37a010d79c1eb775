"""How one session talks to each server: opening, saying, and knowing that a round is finished.

A talker is a closed loop: it says the next thing when the round before is finished, for as long
as its meter goes.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from uuid import uuid4

from bench.client import Closed, WebSocket

TEXT = "At what time is breakfast served, please?"
_PATIENCE = 30.0


class Meter:
    """What all talkers of a load have seen."""

    def __init__(self) -> None:
        self.going = False
        self.latencies = array("d")
        self.rounds = 0
        self.failures: list[str] = []
        self._talking = 0
        self._quiet = asyncio.Event()

    def start(self, talkers: list[Talker]) -> None:
        self.going = True
        self._talking = len(talkers)
        self._quiet.clear()
        for talker in talkers:
            talker.begin()

    async def stop(self) -> None:
        """Let the rounds under way finish, so that all are counted."""
        self.going = False
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._quiet.wait()
        except TimeoutError:
            self.fail(f"{self._talking} sessions got no answer within {_PATIENCE:g} s")

    def rest(self) -> None:
        self._talking -= 1
        if not self._talking:
            self._quiet.set()

    def fail(self, what: str) -> None:
        if len(self.failures) < 10:
            self.failures.append(what)


class Talker(WebSocket):
    """One session, from one connection."""

    path = "/"

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter = meter
        self.rounds = 0
        self.after: Callable[[], None] = self._after
        self._began = 0.0
        self._opened = False
        self._wanted = b""
        self._found: asyncio.Future[bytes] | None = None

    async def open(self, host: str, port: int) -> None:
        """Connect, and do what must be done before the first round."""
        async with asyncio.timeout(_PATIENCE):
            await self.connect(host, port, self.path)
            await self.greet()
        self._opened = True

    async def greet(self) -> None:
        """What comes before the first round."""

    def words(self, number: int) -> bytes:
        """The message that starts round `number`."""
        raise NotImplementedError

    def listen(self, payload: bytes) -> None:
        """Calls `finish` when the round is over."""
        raise NotImplementedError

    def begin(self) -> None:
        self.rounds += 1
        words = self.words(self.rounds)
        self._began = perf_counter()
        self.send(words)

    def finish(self) -> None:
        meter = self.meter
        meter.latencies.append(perf_counter() - self._began)
        meter.rounds += 1
        self.after()

    def _after(self) -> None:
        if self.meter.going:
            self.begin()
        else:
            self.meter.rest()

    async def one_round(self) -> float:
        """A round by itself; the seconds it took."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.after = lambda: done.set_result(None)
        self.begin()
        async with asyncio.timeout(_PATIENCE):
            await done
        return self.meter.latencies[-1]

    async def expect(self, wanted: bytes) -> bytes:
        """The next message that contains `wanted`."""
        self._wanted = wanted
        self._found = asyncio.get_running_loop().create_future()
        return await self._found

    def heard(self, payload: bytes) -> None:
        if self._opened:
            self.listen(payload)
        elif self._found is not None and not self._found.done() and self._wanted in payload:
            self._found.set_result(payload)

    def lost(self) -> None:
        error = Closed("the server closed the connection")
        if self._found is not None and not self._found.done():
            self._found.set_exception(error)
        if self._opened:
            self.meter.fail(str(error))


class BareTalker(Talker):
    """An echo: what is said comes back. As long as what Parlour's client sends."""

    path = "/ws"

    def words(self, number: int) -> bytes:
        return _say("0" * 32, number)

    def listen(self, payload: bytes) -> None:
        if payload == _say("0" * 32, self.rounds):
            self.finish()
        else:
            self.meter.fail(f"the echo is another one: {payload[:80]!r}")


class ParlourTalker(Talker):
    """The native wire. A round is over when its say is acknowledged and RoundFinished was seen."""

    path = "/ws"

    async def greet(self) -> None:
        self.send(b'{"t":"hello","versions":[1]}')
        await self.expect(b'"t":"hello"')
        self.send(b'{"t":"open","id":"open"}')
        live = await self.expect(b'"t":"live"')
        self.session = json.loads(live.split(b"\n")[-1])["session"]
        self._acknowledged = self._finished = False

    def words(self, number: int) -> bytes:
        return _say(self.session, number)

    def listen(self, payload: bytes) -> None:
        if b'"type":"RoundFinished"' in payload:
            if b'"status":"done"' not in payload or b"You said: " + TEXT.encode() not in payload:
                self.meter.fail(f"a round went wrong: {payload[:300]!r}")
            self._finished = True
        if b'"t":"ack"' in payload:
            if b'"id":"m%d"' % self.rounds not in payload:
                self.meter.fail(f"another command was acknowledged: {payload[:300]!r}")
            self._acknowledged = True
        elif b'"t":"refused"' in payload:
            self.meter.fail(f"refused: {payload[:300]!r}")
        if self._acknowledged and self._finished:
            self._acknowledged = self._finished = False
            self.finish()


class ChainlitTalker(Talker):
    """Socket.IO over a WebSocket. A round is over when its reply and its `task_end` were seen."""

    path = "/ws/socket.io/?EIO=4&transport=websocket"

    async def greet(self) -> None:
        auth = {
            "sessionId": str(uuid4()),
            "clientType": "webapp",
            "threadId": "",
            "userEnv": "{}",
            "chatProfile": "",
        }
        self.send(b"40" + json.dumps(auth).encode())
        await self.expect(b'40{"sid"')
        self.send(b'42["connection_successful"]')
        await self.expect(b'42["clear_call_fn"')
        self._replied = False

    def words(self, _number: int) -> bytes:
        message = {
            "id": str(uuid4()),
            "name": "user",
            "type": "user_message",
            "output": TEXT,
            "createdAt": datetime.now(UTC).isoformat(),
        }
        event = ["client_message", {"message": message, "fileReferences": []}]
        return b"42" + json.dumps(event).encode()

    def heard(self, payload: bytes) -> None:
        if payload == b"2":
            self.send(b"3")
        else:
            super().heard(payload)

    def listen(self, payload: bytes) -> None:
        if payload.startswith(b'42["new_message"'):
            self._replied = self._replied or b"You said: " in payload
        elif payload.startswith(b'42["task_end"'):
            if not self._replied:
                self.meter.fail("a round had no reply")
            self._replied = False
            self.finish()


class BesserTalker(Talker):
    """BESSER's JSON payloads. Its one reply is the end of the round: nothing else is told."""

    def words(self, _number: int) -> bytes:
        return json.dumps({"action": "user_message", "message": TEXT}).encode()

    def listen(self, payload: bytes) -> None:
        if b"agent_reply_str" in payload and b"You said: " in payload:
            self.finish()
        else:
            self.meter.fail(f"an unexpected answer: {payload[:300]!r}")


def _say(session: str, number: int) -> bytes:
    return f'{{"t":"say","session":"{session}","id":"m{number}","text":"{TEXT}"}}'.encode()


TALKERS: dict[str, type[Talker]] = {
    "bare": BareTalker,
    "plain": BareTalker,
    "parlour": ParlourTalker,
    "flow": ParlourTalker,
    "chainlit": ChainlitTalker,
    "besser": BesserTalker,
}
