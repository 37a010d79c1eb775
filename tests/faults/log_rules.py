"""What the store's logs say by themselves, and against the world outside: P3 to P5, P7 to P14."""

import re
from collections import Counter
from collections.abc import Iterator

from faults.case import Case, Log, RoundLog
from faults.finding import Finding
from faults.history import Json
from faults.script import DONE, SECRET, STATUSES, TOKEN

RECORDS_PER_ROUND = 120
"""The server's limit; a little more is what was under way when it was met."""
STOP_SECONDS = 2.5
_EXCUSES = {
    "memory": ("MemoryError", "can't start new thread", "Cannot allocate memory"),
    "descriptors": ("Too many open files",),
}
_JOURNALED = frozenset({"MessageAdded", "StepFinished", "StepRaised", "QuestionAsked", "TimerSet"})


def rounds_follow_each_other(case: Case) -> Iterator[Finding]:
    """P3, P4, P13: one after the other, in the order of what they answer, none left open."""
    done = bool(case.histories) and all(history.ended for history in case.histories)
    for session, log in case.logs.items():
        running = last_round = last_source = 0
        for seq, event in log.items():
            match event["type"]:
                case "RoundStarted":
                    if running or event["round"] != last_round + 1:
                        text = f"round {event['round']} starts at {seq}, after round {last_round}"
                        yield Finding("P3", "rounds overlap", text, str(seq), session)
                    running = last_round = event["round"]
                    source = event.get("source", 0) or last_source + 1
                    if source <= last_source:
                        text = f"round {running} answers record {source} too late"
                        yield Finding("P4", "out of turn", text, str(seq), session)
                    last_source = event.get("source", 0) or last_source
                case "RoundFinished":
                    if event["round"] != running:
                        text = f"round {event['round']} ended at {seq}, while {running} ran"
                        yield Finding("P3", "rounds overlap", text, str(seq), session)
                    running = 0
        if running and done:
            text = f"round {running} has never ended"
            yield Finding("P13", "never ended", text, str(running), session)


def nothing_is_outside(case: Case) -> Iterator[Finding]:
    """P11, P13: the bot speaks in its rounds only, and nothing comes after the end."""
    for session, log in case.logs.items():
        running = closed = 0
        for seq, event in log.items():
            kind = event["type"]
            if closed:
                text = f"a {kind} at {seq}, the session was closed at {closed}"
                yield Finding("P11", "after the end", text, str(seq), session)
            if kind == "RoundStarted":
                running = seq
            elif kind == "RoundFinished":
                running = 0
            elif kind == "SessionClosed":
                closed = seq
            elif kind == "MessageAdded" and event["role"] == "bot" and not running:
                text = f"the bot spoke at {seq}, outside of a round"
                yield Finding("P13", "outside of a round", text, str(seq), session)


def nothing_is_journaled_twice(case: Case) -> Iterator[Finding]:
    """P7, P8: each path once in a round, no text said again, each question answered once."""
    for session, log in case.logs.items():
        for round_ in log.rounds():
            of_paths = Counter(
                event["path"]
                for _, event in round_.records
                if event["type"] in _JOURNALED and event.get("path")
            )
            for path, count in of_paths.items():
                if count > 1:
                    text = f"round {round_.number} has {path} {count} times"
                    about = f"{round_.number} {path}"
                    yield Finding("P8", "path repeated", text, about, session)
            said = Counter(event["text"] for _, event in round_.replies)
            for words, count in said.items():
                if count > 1:
                    text = f"round {round_.number} says {words!r} {count} times"
                    yield Finding("P8", "said again", text, f"{round_.number} {words}", session)
            yield from _of_questions(session, round_)


def _of_questions(session: str, round_: RoundLog) -> Iterator[Finding]:
    answered = Counter(event["question"] for _, event in round_.of("QuestionAnswered"))
    closed = {event["question"] for _, event in round_.of("QuestionClosed")}
    for seq, _ in round_.of("QuestionAsked"):
        if answered[seq] > 1:
            text = f"question {seq} was answered {answered[seq]} times"
            yield Finding("P7", "answered twice", text, str(seq), session)
        if round_.status == "done" and not answered[seq] and seq not in closed:
            text = f"question {seq} was never over, and its round is done"
            yield Finding("P7", "forgotten question", text, str(seq), session)


def variables_are_kept(case: Case) -> Iterator[Finding]:
    """P5: what a handler set, the next one reads: the counter of messages goes up by one."""
    for session, log in case.logs.items():
        last = 0
        for seq, event in log.items():
            if event["type"] != "VariableSet" or event["name"] != "count":
                continue
            if event["value"] != last + 1:
                text = f"the counter goes from {last} to {event['value']} at {seq}"
                yield Finding("P5", "variable lost", text, str(seq), session)
            last = event["value"]


def rounds_end_as_they_should(case: Case) -> Iterator[Finding]:
    """P8, P9, P12, P13: as their kind may, with all that they owe, and no word too much."""
    for session, log in case.logs.items():
        for round_ in log.rounds():
            said = round_.saying
            if said is None or said[1] not in STATUSES or round_.end is None:
                continue
            about = str(round_.number)
            what = f"round {round_.number} ({said[1]})"
            if len(round_.records) > RECORDS_PER_ROUND + 10:
                text = f"{what} has {len(round_.records)} records"
                yield Finding("P12", "more than its limit", text, about, session)
            if round_.status not in STATUSES[said[1]] and not _excused(case, round_):
                promise = "P9" if round_.status == "diverged" else "P13"
                if said[1] in ("tick", "hang", "swallow"):
                    promise = "P14"
                text = f"{what} ended as {round_.status}"
                yield Finding(promise, "wrong end", text, about, session)
            if round_.status == "done":
                yield from _of_result(session, round_, said, what)
            if round_.status == "failed":
                yield from _of_failure(case, session, round_, what)
            if round_.status == "diverged":
                yield from _of_divergence(session, round_, what)


def _excused(case: Case, round_: RoundLog) -> bool:
    """Whether the operator's log says that the machine had nothing left for the handler."""
    error = (round_.end or {}).get("error", "")
    place = case.operator.find(f"error {error} in session") if error else -1
    if round_.status != "failed" or place < 0:
        return False
    told = case.operator[place : place + 20_000]
    signs = [sign for kind in case.strikes() for sign in _EXCUSES.get(kind, ())]
    return any(sign in told for sign in signs)


def _of_result(
    session: str, round_: RoundLog, said: tuple[str, str, str], what: str
) -> Iterator[Finding]:
    results = [found for _, event in round_.replies if (found := DONE.match(event["text"]))]
    about = str(round_.number)
    if len(results) != 1:
        text = f"{what} has {len(results)} results"
        yield Finding("P8", "results", text, about, session)
        return
    name, kind, number, _, count = results[0].groups()
    counted = [e["value"] for _, e in round_.of("VariableSet") if e["name"] == "count"]
    if (name, kind, number) != said:
        text = f"{what} answers {name} {kind} {number}, it was asked {' '.join(said)}"
        yield Finding("P1", "another's result", text, about, session)
    if counted != [int(count)]:
        text = f"{what} tells the count {count}, it set {counted}"
        yield Finding("P8", "wrong count", text, about, session)


def _of_failure(case: Case, session: str, round_: RoundLog, what: str) -> Iterator[Finding]:
    end = round_.end or {}
    about = str(round_.number)
    shown = f"{end.get('reason', '')} {[event['text'] for _, event in round_.replies]}"
    if SECRET in shown:
        text = f"{what} shows internals to the user"
        yield Finding("P13", "internals shown", text, about, session)
    error = end.get("error", "")
    if case.operator and (not error or error not in case.operator):
        text = f"{what} failed with error id {error!r}, which the operator's log does not have"
        yield Finding("P13", "no error id", text, about, session)


def _of_divergence(session: str, round_: RoundLog, what: str) -> Iterator[Finding]:
    detail = (round_.end or {}).get("detail", "")
    if len(set(re.findall(r"version (\d+)\?", detail))) < 2:
        text = f"{what} diverged, and does not name both sides: {detail!r}"
        yield Finding("P9", "unclear divergence", text, str(round_.number), session)


def edits_are_noticed(case: Case) -> Iterator[Finding]:
    """P9: a question asked by one version is never taken up by another in silence."""
    last: dict[tuple[str, int], str] = {}
    for line in case.world:
        if line["what"] == "edit":
            last[line["session"], line["source"]] = line["version"]
    for session, log in case.logs.items():
        for round_ in log.rounds():
            ran = last.get((session, round_.source))
            asked = [event["text"] for _, event in round_.of("QuestionAsked")]
            if ran is None or round_.status != "done":
                continue
            if not any(f"version {ran}?" in text for text in asked):
                text = f"round {round_.number} asked {asked} and was finished by version {ran}"
                yield Finding("P9", "silent divergence", text, str(round_.number), session)


def steps_run_once(case: Case) -> Iterator[Finding]:
    """P1, P5, P8: what is recorded was computed once and never again; what is told is recorded."""
    runs: dict[tuple[str, int, str], list[str]] = {}
    for line in case.world:
        if line["what"] == "ran":
            key = line["session"], line["source"], line["label"]
            runs.setdefault(key, []).append(line["token"])
    recorded: set[str] = set()
    for session, log in case.logs.items():
        for round_ in log.rounds():
            recorded |= yield from _of_recorded(session, round_, runs)
    for session, log in case.logs.items():
        for seq, event in log.items():
            if event["type"] != "MessageAdded" or event["role"] != "bot":
                continue
            for token in set(TOKEN.findall(event["text"])) - recorded:
                text = f"{token} was told at {seq} and is not recorded"
                yield Finding("P8", "told, not recorded", text, token, session, frozenset({token}))
    yield from _of_runs(case, runs)


def _of_recorded(
    session: str, round_: RoundLog, runs: dict[tuple[str, int, str], list[str]]
) -> Iterator[Finding]:
    mine = {key[2]: tokens for key, tokens in runs.items() if key[:2] == (session, round_.source)}
    found: set[str] = set()
    for _, event in round_.of("StepFinished"):
        for token in TOKEN.findall(str(event.get("value"))):
            found.add(token)
            label = event["path"].rpartition("step:")[2].partition("#")[0]
            ran = mine.get(label, [])
            keep = frozenset({token, f'"label":"{label}"'})
            if ran.count(token) != 1:
                text = f"the result {token} of {label} was computed {ran.count(token)} times"
                yield Finding("P8", "computed", text, token, session, keep)
            elif ran[-1] != token:
                text = f"{label} ran again after its result {token} was recorded"
                yield Finding("P8", "ran again", text, token, session, keep)
            lives = 1 + len(round_.of("RoundResumed"))
            if len(ran) > lives:
                text = f"{label} ran {len(ran)} times in {lives} lives of round {round_.number}"
                yield Finding("P8", "ran too often", text, token, session, keep)
    return found


def _of_runs(case: Case, runs: dict[tuple[str, int, str], list[str]]) -> Iterator[Finding]:
    for (session, source, label), tokens in runs.items():
        keep = frozenset(tokens)
        log = case.logs.get(session)
        if log is None or (log.get(source) or {}).get("type") != "MessageAdded":
            text = f"{label} ran for message {source}, which is not in the log"
            yield Finding("P5", "acted too early", text, f"{source} {label}", session, keep)
        if label == "once" and len(tokens) > 1:
            text = f"{label} ran {len(tokens)} times, and was to run at most once"
            yield Finding("P8", "more than once", text, f"{source} {label}", session, keep)


def stops_stop(case: Case) -> Iterator[Finding]:
    """P14: a stop that was acknowledged ended that round, and nothing of it goes on."""
    ticks: dict[tuple[str, int], float] = {}
    for line in case.world:
        if line["what"] == "tick":
            ticks[line["session"], line["source"]] = line["at"]
    for history in case.histories:
        for command, sent in history.sent.items():
            if sent["t"] == "stop" and command in history.acks:
                session, seq = history.acks[command][0]
                event = _record(case, session, seq)
                if event is not None and event.get("status") != "stopped":
                    text = f"{history.name}: {command} was to stop a round and is {event}"
                    keep = frozenset({f'"{command}"'})
                    yield Finding("P14", "not stopped", text, command, session, keep)
        yield from _of_ticks(case, history.of("records"), ticks)


def _of_ticks(
    case: Case, notes: list[Json], ticks: dict[tuple[str, int], float]
) -> Iterator[Finding]:
    for note in notes:
        for event in note["records"]:
            if event is None or event["type"] != "RoundFinished":
                continue
            session = note["session"]
            source = _source(case.logs.get(session), event["round"])
            late = ticks.get((session, source), 0.0) - note["at"]
            if late > STOP_SECONDS:
                text = f"round {event['round']} was over, and worked on for {late:.1f} s"
                keep = frozenset({'"tick"'})
                yield Finding("P14", "goes on", text, str(event["round"]), session, keep)


def _source(log: Log | None, number: int) -> int:
    for _, event in log.items() if log is not None else ():
        if event["type"] == "RoundStarted" and event["round"] == number:
            return event.get("source", 0)
    return 0


def _record(case: Case, session: str, seq: int) -> Json | None:
    log = case.logs.get(session)
    return None if log is None else log.get(seq)


RULES = (
    rounds_follow_each_other,
    nothing_is_outside,
    nothing_is_journaled_twice,
    variables_are_kept,
    rounds_end_as_they_should,
    edits_are_noticed,
    steps_run_once,
    stops_stop,
)
