from hypothesis import given
from hypothesis import strategies as st

from parlour.transports.terminal.page import Page, Tail
from parlour.transports.terminal.visible import one_line, visible

STEERING = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\ud800"]


@given(st.text())
def test_nothing_that_steers_is_left_of_any_text(text):
    shown = visible(text)
    assert not set(shown) & (set(STEERING) - {"\n"})
    shown.encode()


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.just("\n")))
def test_harmless_text_is_left_as_it_is(text):
    assert visible(text) == text


def test_one_line_is_one_line_and_bounded():
    assert one_line("a\nb\x1b c", 100) == "a b␛ c"
    assert len(one_line("x" * 500, 80)) == 80


@given(st.text(alphabet="ab#*-`\n 1."), st.integers(1, 7))
def test_a_streamed_message_gives_out_each_of_its_words_once(text, step):
    page, tail = Page(width=80), Tail(Page(width=80))
    pieces = [tail.grow(text[:end]) for end in range(step, len(text), step)]
    pieces.append(tail.finish(text))
    streamed, whole = "".join(pieces), page.bot(visible(text))
    assert streamed.count("a") + streamed.count("b") == whole.count("a") + whole.count("b")


def test_a_finished_block_is_given_out_while_the_next_is_written():
    tail = Tail(Page(width=80))
    assert tail.grow("first block") == ""
    assert "first block" in tail.grow("first block\n\nsecond")
    assert tail.text == "second"
    assert "second block" in tail.finish("first block\n\nsecond block")


def test_a_message_that_begins_anew_is_shown_whole():
    tail = Tail(Page(width=80))
    tail.grow("one\n\ntwo")
    assert "other" in tail.finish("other words")
