"""What the checker has to say."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from faults.case import Case


@dataclass(frozen=True)
class Finding:
    """A promise that was broken.

    `rule` is the check that saw it, `about` what it is about (with the rule it names the finding),
    `session` where it happened, if in one; whatever mentions a word of `keep` explains it.
    """

    promise: str
    rule: str
    text: str
    about: str = ""
    session: str = ""
    keep: frozenset[str] = frozenset()

    def __str__(self) -> str:
        where = f" in session {self.session[:6]}" if self.session else ""
        return f"{self.promise} {self.rule}{where}: {self.text}"


Rule = Callable[[Case], Iterator[Finding]]
