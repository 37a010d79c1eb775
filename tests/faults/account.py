"""What a client owes the wire and is owed by it (docs/wire.md): pure, without a socket.

The visitors of the storms and the strict client of the other tests are both this, over a pipe of
their own. Frames are understood here and nowhere else.
"""

import itertools
from typing import Any

import msgspec

from faults.history import History, Json


class Violation(AssertionError):
    """The server did what the wire does not allow."""


def decode(message: str | bytes) -> list[Json]:
    """The frames of a message."""
    text = message if isinstance(message, str) else message.decode()
    return [msgspec.json.decode(line) for line in text.split("\n")]


def encode(*frames: Json) -> str:
    """Frames as one message."""
    return "\n".join(msgspec.json.encode(frame).decode() for frame in frames)


class Account:
    """One client's place in its sessions, over as many sockets as it takes.

    It believes nothing it is not owed: what the wire does not allow is noted and raised as
    `Violation`. The ids of its commands and nothing else name them: one that has no answer is sent
    again after every return.
    """

    def __init__(self, name: str = "", *, resume: str = "", history: History | None = None) -> None:
        self.name = name
        self.resume = resume
        self.history = history or History(name=name)
        self.streams: dict[tuple[str, int, str], str] = {}
        self.pieces = 0
        self.lives: dict[str, int] = {}
        self.begun_again: dict[str, int] = {}
        """Where an `attach` while attached has asked to begin, until it is live."""
        self.limits: Json = {}
        self.others: list[Json] = []
        self.repeated = 0
        self.greeted = False
        self.pinging = False
        self._rounds: dict[str, int] = {}
        self._recorded: set[tuple[str, int, str]] = set()
        self._ids = itertools.count(1)

    # -- out --------------------------------------------------------------------------------

    def greeting(self) -> list[Json]:
        """What is said on a new socket: hello, where we are, and all that has no answer yet."""
        hello: Json = {"t": "hello", "versions": [1]}
        if self.resume:
            hello["resume"] = self.resume
        frames = [hello]
        for session, place in self.history.places.items():
            frames.append({"t": "attach", "session": session, "after": place})
        frames += self.unanswered()
        if self.pinging:
            frames.append({"t": "ping"})
        self.greeted = False
        self.lives.clear()
        self.begun_again.clear()
        self.streams.clear()
        self.history.note("connected")
        return frames

    def unanswered(self) -> list[Json]:
        """The commands of which it does not know whether they arrived."""
        return [f for command, f in self.history.sent.items() if not self.is_answered(command)]

    def is_answered(self, command: str) -> bool:
        return command in self.history.acks or command in self.history.refused

    def compose(self, kind: str, session: str = "", *, as_: str = "", **fields: Any) -> Json:
        """The frame of a command, which counts as sent from now on."""
        frame: Json = {"t": kind, "id": as_ or f"{self.name}.{next(self._ids)}", **fields}
        if session:
            frame["session"] = session
        self.history.note("sent", frame=frame)
        return frame

    def recompose(self, command: str) -> Json:
        """The frame of a command that was refused, to be sent again."""
        frame = self.history.sent[command]
        self.history.note("sent", frame=frame)
        return frame

    def place(self, session: str, after: int) -> Json:
        """The frame that attaches after a place of one's own choice."""
        self.history.note("placed", session=session, place=after)
        self.lives.pop(session, None)
        return {"t": "attach", "session": session, "after": after}

    # -- in ---------------------------------------------------------------------------------

    def take(self, frame: Json) -> None:
        """Take a frame of the server. Raises `Violation` for what the wire does not allow."""
        try:
            self._take(frame)
        except Violation as violation:
            self.history.note("protest", text=str(violation), frame=frame)
            raise

    def _take(self, frame: Json) -> None:
        match frame["t"]:
            case "hello":
                self._take_hello(frame)
            case "records":
                self._take_records(frame)
            case "live":
                self._take_live(frame["session"], frame["upto"])
            case "delta":
                self._take_delta(frame)
            case "ack":
                self._take_ack(frame)
            case "pong":
                self.pinging = False
            case "refused" if frame.get("id", "") in self.history.sent:
                self._take_refusal(frame)
            case _:
                self.others.append(frame)

    def _take_hello(self, frame: Json) -> None:
        if self.greeted:
            raise Violation("hello came twice")
        if self.history.user and frame["user"] != self.history.user:
            raise Violation("the server took us for somebody else")
        self.greeted = True
        self.limits = frame["limits"]
        self.resume = frame.get("resume", self.resume)
        self.history.note("greeted", user=frame["user"])

    def _take_live(self, session: str, upto: int) -> None:
        place = self.history.places.get(session, 0)
        if upto != place:
            raise Violation(f"live at {upto}, but the place is {place}")
        if session not in self.history.places:
            self.history.note("placed", session=session, place=0)
        self.lives[session] = upto
        self.begun_again.pop(session, None)

    def _take_records(self, frame: Json) -> None:
        session, after = frame["session"], frame["after"]
        place = self.history.places.get(session, 0)
        if after < place and after == self.begun_again.get(session):
            # What was under way when we attached again came first, and comes again.
            self.history.note("placed", session=session, place=after)
            place = after
        if after != place:
            raise Violation(f"a gap or a repeat: records after {after}, our place is {place}")
        events = frame["records"]
        if not events:
            raise Violation(f"a frame without records, after {after}")
        self.history.note("records", session=session, after=after, records=events)
        for event in events:
            if event is None:
                continue
            if event["type"] == "RoundStarted":
                self._rounds[session] = event["round"]
            elif event["type"] == "MessageAdded" and "path" in event:
                self._supersede(session, event)

    def _supersede(self, session: str, event: Json) -> None:
        """The record of a streamed message is the whole text."""
        key = session, self._rounds.get(session, 0), event["path"]
        self._recorded.add(key)
        streamed = self.streams.pop(key, "")
        if not event["text"].startswith(streamed):
            raise Violation(f"streamed {streamed!r}, recorded {event['text']!r}")

    def _take_delta(self, frame: Json) -> None:
        if frame["session"] not in self.lives:
            raise Violation("a delta came before live")
        key = frame["session"], frame["round"], frame["path"]
        if key in self._recorded:
            raise Violation(f"a delta of {key[2]} came after its record: {frame}")
        text = self.streams.get(key, "")
        if frame["offset"] > len(text):
            raise Violation(f"a delta at {frame['offset']} after {len(text)} characters")
        self.streams[key] = text[: frame["offset"]] + frame["text"]
        self.pieces += 1

    def _take_ack(self, frame: Json) -> None:
        command, session, seq = frame["id"], frame["session"], frame["seq"]
        self.repeated += frame.get("repeated", False)
        sent = self.history.sent.get(command)
        if sent is None:
            raise Violation(f"an acknowledgement of {command}, which was never sent")
        answered = self.history.acks.get(command, [])
        self.history.note("acknowledged", id=command, session=session, seq=seq)
        if sent.get("session", session) != session:
            raise Violation(f"{command} was acknowledged for another session")
        if answered and answered[0] != (session, seq):
            raise Violation(f"{command} was acknowledged at {answered[0]}, now {frame}")
        if sent["t"] == "open" and session not in self.history.places:
            self.history.note("placed", session=session, place=0)

    def _take_refusal(self, frame: Json) -> None:
        command = frame["id"]
        if command in self.history.acks:
            raise Violation(f"{command} was acknowledged, then refused: {frame}")
        self.history.note("refused", id=command, frame=frame)

    # -- what was seen ----------------------------------------------------------------------

    def events(self, session: str, kind: str = "") -> list[Json]:
        seen = self.history.seen.get(session, [])
        return [{"seq": seq, **event} for seq, event in seen if kind in ("", event["type"])]

    def texts(self, session: str) -> list[str]:
        """The conversation as `role: text`, questions and answers with it."""
        said: list[str] = []
        for event in self.events(session):
            match event["type"]:
                case "MessageAdded":
                    said.append(f"{event['role']}: {event.get('text', '')}")
                case "QuestionAsked":
                    said.append(f"bot? {event['text']}")
                case "QuestionAnswered":
                    said.append(f"user! {event['text']}")
        return said

    def finished(self, session: str) -> list[str]:
        """How each round ended."""
        return [event["status"] for event in self.events(session, "RoundFinished")]

    def open_question(self, session: str) -> int:
        """The newest open question; 0 if there is none."""
        over = {
            event["question"]
            for kind in ("QuestionAnswered", "QuestionClosed")
            for event in self.events(session, kind)
        }
        asked = [event["seq"] for event in self.events(session, "QuestionAsked")]
        return next((seq for seq in reversed(asked) if seq not in over), 0)

    def tail(self) -> str:
        seen = {session[:8]: records[-4:] for session, records in self.history.seen.items()}
        return f"{seen}, {self.others[-3:]}, refused {list(self.history.refused.values())[-2:]}"
