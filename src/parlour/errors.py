"""Every error Parlour raises on purpose; each message is a sentence that says the cure.

::

    ParlourError
    ├── Refused             a command was not accepted (`code`, `retry_after`); nothing happened
    ├── InvalidAnswer       an answer does not fit its question; the question stands
    ├── NotStorable         a value cannot be kept in the log (also a TypeError)
    ├── SessionOver         the session or the round this handle belongs to has ended
    ├── LimitExceeded       a round asked for more than the settings allow
    ├── Diverged            replay met code that no longer matches the journal
    ├── UnjournaledAwait    a replaying handler waited for something the journal does not know
    ├── StepFailed          a step raised; recorded, so it is the same after a crash
    │   └── StepInterrupted an at-most-once step was in flight when the worker died
    ├── NotPicklable        a step for another process cannot be sent there (also a TypeError)
    ├── ProcessDied         the process that ran a step ended before the step did
    ├── WrongThread         a plain handler's session was used on the event loop's thread
    ├── AskTimeout          nobody answered in time (also a TimeoutError)
    ├── IllegalEvent        a log holds an event that cannot stand there
    ├── AppNotLoaded        the app named on a command line or in `local` cannot be used
    ├── FlowInvalid         a flow has mistakes that were found before it ran
    ├── MissingExtra        a library is not installed that comes with an extra
    ├── UserKeyMissing      a key that the user brings is not known now (also a KeyError)
    ├── BadSettings         parlour.toml or the environment holds a value that does not fit
    ├── KernelError
    │   ├── KernelUnavailable no kernel can be started as the settings want it
    │   ├── KernelFailed      a kernel could not do what it was asked for
    │   └── KernelDied        the kernel's process ended
    └── StoreError
        ├── StoreUnavailable  locked, read-only, full or unreachable; may work later
        ├── StoreCorrupt      the file is damaged or is no Parlour store
        ├── StoreTooNew       written by a newer Parlour
        └── Fenced            another activation owns the session now

    Unwinding (BaseException)  leaves a handler that must not go on; user code cannot swallow it
    ├── Hibernated             the round waits and leaves memory; it is replayed later
    ├── RoundStopped           the user stopped the round
    └── RoundDropped           the worker lost the session (fenced, store refused, shut down)
"""

from __future__ import annotations


class ParlourError(Exception):
    """Base of all errors that Parlour raises on purpose."""


class Refused(ParlourError):
    """A command was not accepted and left no trace.

    `code` is one of the wire's refusal codes (docs/wire.md); `retry_after` is in seconds, None
    where trying again is useless.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class InvalidAnswer(ParlourError):
    """An answer does not fit its question; the message is fit to show to the user.

    `code` names what is wrong (docs/wire.md), with the `values` that belong into the sentence, so
    that it can be said in the user's language; "" where only the message says it.
    """

    def __init__(self, message: str, code: str = "", **values: object) -> None:
        super().__init__(message)
        self.code = code
        self.values = {name: str(value) for name, value in values.items()}


class NotStorable(ParlourError, TypeError):
    """A value cannot be kept in the log."""


class SessionOver(ParlourError):
    """The session is closed, or the round that this handle served has ended."""


class LimitExceeded(ParlourError):
    """A round wants more than a limit of the settings allows."""


class Diverged(ParlourError):
    """Replay met code that no longer matches the journal; names both sides."""


class UnjournaledAwait(ParlourError):
    """A handler under replay waited for something that is not in the journal."""


class StepFailed(ParlourError):
    """A step raised. `type` and `reason` are those of the original exception.

    The same error is raised live and after a crash, so that a handler that catches it takes the
    same way both times; live, the original is its `__cause__`.
    """

    def __init__(self, name: str, type_: str, reason: str) -> None:
        super().__init__(f"the step {name!r} failed with {type_}: {reason}")
        self.name = name
        self.type = type_
        self.reason = reason


class StepInterrupted(StepFailed):
    """An at-most-once step was in flight when its worker died; it may have taken effect."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "StepInterrupted", "its worker died while it ran")


class NotPicklable(ParlourError, TypeError):
    """A function or its arguments cannot be sent to another process."""


class ProcessDied(ParlourError):
    """The process of a step ended before the step did, or could not be started."""


class WrongThread(ParlourError):
    """A plain handler's session was used where waiting would stop every session."""


class AskTimeout(ParlourError, TimeoutError):
    """Nobody answered a question in time."""


class IllegalEvent(ParlourError):
    """An event cannot stand where a log has it."""


class AppNotLoaded(ParlourError):
    """The app that was named cannot be loaded."""


class FlowInvalid(ParlourError):
    """A flow cannot be run as it is declared; names every mistake with its line."""

    def __init__(self, flow: str, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"the flow {flow!r} has {len(problems)} mistakes:\n{listed}")


class MissingExtra(ParlourError, ImportError):
    """A library is needed that is not installed."""


class BadSettings(ParlourError):
    """parlour.toml or the environment holds something that is no valid setting."""


class UserKeyMissing(ParlourError, KeyError):
    """A key that the user brings is not here: not given yet, or the user is not connected.

    Keys are kept in the user's browser only, and known here while it is connected. Let the round
    fail with this, and the page asks for the key; or look with `session.user_env.get(name)` first.
    """

    def __init__(self, name: str, label: str) -> None:
        super().__init__(
            f"the user's key {name} is not here; it is known only while the user is connected and "
            "has entered it. Read it with session.user_env.get where you can go on without"
        )
        self.name = name
        self.label = label

    def __str__(self) -> str:
        return str(self.args[0])


class KernelError(ParlourError):
    """Base of what a kernel raises."""


class KernelUnavailable(KernelError):
    """No kernel can be started here as the settings want it; the message says the cure."""


class KernelFailed(KernelError):
    """A kernel that goes on could not do what it was asked for."""


class KernelDied(KernelError):
    """The kernel's process has ended; a new one can be started."""


class StoreError(ParlourError):
    """Base of what a store raises."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or written now."""


class StoreCorrupt(StoreError):
    """The store is damaged, or is not a Parlour store."""


class StoreTooNew(StoreError):
    """The store was written by a newer Parlour than this one."""


class Fenced(StoreError):
    """Another activation has claimed the session; this one may not write any more."""


class Unwinding(BaseException):
    """Base of the control-flow exceptions that unwind a handler; do not catch them."""


class Hibernated(Unwinding):
    """The round waits and leaves memory; its handler runs again when it goes on."""


class RoundStopped(Unwinding):
    """The user stopped the round."""


class RoundDropped(Unwinding):
    """The worker may not go on with the session."""


def describe(error: BaseException) -> str:
    """What an exception says, bounded, and fit to be stored: valid Unicode."""
    return str(error)[:2000].encode("utf-8", "replace").decode()
