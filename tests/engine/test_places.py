"""So many at a time, the rest in turn, one owner after the other."""

from __future__ import annotations

import threading

from parlour.engine.places import Places


def taking(turns: Places, begun: list[str], owner: str, name: str) -> object:
    def go() -> bool:
        begun.append(name)
        return True

    turns.take(owner, go)
    return go


def test_so_many_begin_at_once_and_the_others_when_a_place_is_given_back() -> None:
    turns, begun = Places(2), []
    for name in "abcd":
        taking(turns, begun, name, name)
    assert begun == ["a", "b"]
    assert turns.waiting == 2
    turns.give_back()
    assert begun == ["a", "b", "c"]
    turns.give_back()
    turns.give_back()
    assert begun == ["a", "b", "c", "d"]
    assert turns.waiting == 0


def test_whoever_wants_much_at_once_holds_up_nobody_else() -> None:
    turns, begun = Places(1), []
    for number in range(100):
        taking(turns, begun, "greedy", f"greedy {number}")
    taking(turns, begun, "modest", "modest")
    assert turns.waiting == 2
    assert turns.waiting_of("greedy") == 99
    turns.give_back()
    turns.give_back()
    assert begun == ["greedy 0", "greedy 1", "modest"]


def test_a_turn_that_is_not_wanted_any_more_is_passed_on() -> None:
    turns, begun = Places(1), []
    taking(turns, begun, "a", "a")
    turns.take("b", lambda: False)
    taking(turns, begun, "c", "c")
    turns.give_back()
    assert begun == ["a", "c"]
    turns.give_back()
    turns.take("d", lambda: False)
    taking(turns, begun, "e", "e")
    assert begun == ["a", "c", "e"]


def test_a_turn_can_be_withdrawn_until_it_begins() -> None:
    turns, begun = Places(1), []
    first = taking(turns, begun, "a", "first")
    second = taking(turns, begun, "a", "second")
    assert turns.withdraw("a", second)  # type: ignore[arg-type]
    assert not turns.withdraw("a", second)  # type: ignore[arg-type]
    assert not turns.withdraw("a", first)  # type: ignore[arg-type]
    assert turns.waiting == 0
    turns.give_back()
    assert begun == ["first"]


def test_when_it_is_opened_nobody_waits_any_more() -> None:
    turns, begun = Places(1), []
    for name in "abc":
        taking(turns, begun, name, name)
    turns.open()
    taking(turns, begun, "d", "d")
    assert begun == ["a", "b", "c", "d"]


def test_threads_never_have_more_places_than_there_are() -> None:
    turns, lock = Places(3), threading.Lock()
    inside = most = done = 0
    all_done = threading.Event()

    def work(owner: int) -> None:
        nonlocal inside, most, done
        for _ in range(200):
            turn = threading.Event()
            turns.take(owner, lambda turn=turn: turn.set() or True)
            assert turn.wait(30)
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            turns.give_back()
        with lock:
            done += 1
            if done == 8:
                all_done.set()

    for owner in range(8):
        threading.Thread(target=work, args=(owner,), daemon=True).start()
    assert all_done.wait(60)
    assert 1 <= most <= 3
    assert turns.waiting == 0
