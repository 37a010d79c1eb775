"""`parlour sessions replay`: stored rounds played with the code that is to be deployed.

Says which rounds part from their journals, and counts; `engine.rehearsal` knows how to play them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path

from parlour.app import App
from parlour.cli.conversations import find_session, opened
from parlour.engine.rehearsal import rehearse
from parlour.settings import load_settings
from parlour.stores.address import files_for
from parlour.stores.store import SessionInfo
from parlour.stores.sweep import sessions_of


class Tally:
    """How many rounds were played, and how many diverged."""

    def __init__(self) -> None:
        self.played = 0
        self.diverged = 0

    @property
    def told(self) -> str:
        rounds = "1 round" if self.played == 1 else f"{self.played:,} rounds"
        return f"Played {rounds}: {self.diverged:,} diverged."


async def replay_sessions(
    app: App, folder: Path, address: str, session: str, tally: Tally, *, only_open: bool
) -> AsyncGenerator[str]:
    """A line for each round that diverges, of one session or (with an empty id) of all.

    `folder` is the app's project, whose settings count.
    """
    # What the code is seen to do is told here, and not as the errors of a running app.
    logging.getLogger("parlour").setLevel(logging.CRITICAL + 1)
    settings = app.own_settings or load_settings(folder, os.environ)
    files = files_for(address)
    async with opened(address) as store:
        infos: AsyncIterable[SessionInfo] = sessions_of(store, None)
        if session:
            infos = _only(await find_session(store, session))
        async for info in infos:
            playing = rehearse(app, store, files, info.id, settings=settings, only_open=only_open)
            async for verdict in playing:
                tally.played += 1
                if verdict.problem:
                    tally.diverged += 1
                    yield f"{info.id} round {verdict.round} ({verdict.status}): {verdict.problem}"


async def _only(info: SessionInfo) -> AsyncGenerator[SessionInfo]:
    yield info
