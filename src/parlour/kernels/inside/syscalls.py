"""The seccomp program: which system calls are refused to sandboxed code, and how.

Forbidden families of sockets answer "not supported", as on a machine that lacks them, because
libraries know how to live with that; `clone3` answers "no such call", so that the C library takes
`clone`, whose flags can be seen.
"""

from __future__ import annotations

import struct

from .linux import machine

_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 0x00050001, 0x00050026, 0x00050061
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NEW_NAMESPACES = 0x7E020080
_SET_ID_BITS = 0o6000
_CREATE = 0o100
_INJECT = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX: keys that nobody has pressed
_UNIX, _INET, _INET6 = 1, 2, 10
_SYSCALL, _ARCHITECTURE = 0, 4
_X32 = 0x40000000

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); -1 where there is none
_REFUSED = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "modify_ldt": (154, -1),
    "personality": (135, 92),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
_UNKNOWN = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
_CLONE = (56, 220)
_SOCKET, _SOCKETPAIR, _IOCTL = (41, 198), (53, 199), (16, 29)
# call and the place of its mode, where bits may be that lend a file's owner to others
_MODES = (
    ((90, -1), 1),
    ((91, 52), 1),
    ((268, 53), 2),
    ((452, 452), 2),
    ((85, -1), 1),
    ((133, -1), 1),
    ((259, 33), 2),
)
_OPENS = (((2, -1), 1, 2), ((257, 56), 2, 3))
# what reaches other processes: kill, tkill, tgkill, rt_sigqueueinfo, pidfd_send_signal
_SIGNALS = ((62, 129), (200, 130), (129, 138), (424, 424))
_GROUPS = ((109, 154), (112, 157))


def known() -> bool:
    """Whether there is a program for this machine."""
    return machine() in _ARCHITECTURES


def program(*, network: bool, confined: bool = True, signals: bool = True) -> bytes:
    """The program.

    `confined`: a namespace holds the processes, so that they may form groups; `signals`: something
    else keeps them from signalling strangers.
    """
    place = 0 if machine() == "x86_64" else 1
    out = _Program()
    out.load(_ARCHITECTURE)
    out.unless(_ARCHITECTURES[machine()], _KILL)
    out.load(_SYSCALL)
    if place == 0:
        out.if_at_least(_X32, _ENOSYS)
    for numbers in _REFUSED.values():
        out.refuse(numbers[place], _EPERM)
    for numbers in _UNKNOWN.values():
        out.refuse(numbers[place], _ENOSYS)
    for numbers in (*(() if confined else _GROUPS), *(() if signals else _SIGNALS)):
        out.refuse(numbers[place], _EPERM)
    _add_arguments(out, place, network=network)
    out.end(_ALLOW)
    return out.code


def _add_arguments(out: _Program, place: int, *, network: bool) -> None:
    """What is refused for some arguments only."""
    out.refuse_bits(_CLONE[place], 0, _NEW_NAMESPACES, _EPERM)
    families = (_INET, _INET6) if network else ()
    out.only(_SOCKET[place], 0, families, _EAFNOSUPPORT)
    out.only(_SOCKETPAIR[place], 0, (_UNIX,), _EAFNOSUPPORT)
    for request in _INJECT:
        out.refuse_value(_IOCTL[place], 1, request, _EPERM)
    for numbers, argument in _MODES:
        out.refuse_bits(numbers[place], argument, _SET_ID_BITS, _EPERM)
    for numbers, flags, mode in _OPENS:
        out.refuse_both(numbers[place], (flags, _CREATE), (mode, _SET_ID_BITS), _EPERM)


class _Program:
    """Writes one; the number of the call is in the accumulator between its parts."""

    def __init__(self) -> None:
        self.code = b""

    def _add(self, code: int, value: int, yes: int = 0, no: int = 0) -> None:
        self.code += struct.pack("HBBI", code, yes, no, value)

    def load(self, offset: int) -> None:
        self._add(_LOAD, offset)

    def _load_argument(self, argument: int) -> None:
        self.load(16 + 8 * argument)

    def unless(self, value: int, answer: int) -> None:
        self._add(_EQUAL, value, 1, 0)
        self._add(_RETURN, answer)

    def if_at_least(self, value: int, answer: int) -> None:
        self._add(_AT_LEAST, value, 0, 1)
        self._add(_RETURN, answer)

    def refuse(self, number: int, answer: int) -> None:
        if number >= 0:
            self._add(_EQUAL, number, 0, 1)
            self._add(_RETURN, answer)

    def refuse_bits(self, number: int, argument: int, bits: int, answer: int) -> None:
        if number >= 0:
            self._add(_EQUAL, number, 0, 5)
            self._load_argument(argument)
            self._add(_AND, bits)
            self._add(_EQUAL, 0, 1, 0)
            self._add(_RETURN, answer)
            self.load(_SYSCALL)

    def refuse_value(self, number: int, argument: int, value: int, answer: int) -> None:
        self._add(_EQUAL, number, 0, 4)
        self._load_argument(argument)
        self._add(_EQUAL, value, 0, 1)
        self._add(_RETURN, answer)
        self.load(_SYSCALL)

    def refuse_both(
        self, number: int, one: tuple[int, int], other: tuple[int, int], answer: int
    ) -> None:
        if number >= 0:
            self._add(_EQUAL, number, 0, 8)
            self._load_argument(one[0])
            self._add(_AND, one[1])
            self._add(_EQUAL, 0, 4, 0)
            self._load_argument(other[0])
            self._add(_AND, other[1])
            self._add(_EQUAL, 0, 1, 0)
            self._add(_RETURN, answer)
            self.load(_SYSCALL)

    def only(self, number: int, argument: int, values: tuple[int, ...], answer: int) -> None:
        self._add(_EQUAL, number, 0, len(values) + 3)
        self._load_argument(argument)
        for place, value in enumerate(values):
            self._add(_EQUAL, value, len(values) - place, 0)
        self._add(_RETURN, answer)
        self.load(_SYSCALL)

    def end(self, answer: int) -> None:
        self._add(_RETURN, answer)
