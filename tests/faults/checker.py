"""The judge: reads all histories, the store and the world, and names every broken promise. Pure."""

from collections.abc import Collection, Mapping, Sequence

from faults import log_rules, machine_rules, wire_rules
from faults.case import Case, Log
from faults.finding import Finding, Rule
from faults.history import History

RULES: tuple[Rule, ...] = (*wire_rules.RULES, *log_rules.RULES, *machine_rules.RULES)


def judge(case: Case, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """Everything that should not be; an empty list if all is well."""
    return [finding for rule in rules for finding in rule(case)]


def violations(
    histories: Sequence[History],
    logs: Mapping[str, Log],
    *,
    statuses: Collection[str] = ("done",),
) -> list[str]:
    """The same for visits of an app whose rounds may end in `statuses` only."""
    case = Case(histories, logs)
    found = [str(finding) for finding in judge(case)]
    for history in histories:
        waiting = [command for command in history.sent if not _is_answered(history, command)]
        found += [f"{history.name}: {command} was never answered" for command in waiting]
    for session, log in logs.items():
        for round_ in log.rounds():
            if round_.status not in statuses:
                ended = f"round {round_.number} ended as {round_.status or 'nothing'}"
                found.append(f"session {session[:6]}: {ended}")
    return found


def _is_answered(history: History, command: str) -> bool:
    return command in history.acks or command in history.refused
