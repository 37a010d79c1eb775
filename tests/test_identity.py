from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parlour.transports.identity import COOKIE, Identity

OURS = Identity(b"secret", origins=["https://Other.Example/"])
THEIRS = Identity(b"another secret")

USER = "0123456789abcdef0123456789abcdef"
TOKEN = OURS.token(USER)


def cookie(value: str) -> tuple[bytes, bytes]:
    return (b"cookie", value.encode("latin-1"))


def bearer(token: str) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token}".encode("latin-1"))


@pytest.mark.promise("P17")
def test_a_new_user_is_unguessable():
    users = {OURS.new_user() for _ in range(100)}

    assert len(users) == 100
    assert all(len(bytes.fromhex(user)) == 16 for user in users)


@pytest.mark.promise("P17")
def test_a_token_names_its_user_and_nobody_else_can_make_it():
    assert OURS.user_of(TOKEN) == USER
    assert Identity(b"secret").user_of(TOKEN) == USER
    assert THEIRS.user_of(TOKEN) is None
    assert OURS.user_of(USER) is None


@pytest.mark.promise("P17")
@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_that_was_changed_anywhere_names_nobody(place, character):
    forged = TOKEN[:place] + character + TOKEN[place + 1 :]

    assert forged == TOKEN or OURS.user_of(forged) is None


@pytest.mark.promise("P17")
def test_the_bits_of_a_signature_that_mean_nothing_are_ours_as_well():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    forms = [letter for letter in letters if OURS.user_of(TOKEN[:-1] + letter)]
    assert forms == [TOKEN[-1]]


def test_a_user_is_known_by_cookie_or_by_bearer_token():
    assert OURS.user_from([cookie(f"{COOKIE}={TOKEN}")]) == USER
    assert OURS.user_from([cookie(f"a=b; {COOKIE}={TOKEN}; c=d")]) == USER
    assert OURS.user_from([(b"cookie", b"a=b"), cookie(f"{COOKIE}={TOKEN}")]) == USER
    assert OURS.user_from([bearer(TOKEN)]) == USER
    assert OURS.user_from([(b"authorization", f"bearer {TOKEN}".encode())]) == USER
    assert OURS.user_from([cookie(f"{COOKIE}=forged"), bearer(TOKEN)]) == USER


@pytest.mark.parametrize(
    "other", ["a/b=1", "a@b=1", "a[0]=1", 'a="x y', 'a={"x": 1}', "=1", "é=1", "a b", "", 'a="b;c"']
)
def test_other_cookies_of_the_same_host_do_no_harm(other):
    assert OURS.user_from([cookie(f"{other}; {COOKIE}={TOKEN}")]) == USER
    assert OURS.user_from([cookie(f"{COOKIE}={TOKEN}; {other}")]) == USER


def test_an_older_cookie_of_the_same_name_does_no_harm():
    assert OURS.user_from([cookie(f"{COOKIE}=old; {COOKIE}={TOKEN}")]) == USER


def test_whoever_brings_no_token_of_ours_is_nobody_we_know():
    assert OURS.user_from([]) is None
    assert OURS.user_from([cookie("a=b")]) is None
    assert OURS.user_from([cookie(f"{COOKIE}={THEIRS.token(USER)}")]) is None
    assert OURS.user_from([bearer(THEIRS.token(USER))]) is None
    assert OURS.user_from([(b"authorization", f"Basic {TOKEN}".encode())]) is None
    assert OURS.user_from([(b"x-user", TOKEN.encode())]) is None


names = st.sampled_from([b"cookie", b"authorization", b"origin", b"host", b"x"])
values = (
    st.binary(max_size=40)
    | st.binary(max_size=20).map(b"Bearer ".__add__)
    | st.binary(max_size=20).map(f"{COOKIE}=".encode().__add__)
    | st.binary(max_size=8).map(lambda noise: f"{COOKIE}={TOKEN}".encode() + noise)
)


@pytest.mark.promise("P17")
@given(st.lists(st.tuples(names, values), max_size=4))
@example([(b"cookie", b'parlour_user="\xff\\999"')])
@example([(b"cookie", b"\x00;=")])
@example([(b"authorization", b"Bearer ")])
@example([(b"authorization", b"Bearer " + b"x" * 100_000)])
@example([(b"cookie", b"parlour_user=" + b"." * 100_000)])
def test_any_headers_name_a_user_of_ours_or_nobody(headers):
    assert OURS.user_from(headers) in (None, USER)


@pytest.mark.promise("P17")
@given(st.text(st.characters(), max_size=30))
@example("\ud800.x")
@example("é.é")
def test_any_text_is_a_token_of_ours_or_names_nobody(text):
    assert OURS.user_of(text) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("", "chat.example"),
        ("https://chat.example", "chat.example"),
        ("http://localhost:8000", "localhost:8000"),
        ("https://CHAT.example", "Chat.Example"),
        ("https://other.example", "chat.example"),
    ],
)
def test_our_own_page_and_listed_origins_are_allowed(origin, host):
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]

    assert OURS.allows(headers if origin else headers[:1])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "chat.example"),
        ("https://chat.example.evil.example", "chat.example"),
        ("https://chat.example:8443", "chat.example"),
        ("http://other.example", "chat.example"),
        ("null", "chat.example"),
        ("null", ""),
        ("http://[::1", "chat.example"),
        ("http://[", ""),
        ("https://chat.example@evil.example", "chat.example"),
    ],
)
def test_other_pages_are_not_allowed(origin, host):
    assert not OURS.allows([(b"host", host.encode()), (b"origin", origin.encode())])


@given(st.lists(st.tuples(names, values), max_size=4))
@example([(b"origin", b"http://["), (b"host", b"x")])
@example([(b"origin", b"\xff"), (b"host", b"\xff")])
def test_any_headers_are_allowed_or_not(headers):
    assert OURS.allows(headers) in (True, False)
