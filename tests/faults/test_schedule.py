"""The same seed is the same storm, and every kind of fault gets its turn."""

from faults.schedule import SECONDS, plan


def test_a_seed_makes_the_same_plan_each_time_and_another_seed_another() -> None:
    assert plan(7, 60, SECONDS) == plan(7, 60, SECONDS)
    assert plan(7, 60, SECONDS) != plan(8, 60, SECONDS)


def test_every_kind_comes_before_any_comes_again() -> None:
    for seed in range(20):
        kinds = [strike.kind for strike in plan(seed, 120, SECONDS)]
        assert set(kinds[: len(SECONDS)]) == set(SECONDS)
        assert len(kinds) > 2 * len(SECONDS)


def test_strikes_come_one_at_a_time_and_end_in_time() -> None:
    for seed in range(20):
        strikes = plan(seed, 60, SECONDS, gap=0.5)
        ends = [strike.at + strike.seconds for strike in strikes]
        assert all(end <= later.at for end, later in zip(ends, strikes[1:], strict=False))
        assert ends[-1] <= 60
        assert any(strike.killed for strike in strikes)


def test_without_faults_there_is_peace() -> None:
    assert plan(7, 60, ()) == []
