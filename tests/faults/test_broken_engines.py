"""The checker is worth something only if it catches engines that are wrong: each of these."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from faults.broken import ENGINES
from faults.campaign import Orders, Outcome, storm, told

AT_ONCE = 4
SEEDS = 3


@pytest.fixture(scope="module")
def storms(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[Outcome]"]]:
    """A short storm for each engine that is asked for; they mostly wait, so some run at once."""
    wanted = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(_storms, name, tmp_path_factory.mktemp("storm")) for name in wanted
        }


def _storms(name: str, folder: Path) -> Outcome:
    """A storm is over soon, and may pass by what is wrong: then another one comes."""
    for seed in range(len(name), len(name) + SEEDS):
        outcome = _storm(name, seed, folder / str(seed))
        if _rules(outcome) & ENGINES[name].seen:
            break
    return outcome


def _rules(outcome: Outcome) -> set[str]:
    return {f"{finding.promise} {finding.rule}" for finding in outcome.findings}


def _storm(name: str, seed: int, folder: Path) -> Outcome:
    engine = ENGINES[name]
    folder.mkdir()
    orders = Orders(
        seed=seed,
        seconds=5.0 if engine.strikes else 2.0,
        visitors=8,
        kinds=engine.strikes,
        gap=1.2,
        broken=name,
        weights=engine.weights,
        patience=20.0 if engine.strikes else 10.0,
        plain_disk=True,
    )
    return storm(orders, folder / "kept")


@pytest.mark.parametrize("name", ENGINES)
def test_the_checker_catches_an_engine_that(
    name: str, storms: dict[str, "Future[Outcome]"]
) -> None:
    outcome = storms[name].result(100)
    seen = _rules(outcome)
    assert seen & ENGINES[name].seen, f"{outcome.summary()}\n{sorted(seen)}"
    wanted = [f for f in outcome.findings if f"{f.promise} {f.rule}" in ENGINES[name].seen]
    assert len(told(wanted, outcome.case).splitlines()) < 100
