"""Landlock: which files a process may touch, whoever it is. It needs no privilege.

What the running kernel does not know of is left out, so an older one holds a little less.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .linux import call

_VERSION = 1
_BENEATH, _EXECUTE, _READ_FILE, _READ_DIR = 1, 1 << 0, 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE, _IOCTL = 1 << 1, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT, _SCOPE_SIGNAL = 1, 2
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11

READ = _EXECUTE | _READ_FILE | _READ_DIR
USE = _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL
EVERYTHING = (1 << 16) - 1
WRITE = EVERYTHING & ~(_MAKE_CHAR | _MAKE_BLOCK)
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_WITH_NET, WITH_SCOPES = 4, 6


def version() -> int:
    """Which Landlock the kernel has; 0 if none."""
    try:
        return call("landlock", None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    except OSError:
        return 0


class Rules:
    """What is allowed; nothing else is, from `enforce` on, to this process and its children."""

    def __init__(self, *, network: bool) -> None:
        level = version()
        self._known = _KNOWN.get(level, EVERYTHING)
        net = 0 if network or level < _WITH_NET else _BIND_TCP | _CONNECT_TCP
        scopes = _SCOPE_ABSTRACT | _SCOPE_SIGNAL if level >= WITH_SCOPES else 0
        attributes = struct.pack("QQQ", self._known, net, scopes)
        size = 8 if level < _WITH_NET else 16 if level < WITH_SCOPES else 24
        self._set = call(
            "landlock",
            ctypes.create_string_buffer(attributes),
            ctypes.c_size_t(size),
            ctypes.c_uint(0),
        )

    def allow(self, path: str, rights: int) -> None:
        """Allow `rights` on a file, or on everything in a folder; what is not there is no error."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if not os.path.isdir(path):  # noqa: PTH112 - it may be /proc/self/fd/3
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights & self._known, descriptor)
            call(
                "landlock_rule",
                ctypes.c_int(self._set),
                ctypes.c_int(_BENEATH),
                ctypes.create_string_buffer(rule),
                ctypes.c_uint(0),
            )
        finally:
            os.close(descriptor)

    def enforce(self) -> None:
        call("landlock_self", ctypes.c_int(self._set), ctypes.c_uint(0))
        os.close(self._set)
