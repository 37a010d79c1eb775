"""Files: what a client uploads before it says which session it is for, and what the bot sent.

An upload lies in a folder of its user's own until a message takes it along; one that none does is
swept up like any upload that nobody names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from parlour.engine import Engine
from parlour.errors import Refused
from parlour.events import FileRef
from parlour.transports.codecs.openai import ids
from parlour.transports.codecs.openai.errors import invalid, missing
from parlour.web.openai.answers import respond

if TYPE_CHECKING:
    from parlour.web.openai.routes import OpenAI

_FIELDS = 20
_FORM = 64 * 1024
_PIECE = 256 * 1024
_SECONDS = 600.0


class Drawer:
    """The routes under `/v1/files`."""

    def __init__(self, api: OpenAI) -> None:
        self._api = api

    @property
    def _engine(self) -> Engine:
        return self._api.engine

    async def create(self, request: Request, user: str) -> Response:
        engine, drawer = self._engine, self._drawer(user)
        limits = engine.settings.limits
        if await asyncio.to_thread(engine.files.count, drawer) >= limits.files_per_session:
            raise Refused("too_many", "There are too many files; delete some.")
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise invalid("A file comes as multipart/form-data, in the field `file`.", "file")
        parser = MultiPartParser(
            request.headers,
            _bounded(request, limits.upload_bytes + _FORM),
            max_files=1,
            max_fields=_FIELDS,
            max_part_size=_FORM,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                form = await parser.parse()
        except MultiPartException as error:
            raise invalid(f"{error.message[:200]}", "file") from None
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise invalid("There is no file in the field `file`.", "file")
            ref = await engine.files.add(
                drawer,
                _pieces(file),
                name=file.filename or "file",
                type_=file.content_type or "",
                limit=limits.upload_bytes,
            )
            purpose = form.get("purpose")
        finally:
            await form.close()
        shown = _shown(ref, int(engine.time()))
        return respond(shown | {"purpose": purpose} if isinstance(purpose, str) else shown)

    async def all(self, request: Request, user: str) -> Response:
        del request
        refs = await asyncio.to_thread(self._engine.files.stored, self._drawer(user))
        found = [_shown(ref, int(path.stat().st_mtime)) for ref, path in refs]
        found.sort(key=lambda file: file["created_at"], reverse=True)
        return respond({"object": "list", "data": found, "has_more": False})

    async def read(self, request: Request, user: str) -> Response:
        session, ref = await self._find(request, user)
        path = self._engine.files.path(session, ref.id)
        shown = _shown(ref, int(path.stat().st_mtime))
        return respond(shown | {"id": request.path_params["id"]})

    async def delete(self, request: Request, user: str) -> Response:
        """Remove an upload; what a message took along is the session's."""
        file = ids.read_file_id(request.path_params["id"])
        if file is None:
            raise missing("file")
        path = self._engine.files.path(self._drawer(user), file)
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return respond({"id": ids.file_id(file), "object": "file", "deleted": True})

    async def content(self, request: Request, user: str) -> Response:
        """The bytes; `user` is "" for who has a signed address."""
        session, ref = await self._find(request, user)
        picture = ref.type.startswith("image/") and ref.type != "image/svg+xml"
        kind = "inline" if picture else "attachment"
        headers = {
            "Content-Disposition": f"{kind}; filename*=UTF-8''{quote(ref.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        path = self._engine.files.path(session, ref.id)
        return FileResponse(path, media_type=ref.type, headers=headers)

    async def hand_over(self, user: str, uploads: Sequence[str], session: str) -> list[FileRef]:
        """Give a session the uploads that a message names. Raises `Refused`."""
        files, drawer = self._engine.files, self._drawer(user)
        refs: list[FileRef] = []
        for upload in dict.fromkeys(uploads):
            file = ids.read_file_id(upload)
            if file is None:
                raise missing("file", "file_id")
            ref = await asyncio.to_thread(files.find, drawer, file)
            if not (files.workspace(session) / ref.id).is_file():
                await asyncio.to_thread(files.keep, session, ref, files.path(drawer, ref.id))
            refs.append(ref)
        return refs

    async def _find(self, request: Request, user: str) -> tuple[str, FileRef]:
        name = request.path_params["id"]
        shown, file = ids.read_shown_file_id(name), ids.read_file_id(name)
        if shown is not None:
            session, file = shown
            await self._engine.authorise(session, user or None)
        elif file is not None and user:
            session = self._drawer(user)
        else:
            raise missing("file")
        return session, await asyncio.to_thread(self._engine.files.find, session, file)

    def _drawer(self, user: str) -> str:
        return self._engine.session_id(user, "uploads of /v1/files")


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise Refused("too_large", f"A file may have at most {limit - _FORM:,} bytes.")
        yield piece


async def _pieces(file: UploadFile) -> AsyncGenerator[bytes]:
    while piece := await file.read(_PIECE):
        yield piece


def _shown(ref: FileRef, created: int) -> dict[str, Any]:
    return {
        "id": ids.file_id(ref.id),
        "object": "file",
        "bytes": ref.size,
        "created_at": created,
        "filename": ref.name,
        "purpose": "user_data",
        "status": "processed",
    }
