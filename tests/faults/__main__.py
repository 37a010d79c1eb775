"""`python -m faults`: a storm at length (`make chaos`), or the judgement of one that was kept."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from faults.campaign import Orders, storm, told
from faults.case import Case
from faults.checker import judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the faults last")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same storm")
    parser.add_argument("--visitors", type=int, default=200)
    parser.add_argument("--gap", type=float, default=2.0, help="seconds of peace between faults")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of faults")
    parser.add_argument("--broken", default="", help="an engine of faults.broken")
    parser.add_argument("--keep", type=Path, help="where everything is written; kept")
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="judge a storm that was kept")
    options = parser.parse_args()
    if options.judge is not None:
        case = Case.load(options.judge)
        findings = judge(case)
        print(told(findings, case) or "nothing to say")
        return 1 if findings else 0
    folder = options.keep or Path(tempfile.mkdtemp(prefix="parlour-storm-"))
    orders = Orders(
        seed=options.seed,
        seconds=options.minutes * 60,
        visitors=options.visitors,
        kinds=None if options.kinds is None else frozenset(options.kinds),
        gap=options.gap,
        broken=options.broken,
    )
    outcome = storm(orders, folder)
    print(f"seed                {options.seed}, {outcome.seconds:.0f} s in all")
    print(outcome.summary())
    if outcome.findings:
        print(f"\n{told(outcome.findings, outcome.case)}\n\neverything is in {folder}")
        return 1
    if options.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
