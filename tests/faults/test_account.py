"""The account does not put up with what the wire does not allow; each protest is in its history."""

import pytest

from faults.account import Account, Violation
from faults.history import Json

SESSION = "5" * 32


def _visitor() -> Account:
    account = Account("ada")
    account.compose("open", as_="c1")
    account.greeting()
    account.take({"t": "hello", "version": 1, "user": "u1", "limits": {}})
    account.take({"t": "ack", "id": "c1", "session": SESSION, "seq": 1})
    account.take(_records(0))
    started = {"type": "RoundStarted", "round": 1, "cause": "open"}
    account.take(_records(1) | {"records": [started]})
    account.take({"t": "live", "session": SESSION, "upto": 2})
    return account


def _records(after: int, text: str = "x", count: int = 1) -> Json:
    event = {"type": "MessageAdded", "role": "bot", "text": text, "path": "stream#1"}
    return {"t": "records", "session": SESSION, "after": after, "records": [event] * count}


def _delta(offset: int, text: str) -> Json:
    place = {"session": SESSION, "round": 1, "path": "stream#1"}
    return {"t": "delta", **place, "offset": offset, "text": text}


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([_records(3)], id="a gap"),
        pytest.param([_records(1, count=2)], id="a repeat"),
        pytest.param([_records(2, count=0)], id="nothing"),
        pytest.param([{"t": "live", "session": SESSION, "upto": 9}], id="live too far"),
        pytest.param([{"t": "hello", "user": "u1", "limits": {}}], id="a second hello"),
        pytest.param([_delta(3, "abc")], id="a hole in a stream"),
        pytest.param([_delta(0, "abc"), _records(2, "abd")], id="another text in the end"),
        pytest.param([_records(2), _delta(0, "x")], id="a ghost of a stream"),
        pytest.param([{"t": "ack", "id": "c9", "session": SESSION, "seq": 3}], id="a foreign ack"),
        pytest.param([{"t": "ack", "id": "c1", "session": SESSION, "seq": 3}], id="a moving ack"),
        pytest.param(
            [{"t": "refused", "id": "c1", "code": "busy", "message": ""}], id="a late refusal"
        ),
    ],
)
def test_the_account_does_not_put_up_with(frames: list[Json]) -> None:
    account = _visitor()
    *harmless, last = frames
    for frame in harmless:
        account.take(frame)
    with pytest.raises(Violation):
        account.take(last)
    assert [note["frame"] for note in account.history.of("protest")] == [last]


def test_another_user_after_a_return_is_somebody_else() -> None:
    account = _visitor()
    account.greeting()
    with pytest.raises(Violation, match="somebody else"):
        account.take({"t": "hello", "version": 1, "user": "u2", "limits": {}})


def test_the_account_puts_a_stream_together_and_lets_the_record_replace_it() -> None:
    account = _visitor()
    for frame in (_delta(0, "abc"), _delta(3, "def"), _delta(0, "ab"), _delta(2, "cdé")):
        account.take(frame)
    assert account.streams == {(SESSION, 1, "stream#1"): "abcdé"}
    account.take(_records(2, "abcdéf"))
    assert account.streams == {}


def test_who_returns_says_where_it_is_and_repeats_what_has_no_answer() -> None:
    account = _visitor()
    account.resume = "token"
    account.compose("say", SESSION, as_="c2", text="hi")
    assert account.greeting() == [
        {"t": "hello", "versions": [1], "resume": "token"},
        {"t": "attach", "session": SESSION, "after": 2},
        {"t": "say", "id": "c2", "text": "hi", "session": SESSION},
    ]
