"""The page's modules that need no server, each tried by itself in the browser."""

import json
import mimetypes
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

PAGE = files("parlour.web").joinpath("page")
HOST = "http://page.test/"


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    """An empty page that can import the modules."""
    page = browser.new_page()

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(HOST)
        if not name:
            route.fulfill(body="<!doctype html><main></main>", content_type="text/html")
            return
        kind = mimetypes.guess_type(name)[0] or ""
        route.fulfill(body=PAGE.joinpath(name).read_bytes(), content_type=kind)

    page.route(f"{HOST}**", answer)
    page.goto(HOST)
    yield page
    page.close()


@pytest.fixture
def rendered(blank: Page) -> Callable[[str], str]:
    """The HTML that a Markdown text becomes."""

    def render(text: str) -> str:
        html: str = blank.evaluate(
            """async (text) => {
                const { Markdown } = await import("/markdown.js");
                const place = document.createElement("div");
                new Markdown(place).update(text);
                return place.innerHTML;
            }""",
            text,
        )
        return html

    return render


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("# Title #", "<h2>Title</h2>"),
        ("#hashtag", "<p>#hashtag</p>"),
        ("**bold** *em*", "<p><strong>bold</strong> <em>em</em></p>"),
        ("__bold__ _em_ ~~no~~", "<p><strong>bold</strong> <em>em</em> <del>no</del></p>"),
        ("***both***", "<p><strong><em>both</em></strong></p>"),
        ("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"),
        ("**a *b***", "<p><strong>a <em>b</em></strong></p>"),
        ("3*4*5 and some_long_name", "<p>3*4*5 and some_long_name</p>"),
        ("**open", "<p>**open</p>"),
        (r"\*plain\* \\", "<p>*plain* \\</p>"),
        ("`a*b*c` and ``a`b``", "<p><code>a*b*c</code> and <code>a`b</code></p>"),
        ("a < b & c > d", "<p>a &lt; b &amp; c &gt; d</p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
        ("- a\n  - b\n    - c", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>"),
        ("1. a\n  - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
        ("7. a\n8. b", '<ol start="7"><li>a</li><li>b</li></ol>'),
        ("text\n- a", "<p>text</p><ul><li>a</li></ul>"),
        ("in 2026. And", "<p>in 2026. And</p>"),
        ("> a\n> > b", "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        ("[a](ftp://x)", "<p><span>a</span></p>"),
        ("[a](/local)", "<p><span>a</span></p>"),
        ("[", "<p>[</p>"),
        ("", ""),
    ],
)
def test_markdown(rendered: Callable[[str], str], text: str, html: str) -> None:
    assert rendered(text) == html


def test_a_table_has_heads_rows_and_sides(blank: Page, rendered: Callable[[str], str]) -> None:
    html = rendered("Before:\n| a | b |\n|:--|--:|\n| 1 | 2 \\| 3 |\n| 4 |\nafter")
    assert "<p>Before:</p>" in html
    assert '<th scope="col">a</th><th class="end" scope="col">b</th>' in html
    assert '<td>1</td><td class="end">2 | 3</td>' in html
    assert '<td>4</td><td class="end"></td>' in html
    assert html.endswith("<p>after</p>")


def test_code_stands_as_it_was_written_even_before_its_end(
    rendered: Callable[[str], str],
) -> None:
    html = rendered("```python\n<b>\n\n- x")
    assert "<code>&lt;b&gt;\n\n- x</code>" in html
    assert "<span>python</span>" in html


@pytest.mark.parametrize("step", [1, 7])
def test_markdown_that_grows_ends_like_markdown_that_came_at_once(blank: Page, step: int) -> None:
    text = (
        "# One\r\n\r\ntext **bold** and `code`\n\n1. a\n   - b\n2. c\n\n\n> quote\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n"
        "- x\n\n- y\n\nend 👋🏽"
    )
    grown, whole = blank.evaluate(
        """async ([text, step]) => {
            const { Markdown } = await import("/markdown.js");
            const places = [document.createElement("div"), document.createElement("div")];
            const growing = new Markdown(places[0]);
            for (let end = 0; end < text.length; end += step) growing.update(text.slice(0, end));
            growing.update(text);
            new Markdown(places[1]).update(text);
            return places.map((place) => place.innerHTML);
        }""",
        [text, step],
    )
    assert grown == whole


def test_blocks_that_do_not_change_keep_their_elements(blank: Page) -> None:
    same = blank.evaluate(
        """async () => {
            const { Markdown } = await import("/markdown.js");
            const place = document.createElement("div");
            const growing = new Markdown(place);
            growing.update("one\\n\\ntwo\\n\\nthree");
            const first = [...place.children].slice(0, 2);
            growing.update("one\\n\\ntwo\\n\\nthree and more\\n\\nfour");
            return first.every((node, index) => place.children[index] === node);
        }"""
    )
    assert same


@pytest.mark.parametrize(
    "hostile", ["*", "_a", "`", "[", "](", "<", "> ", "- ", "**a ", "| ", "\\"]
)
def test_hostile_markdown_takes_no_more_than_a_moment(blank: Page, hostile: str) -> None:
    took = blank.evaluate(
        """async (hostile) => {
            const { Markdown } = await import("/markdown.js");
            const before = performance.now();
            new Markdown(document.createElement("div")).update(hostile.repeat(20_000));
            return performance.now() - before;
        }""",
        hostile,
    )
    assert took < 2_000


# -- the store of records ---------------------------------------------------------------------


@pytest.fixture
def conversation(blank: Page) -> Callable[[list[Any]], dict[str, Any]]:
    """What a conversation is after frames: `records`, `delta` or `live`."""

    def after(frames: list[Any]) -> dict[str, Any]:
        state: dict[str, Any] = blank.evaluate(
            """async (frames) => {
                const { Conversation } = await import("/conversation.js");
                const it = new Conversation();
                const took = frames.map((frame) => frame.t === "records" ? it.addRecords(frame)
                    : frame.t === "delta" ? it.addDelta(frame) : it.goLive());
                const shown = [...it.items, ...it.streams.values(), ...it.queue];
                return {
                    took, place: it.place, round: it.round, texts: shown.map(({ text }) => text),
                    keys: shown.map(({ key }) => key), open: [...it.questions.keys()],
                    kinds: shown.map(({ kind }) => kind),
                };
            }""",
            frames,
        )
        return state

    return after


def records(after: int, *events: dict[str, Any], upto: int = 0) -> dict[str, Any]:
    pairs = [[after + 1 + index, event] for index, event in enumerate(events)]
    return {"t": "records", "after": after, "upto": upto or after + len(events), "records": pairs}


def user(text: str, command: str = "") -> dict[str, Any]:
    return {"type": "MessageAdded", "role": "user", "text": text, "command": command}


def bot(text: str, path: str) -> dict[str, Any]:
    return {"type": "MessageAdded", "role": "bot", "text": text, "path": path}


def delta(offset: int, text: str, path: str = "stream#1") -> dict[str, Any]:
    return {"t": "delta", "round": 1, "path": path, "offset": offset, "text": text}


STARTED = {"type": "RoundStarted", "round": 1, "cause": "message", "source": 1}
DONE = {"type": "RoundFinished", "round": 1, "status": "done"}
LIVE = {"t": "live", "upto": 0}


@pytest.mark.promise("P2")
@pytest.mark.promise("P6")
def test_records_that_come_twice_are_taken_once(conversation) -> None:
    both = records(0, user("a"), STARTED, bot("b", "reply#1"))
    state = conversation([both, both, records(1, STARTED, bot("b", "reply#1"), DONE)])
    assert state["texts"] == ["a", "b"]
    assert state["place"] == 4
    assert state["took"] == [True, True, True]


@pytest.mark.promise("P6")
def test_a_gap_is_noticed_and_nothing_behind_it_is_taken(conversation) -> None:
    state = conversation([records(0, user("a")), records(2, bot("b", "reply#1"))])
    assert state["took"] == [True, False]
    assert state["place"] == 1
    assert state["texts"] == ["a"]


def test_records_that_are_not_sent_still_move_the_place(conversation) -> None:
    state = conversation([records(0, user("a"), upto=7), records(7, upto=9)])
    assert state["place"] == 9


@pytest.mark.promise("P16")
def test_events_of_a_later_version_are_ignored(conversation) -> None:
    state = conversation([records(0, {"type": "PlotDrawn", "data": 1}, user("a"))])
    assert state["texts"] == ["a"]


def test_a_delta_s_offset_counts_code_points(conversation) -> None:
    state = conversation([LIVE, delta(0, "a👋🏽b"), delta(4, "c"), delta(1, "…"), delta(2, "d")])
    assert state["texts"] == ["a…d"]


def test_a_message_replaces_what_was_streamed_of_it(conversation) -> None:
    before = [records(0, user("a"), STARTED), LIVE, delta(0, "Hel")]
    assert conversation(before)["keys"][-1] == "b:1:stream#1"
    after = conversation([*before, records(2, bot("Hello", "stream#1")), delta(3, "lo")])
    assert after["texts"] == ["a", "Hello"]
    assert after["keys"][-1] == "b:1:stream#1"


@pytest.mark.promise("P6")
def test_who_attaches_again_gets_the_text_so_far_in_place_of_the_old(conversation) -> None:
    frames = [
        records(0, user("a"), STARTED),
        LIVE,
        delta(0, "lost wor"),
        LIVE,
        delta(0, "new text"),
    ]
    assert conversation(frames)["texts"] == ["a", "new text"]


def test_a_missing_piece_of_a_stream_is_noticed(conversation) -> None:
    assert conversation([LIVE, delta(0, "abc"), delta(5, "f")])["took"][-1] is False


def test_what_a_stopped_round_had_written_stays_on_the_screen(conversation) -> None:
    stopped = {"type": "RoundFinished", "round": 1, "status": "stopped"}
    frames = [records(0, user("a"), STARTED), LIVE, delta(0, "half an ans"), records(2, stopped)]
    state = conversation(frames)
    assert state["texts"] == ["a", "half an ans", "Stopped"]
    assert state["round"] == 0


def test_a_message_of_this_tab_keeps_its_element_when_it_is_recorded(conversation) -> None:
    state = conversation([records(0, user("a", "id-1"), user("b", "id-1"))])
    assert state["keys"] == ["c:id-1", "r:2"]


def test_questions_of_a_round_that_is_over_are_closed(conversation) -> None:
    asked = {"type": "QuestionAsked", "path": "ask#1", "text": "?", "question": {"kind": "text"}}
    frames = [records(0, user("a"), STARTED, asked, asked | {"path": "ask#2"})]
    assert conversation(frames)["open"] == [3, 4]
    answered = {"type": "QuestionAnswered", "question": 3, "value": "x", "text": "x"}
    assert conversation([*frames, records(4, answered)])["open"] == [4]
    assert conversation([*frames, records(4, answered, DONE)])["open"] == []


# -- forms ------------------------------------------------------------------------------------

SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "default": "x"}, "x"),
    ({"type": "string", "format": "date", "default": "2026-11-21"}, "2026-11-21"),
    (
        {"type": "string", "format": "date-time", "default": "2026-11-21T10:00:05Z"},
        "2026-11-21T10:00:05.000Z",
    ),
    ({"type": "integer", "minimum": 1, "default": 3}, 3),
    ({"type": "number", "default": 2.5}, 2.5),
    ({"type": "boolean"}, False),
    ({"enum": ["a", 2], "default": 2}, 2),
    ({"const": 7}, 7),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
    ({"type": ["string", "null"]}, None),
    ({"$ref": "#/$defs/Size", "default": "L"}, "L"),
    ({"type": "array", "items": {"enum": ["x", "y"]}, "default": ["y"]}, ["y"]),
    ({"type": "array", "items": {"type": "string"}, "default": ["a", "b"]}, ["a", "b"]),
    ({"type": "array", "items": {"type": "integer"}, "default": [1, 2]}, [1, 2]),
    ({"type": "object", "default": {"k": [1]}}, {"k": [1]}),
    (
        {
            "type": "object",
            "properties": {"deep": {"type": "string", "default": "d"}},
            "required": ["deep"],
        },
        {"deep": "d"},
    ),
    ({"oneOf": [{"const": "s", "title": "Small"}, {"const": "l"}], "default": "l"}, "l"),
]


@pytest.mark.parametrize(("schema", "value"), SCHEMAS, ids=[json.dumps(one) for one, _ in SCHEMAS])
def test_a_form_gives_back_what_it_was_filled_with(
    blank: Page, schema: dict[str, Any], value: Any
) -> None:
    whole = {
        "type": "object",
        "properties": {"field_name": schema},
        "required": ["field_name"],
        "$defs": {"Size": {"enum": ["S", "L"]}},
    }
    given = blank.evaluate(
        """async (schema) => {
            const { formFields } = await import("/form.js");
            return formFields(schema).read();
        }""",
        whole,
    )
    assert given == {"field_name": value}


def test_an_empty_optional_field_is_left_out(blank: Page) -> None:
    given = blank.evaluate(
        """async () => {
            const { formFields } = await import("/form.js");
            const properties = { a: { type: "string" }, b: { type: "integer" } };
            return formFields({ type: "object", properties }).read();
        }"""
    )
    assert given == {}
