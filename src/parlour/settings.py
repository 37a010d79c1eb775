"""Typed settings: defaults here, then parlour.toml, then PARLOUR_* variables of the environment.

Every buffer, queue and wait of Parlour has its size or its time here. Knows nothing of what the
settings are used for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from parlour.errors import BadSettings

Incoming = Literal["queue", "steer", "interrupt", "refuse"]
_MOST = 2**53


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of everything there may be. Sizes are in bytes, times in seconds."""

    message_bytes: int = 64 * 1024
    """The longest message or answer that a user may send."""
    frame_bytes: int = 1024 * 1024
    """The longest frame that is read from a client."""
    reply_bytes: int = 1024 * 1024
    """The longest message that a handler may send."""
    value_bytes: int = 256 * 1024
    """The longest JSON of one variable, step result or signal."""
    variables_bytes: int = 1024 * 1024
    """All variables of one session together."""
    upload_bytes: int = 50 * 1024 * 1024
    """The largest uploaded file."""
    request_bytes: int = 20 * 1024 * 1024
    """The longest request in another dialect, with the history and the files that stand in it."""
    files_per_message: int = 20
    """Files that one message or answer may bring."""
    files_per_session: int = 1000
    """Files of one session together."""
    queued_messages: int = 32
    """Messages that may wait while a round runs."""
    records_per_round: int = 10_000
    """What one round may record; past that it fails."""
    reminders: int = 64
    """Reminders that one session may have set, together with what is done beside its rounds."""
    round_seconds: float = 600.0
    """How long a round may work; time spent waiting for the user does not count."""
    resumptions: int = 3
    """How often a round may be taken up again without getting any further."""
    stop_seconds: float = 5.0
    """How long a stopped handler may take to clean up before it is left behind."""
    commands_remembered: int = 256
    """Ids of commands that are known without asking the store."""
    history_messages: int = 100
    """Messages of a session that are at hand in memory; the rest is in the store."""
    history_bytes: int = 128 * 1024
    """The same, by size."""
    sessions_per_user: int = 1000
    """Sessions one user may have open."""
    live_sessions: int = 100_000
    """Sessions in memory; past that new ones are refused for a moment."""
    uncommitted_bytes: int = 64 * 1024 * 1024
    """What may wait for the disk; past that commands are refused for a moment."""
    links_per_user: int = 200
    """Links to conversations that one user may have."""
    requests_per_minute: int = 600
    """Requests for lists, titles, branches, links and exports that one user may make in a minute.
    """
    listeners_per_session: int = 64
    """Windows, tabs and programs that may watch one session at once."""
    listener_bytes: int = 4 * 1024 * 1024
    """What may wait for one slow listener before it is cut off."""
    hello_seconds: float = 10.0
    """How long a client may take to say what it wants: an HTTP request's head, a socket's hello."""
    farewell_seconds: float = 10.0
    """How long a client that is told to go may take to read that, before its socket is cut off."""
    threads: int = 64
    """Plain handlers and plain steps that work at the same time, each in a thread."""
    waiting_threads: int = 256
    """Plain handlers that may wait in their thread besides; when more come, those that wait for
    the user leave memory early."""
    rounds_without_thread: int = 1000
    """Rounds that may wait for a thread; past that commands are refused for a moment."""
    processes: int = 0
    """Processes for steps with `process=True`; 0: one for each core."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.threads < 1:
            raise ValueError("threads must be at least 1")


class KernelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where sessions' code runs and what it may use. Sizes are in bytes, times in seconds."""

    backend: Literal["fork", "jupyter"] = "fork"
    """What starts kernels: a server that forks warm ones (Linux), or jupyter_client."""
    sandbox: Literal["required", "full", "landlock", "none"] = "required"
    """How code is confined: the strongest way that this machine allows, or none is started; a
    certain one; or not at all, for code of your own only."""
    network: bool = False
    """Whether code may reach the network, all of it that this machine reaches."""
    python: str = ""
    """The interpreter of the environment for code; empty: the one that runs Parlour."""
    kernelspec: str = "python3"
    """Which kernel jupyter_client starts."""
    preload: tuple[str, ...] = ("numpy", "pandas", "matplotlib.pyplot")
    """What every kernel has imported when it begins; what is not installed is left out."""
    readable: tuple[str, ...] = ()
    """More files and folders that code may read."""
    memory_bytes: int = 1024 * 1024 * 1024
    """Memory of one kernel with all its processes."""
    shared_bytes: int = 64 * 1024 * 1024
    """The private /tmp and /dev/shm of a kernel, each."""
    processes: int = 64
    """Processes and threads of one kernel."""
    open_files: int = 256
    """Files that one process of a kernel may have open."""
    file_bytes: int = 256 * 1024 * 1024
    """The largest file that code may write."""
    workspace_bytes: int = 1024 * 1024 * 1024
    """A session's workspace."""
    cell_seconds: float = 120.0
    """How long one cell may run."""
    cpu_seconds: float = 120.0
    """How much processor time one cell may take."""
    interrupt_seconds: float = 3.0
    """How long an interrupted cell may take to end before its kernel is killed."""
    output_bytes: int = 64 * 1024
    """What is kept of what one cell prints; the middle of more is left out."""
    display_bytes: int = 16 * 1024 * 1024
    """What one cell may display."""
    checkpoint: Literal["cell", "rest", "never"] = "cell"
    """When variables are kept on the disk: after each cell, when a kernel is put to rest, never."""
    idle_seconds: float = 900.0
    """A kernel that nobody uses is put to rest after this time."""
    warm: bool = False
    """Have a fork server ready from the start, not from the first cell on."""
    live: int = 200
    """Kernels in memory; past that the one that was used longest ago is put to rest."""
    recycle_seconds: float = 3600.0
    """After this time a new fork server is made for new kernels."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.live < 1:
            raise ValueError("live must be at least 1")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of an engine and its server. Times are in seconds, unless a name says days."""

    incoming: Incoming = "queue"
    """What a message does while a round runs: wait, join it, end it, or be refused."""
    on_divergence: Literal["fail", "restart"] = "fail"
    """What happens to a round whose journal the code no longer matches."""
    development: bool = False
    """Show errors in full to the user and refuse unjournaled awaits instead of warning."""
    idle_after: float = 60.0
    """An idle session leaves memory after this time."""
    hibernate_after: float = 60.0
    """A waiting round leaves memory after this time."""
    blocked_after: float | None = None
    """Code that keeps the event loop from turning for this time is named in the log; 0: nobody
    looks; None: 1, and 0.2 in development."""
    expire_after: float | None = None
    """A session nobody uses is closed after this time; None: never."""
    retain_days: float | None = None
    """A closed or expired session is erased so many days after its last record; None: never."""
    branching: bool = True
    """Whether users may say something else instead of what they said, or have it answered anew."""
    sharing: bool = False
    """Whether users may make links by which anybody reads a conversation of theirs."""
    lease_seconds: float = 5.0
    """On a store that several workers share: the sessions of a worker that was not heard of for
    this time are taken over by others."""
    session_headers: str = "X-Session-Id, X-OpenWebUI-Chat-Id, X-Conversation-Id, X-Chat-Id"
    """Headers of OpenAI-compatible requests that may name the session; the first one counts."""
    snapshot_every: int = 2048
    """Records between two snapshots of a session that stays in memory; one that leaves it after
    more than a few has one made then."""
    limits: Limits = msgspec.field(default_factory=Limits)
    """How much of everything there may be."""
    kernels: KernelSettings = msgspec.field(default_factory=KernelSettings)
    """Where sessions' code runs."""

    def __post_init__(self) -> None:
        _check_numbers(self)

    @property
    def blocked(self) -> float:
        """`blocked_after`, as it is meant."""
        if self.blocked_after is not None:
            return self.blocked_after
        return 0.2 if self.development else 1.0


def _check_numbers(settings: Struct) -> None:
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, int | float) and not 0 <= value <= _MOST:
            raise ValueError(f"{name} must be a number from 0 to {_MOST:,}, not {str(value)[:40]}")


def load_settings(
    folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings of the project in `folder`, overridden by the environment.

    `PARLOUR_IDLE_AFTER=5` sets `idle_after`, `PARLOUR_LIMITS__THREADS=8` sets `limits.threads`.
    Raises `BadSettings` that names the file or variable and what is wrong.
    """
    raw: dict[str, Any] = {}
    path = (folder or Path.cwd()) / "parlour.toml"
    if path.is_file():
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise BadSettings(f"{path.name} is not valid TOML: {error}") from error
    raw.pop("looks", None)  # how the page looks is the web's business
    try:
        settings = msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise BadSettings(
            f"{path.name}: {error}; see docs/settings.md for what there is"
        ) from error
    return _override(settings, environment or {})


def _override(settings: Settings, environment: Mapping[str, str]) -> Settings:
    merged: dict[str, Any] = msgspec.to_builtins(settings)
    tables: dict[str, dict[str, Any]] = {name: merged[name] for name in _TABLES}
    for name, text in environment.items():
        if not name.startswith("PARLOUR_") or name in _NOT_SETTINGS:
            continue
        key = name.removeprefix("PARLOUR_").lower()
        table, _, field = key.rpartition("__")
        place = tables.get(table) if table else merged
        if place is None or field not in place or field in _TABLES:
            raise BadSettings(f"{name[:80]!r} is no setting of Parlour; see docs/settings.md")
        place[field] = _meant(place[field], text)
        try:
            msgspec.convert(merged, Settings, strict=False)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise BadSettings(f"{name}={text[:80]!r} does not fit: {error}") from error
    return msgspec.convert(merged, Settings, strict=False)


def _meant(now: object, text: str) -> object:
    """What a variable of the environment says, for a setting that is `now`."""
    if isinstance(now, list | tuple):
        return [part.strip() for part in text.split(",") if part]
    if text.lower() in ("", "none") and not isinstance(now, str):
        return None
    return text


_TABLES = ("limits", "kernels")
_NOT_SETTINGS = frozenset(
    {
        "PARLOUR_API_KEY",
        "PARLOUR_BUS",
        "PARLOUR_FILES",
        "PARLOUR_RUN",
        "PARLOUR_SECRET",
        "PARLOUR_STORE",
    }
)
INCOMING_POLICIES: tuple[str, ...] = get_args(Incoming)
