"""What the server made of the machine, and how it came and went: P3, P11, P12, P13."""

import re
from collections import Counter
from collections.abc import Iterator

from faults.case import Case
from faults.finding import Finding

RESIDENT_BYTES = 512 * 1024 * 1024
END_SECONDS = 10.0
SAME_LINES = 2000
_EXCUSING = frozenset({"memory", "descriptors", "broken-disk", "flaky-disk"})
_NOISE = ("Exception in ASGI", "never retrieved", "Task was destroyed", "was never awaited")


def servers_come_and_go(case: Case) -> Iterator[Finding]:
    """P3, P11, P12, P13: orderly ends are orderly, clear starts clear; none ends by itself."""
    struck = ""
    for note in case.campaign:
        match note["note"]:
            case "strike":
                struck = note["kind"]
            case "died" if struck not in _EXCUSING:
                text = (
                    f"the server ended by itself with {note['code']}, after {struck or 'nothing'}"
                )
                yield Finding("P13", "server ended", text, str(note["at"]))
            case "terminated" if note["code"] != 0 or note["seconds"] > END_SECONDS:
                text = f"an orderly end took {note['seconds']:.1f} s, with code {note['code']}"
                yield Finding("P11", "disorderly end", text, str(note["at"]))
            case "started":
                yield Finding("P3", "started", f"a server started {note['where']}", note["where"])
            case "refused to start" if note["code"] == 0 or "Traceback" in note["said"]:
                text = f"a start that could not be ended with {note['code']}: {note['said'][-600:]}"
                yield Finding("P12", "unclear refusal to start", text, str(note["at"]))


def the_machine_is_not_used_up(case: Case) -> Iterator[Finding]:
    """P12: memory stays bounded, whatever is done."""
    measured = [note for note in case.campaign if note["note"] == "measured"]
    most = max((note.get("resident", 0) for note in measured), default=0)
    if most > RESIDENT_BYTES:
        text = f"the server took {most / 1e6:.0f} MB"
        yield Finding("P12", "memory", text)


def the_operator_can_read_the_log(case: Case) -> Iterator[Finding]:
    """P12, P13: what happened is said, not a thousand times, and nothing falls on the floor."""
    for sign in _NOISE:
        if sign in case.operator and not (case.strikes() & {"memory"}):
            place = case.operator.index(sign)
            text = case.operator[max(0, place - 200) : place + 600]
            yield Finding("P13", "noise", f"{sign}: {text}", sign)
    kinds = Counter(re.sub(r"[0-9a-f]{6,}|\d+", "…", line) for line in case.operator.splitlines())
    for line, count in kinds.most_common(1):
        if count > SAME_LINES:
            yield Finding("P12", "log flooded", f"{count} times: {line[:200]}", line)


RULES = (servers_come_and_go, the_machine_is_not_used_up, the_operator_can_read_the_log)
