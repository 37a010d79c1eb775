"""The bus of Redis or Valkey: publish and subscribe, nothing is kept there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from parlour.errors import BadSettings

try:
    from redis import asyncio as redis
    from redis.exceptions import RedisError
except ImportError as missing:
    raise BadSettings(
        "a bus in Redis needs one more package: pip install 'parlour[redis]'"
    ) from missing

log = logging.getLogger("parlour.engine")

_FAILURES = (RedisError, OSError, TimeoutError)
_SECONDS = 5.0
_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class RedisBus:
    """PUBLISH on the server at `address`, `redis://host:port`. Raises `BadSettings`."""

    most = 256 * 1024

    def __init__(self, address: str) -> None:
        self._name = f"redis://{urlsplit(address).netloc.rpartition('@')[2]}"
        kind: Any = redis.Redis
        try:
            self._redis: Any = kind.from_url(
                address,
                socket_connect_timeout=_SECONDS,
                socket_timeout=_SECONDS,
                socket_keepalive=True,
                health_check_interval=10,
                decode_responses=True,
            )
        except ValueError as error:
            raise BadSettings(
                "the bus has no address of Redis; write redis://host:port or "
                "rediss://user:password@host:port"
            ) from error
        self._task: asyncio.Task[None] | None = None
        self.up = False

    async def open(self, channels: Sequence[str], receive: Callable[[str], None]) -> None:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._listen(channels, receive, ready), name="parlour-bus")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await ready.wait()

    async def publish(self, notes: Sequence[tuple[str, str]]) -> None:
        if not self.up:
            return
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for channel, text in notes:
                pipeline.publish(channel, text)
            await pipeline.execute()
        except _FAILURES as error:
            log.debug("the bus dropped something: %s", type(error).__name__)

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.up = False
        with contextlib.suppress(*_FAILURES):
            await self._redis.aclose()

    async def _listen(
        self, channels: Sequence[str], receive: Callable[[str], None], ready: asyncio.Event
    ) -> None:
        """Hear what there is; again after each loss."""
        pause = _PAUSE
        while True:
            hearing = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await hearing.subscribe(*channels)
                self.up, pause = True, _PAUSE
                ready.set()
                while True:
                    message = await hearing.get_message(timeout=_SECONDS)
                    if message is not None:
                        receive(message["data"])
            except _FAILURES as error:
                if self.up:
                    log.warning(
                        "the bus %s is lost (%s); until it is back workers look into the store "
                        "each second",
                        self._name,
                        type(error).__name__,
                    )
                self.up = False
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            finally:
                with contextlib.suppress(*_FAILURES):
                    await hearing.aclose()
