"""A disk of one's own that fills up, breaks and is mended: ext4 on a loop device in a small tmpfs.

It breaks by losing all its blocks: the device is made smaller under the file system, and what
would go beyond its end fails with EIO, reads too. (All of them: Linux may wait for ever for a
request of which only a part lies beyond.) Before long ext4 gives up its journal and is read only,
until the device is whole again and has been unmounted, checked and mounted. Where mounting is not
permitted a plain folder stands in, which can be full (by a limit of the process) but cannot break.

A sparse file whose tmpfs fills up is no such disk: Linux's loop driver reports a write that was
done in part as done, fsync and all, so what a correct program was told is kept would be gone.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024
PATIENCE = 30.0
_SECTOR = 512
_HUNG: list["subprocess.Popen[bytes]"] = []
"""What nobody can wait for; where there is one, no more such disks are made."""
# <linux/loop.h>: struct loop_info64 and what takes it.
_LOOP_SET_STATUS64, _LOOP_GET_STATUS64 = 0x4C04, 0x4C05
_INFO_BYTES, _SIZE_LIMIT_AT = 232, 32


class Disk:
    """A folder, and what can happen to it."""

    faults: frozenset[str] = frozenset()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def break_down(self) -> None:
        """Have all writes fail."""
        raise NotImplementedError

    def recover(self) -> None:
        """Have them succeed again; what the file system has made of it stays."""
        raise NotImplementedError

    def mend(self) -> None:
        """Whatever it was, it is over; nobody has a file open there."""

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        raise NotImplementedError

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        raise NotImplementedError

    def close(self) -> None:
        pass


class LoopDisk(Disk):
    """Ext4 on a file in a tmpfs that has room for it; for root, with loop devices."""

    faults = frozenset({"full", "broken-disk", "flaky-disk", "read-only"})

    def __init__(self, folder: Path, size: int) -> None:
        self._ends = contextlib.ExitStack()
        self._base = folder.with_name(folder.name + ".base")
        self._image = self._base / "image"
        super().__init__(folder)
        with contextlib.ExitStack() as ends:
            self._base.mkdir()
            _mount("-t", "tmpfs", "-o", f"size={size + size // 4}", "tmpfs", self._base)
            ends.callback(_unmount, self._base)
            with self._image.open("wb") as image:
                image.truncate(size)
            _run("mkfs.ext4", "-q", "-F", self._image)
            self._mount()
            ends.callback(_unmount, folder)
            self._ends = ends.pop_all()

    def _mount(self) -> None:
        # What is deleted becomes a hole in the file again.
        _mount("-o", "loop,discard", self._image, self.folder)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        ballast = self.folder / "ballast"
        _fill(ballast)
        try:
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def break_down(self) -> None:
        _resize(self._device(), _SECTOR)

    def recover(self) -> None:
        _resize(self._device(), 0)

    def _device(self) -> Path:
        found = subprocess.run(
            ["losetup", "--noheadings", "--output", "NAME", "--associated", str(self._image)],
            capture_output=True,
            text=True,
            check=True,
        )
        return Path(found.stdout.strip())

    def mend(self) -> None:
        self.recover()
        _unmount(self.folder)
        # 1: there was something to correct, and it is corrected.
        _run("e2fsck", "-y", "-f", self._image, allowed=(0, 1))
        self._mount()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        _mount("-o", "remount,ro", self.folder)
        try:
            yield
        finally:
            _mount("-o", "remount,rw", self.folder)

    def close(self) -> None:
        self._ends.close()
        shutil.rmtree(self._base, ignore_errors=True)


def disk_at(folder: Path, size: int = 48 * MIB) -> Disk:
    """The best disk that can be had here."""
    if os.geteuid() == 0 and not _HUNG and shutil.which("mkfs.ext4") and shutil.which("e2fsck"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return LoopDisk(folder, size)
    return Disk(folder)


def _fill(ballast: Path) -> None:
    """Write until there is no room, in ever smaller pieces."""
    with ballast.open("wb", buffering=0) as file:
        size = MIB
        while size >= 512:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


def _resize(device: Path, size: int) -> None:
    """Let a loop device end after `size` bytes, 0: where its file ends."""
    with device.open("rb", buffering=0) as handle:
        info = bytearray(_INFO_BYTES)
        fcntl.ioctl(handle, _LOOP_GET_STATUS64, info)
        struct.pack_into("Q", info, _SIZE_LIMIT_AT, size)
        fcntl.ioctl(handle, _LOOP_SET_STATUS64, info)


def _mount(*arguments: str | Path) -> None:
    _run("mount", *arguments)


def _unmount(folder: Path) -> None:
    """Whoever just died may hold it for a moment; at last it goes from view, held or not."""
    for _ in range(40):
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", folder)
            return
        time.sleep(0.05)
    _run("umount", "-l", folder, allowed=(0, 32))


def _run(*command: str | Path, allowed: tuple[int, ...] = (0,)) -> None:
    """Run a program, for a while: one that waits for a device that hangs cannot even be killed."""
    words = [str(part) for part in command]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        _HUNG.append(process)
        raise OSError(f"{words[0]} hangs: the loop devices of this machine do not answer") from None
    if process.returncode not in allowed:
        raise subprocess.CalledProcessError(process.returncode, words, said)
