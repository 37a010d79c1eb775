"""What SQLite leaves behind in its file when it deletes: found and overwritten, page by page.

`secure_delete` zeroes what is deleted, but not the old places of cells that it moves when a page
is split or joined: they stay in the gap between a page's cell pointers and its cells, where
nobody reads them, and outlive the rows. Only the file's format is known here (see
https://www.sqlite.org/fileformat2.html); the caller sees to it that nobody writes meanwhile, that
the write-ahead log is empty, and that no cache keeps pages as they were.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

_LEAVES = frozenset({0x0A, 0x0D})
_INNER = frozenset({0x02, 0x05})
_BYTES = 8 * 1024 * 1024
_FILE_HEADER = 100
_LOCK_BYTE = 0x40000000
_MOST_PAGES = 0x02000000
"""Past this many pages the first byte of an overflow page may look like that of a tree's page."""


class Scrubber:
    """Overwrites the gaps of a database file's pages with zeros.

    Once opened by the first `scrub`, the file stays open until `close`, which must come after
    SQLite has closed it: closing it earlier would, by the rules of POSIX, let go of the locks that
    SQLite holds in this process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def scrub(self, first: int, count: int, page_size: int) -> None:
        """Clean `count` pages from page `first` (from 1). Durable on return. Raises `OSError`."""
        if first + count > _MOST_PAGES:
            raise OSError("the file is too large to be scrubbed in place; compact it instead")
        if self._file is None:
            self._file = FileIO(self._path, "r+")
        file = self._file
        begin = (first - 1) * page_size
        file.seek(begin)
        data = file.read(count * page_size) or b""
        wrote = False
        for offset in range(0, len(data) - page_size + 1, page_size):
            place = begin + offset
            if place <= _LOCK_BYTE < place + page_size:
                continue
            page = memoryview(data)[offset : offset + page_size]
            start, end = _gap(page, _FILE_HEADER if place == 0 else 0)
            if bytes(page[start:end]).strip(b"\0"):
                file.seek(place + start)
                file.write(bytes(end - start))
                wrote = True
        if wrote:
            os.fsync(file.fileno())


class Scan:
    """A way through the pages of a file, a few at a time, up to the `last` one it had at the start.

    Later ones have never held what had been erased by then. `erasures` is the writer's mark.
    """

    __slots__ = ("_scrubber", "erasures", "last", "page")

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self.page = 1
        self.last = 1
        self.erasures = 0

    @property
    def done(self) -> bool:
        return self.page > self.last

    def go_on(self, page_size: int) -> None:
        count = max(1, _BYTES // page_size)
        self._scrubber.scrub(self.page, count, page_size)
        self.page += count


def _gap(page: memoryview, header: int) -> tuple[int, int]:
    """Where in a page nothing is kept: between the pointers to its cells and the cells."""
    kind = page[header]
    if kind in _LEAVES:
        pointers = header + 8
    elif kind in _INNER:
        pointers = header + 12
    else:
        return 0, 0
    cells = int.from_bytes(page[header + 3 : header + 5], "big")
    content = int.from_bytes(page[header + 5 : header + 7], "big") or 65536
    start = pointers + 2 * cells
    return (start, content) if start <= content <= len(page) else (0, 0)
