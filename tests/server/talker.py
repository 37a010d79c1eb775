"""A visitor with nothing but HTTP: commands by POST, events from a stream."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
from live_server import LiveServer


class Talker:
    """Somebody with nothing but HTTP."""

    def __init__(
        self, server: LiveServer, *, env: dict[str, str] | None = None, **opening: object
    ) -> None:
        self.http = httpx.Client(base_url=server.url, timeout=20)
        hello = self.send({"t": "hello", "versions": [1], "env": env or {}})[0]
        self.http.headers["Authorization"] = f"Bearer {hello['resume']}"
        self.session = self.send({"t": "open", "id": "o", **opening})[0]["session"]

    def post(self, *frames: dict[str, Any], **headers: str) -> httpx.Response:
        body = "\n".join(json.dumps(frame) for frame in frames)
        return self.http.post("/commands", content=body, headers=headers)

    def send(self, *frames: dict[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.post(*frames).text.splitlines()]

    def command(self, kind: str, id_: str, **fields: object) -> dict[str, Any]:
        return self.send({"t": kind, "session": self.session, "id": id_, **fields})[0]

    def say(self, text: str, id_: str) -> dict[str, Any]:
        return self.send({"t": "say", "session": self.session, "id": id_, "text": text})[0]

    def events(self, **headers: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each frame of the stream, with the id it came under."""
        address = f"/sessions/{self.session}/events"
        with self.http.stream("GET", address, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            newest = ""
            for line in response.iter_lines():
                if line.startswith("id: "):
                    newest = line[4:]
                elif line.startswith("data: "):
                    yield newest, json.loads(line[6:])

    def until(self, text: str, after: str = "0") -> tuple[list[dict[str, Any]], str]:
        """Follow from a place until a bot's message with `text` is recorded."""
        frames = []
        deadline = time.monotonic() + 20
        for place, frame in self.events(**{"Last-Event-ID": after}):
            assert time.monotonic() < deadline, frames
            frames.append(frame)
            if frame["t"] == "records" and any(text in str(event) for event in frame["records"]):
                return frames, place
        raise AssertionError("the stream ended")
