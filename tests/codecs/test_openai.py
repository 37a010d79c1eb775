"""The OpenAI dialect, without a server."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert
from told import (
    NOTES,
    PICTURE,
    SESSION,
    asked,
    bot,
    feed,
    heading,
    link,
    raw,
    sse,
    streamed,
    user,
)

from parlour.errors import Refused
from parlour.events import (
    AnswerRejected,
    CostAdded,
    PartBegun,
    PartEnded,
    QuestionAnswered,
    RoundFinished,
    RoundStarted,
    SessionClosed,
    VariableSet,
)
from parlour.questions import ChoiceQuestion, FileQuestion, Option, TextQuestion
from parlour.transports.codecs.openai import chat, ids
from parlour.transports.codecs.openai.chat import Completion
from parlour.transports.codecs.openai.errors import (
    Problem,
    error_of,
    missing,
    status_of,
    unauthorised,
)
from parlour.transports.codecs.openai.items import item_of
from parlour.transports.codecs.openai.requests import (
    ChatRequest,
    ResponseRequest,
    Tool,
    Turn,
    chat_prompt,
    fingerprint,
    merge,
    read_body,
    response_prompt,
)
from parlour.transports.codecs.openai.responses import Asking, Response
from parlour.transports.codecs.openai.tasks import do_task, is_task
from parlour.transports.codecs.openai.tool import find_tool, read_result
from parlour.transports.codecs.openai.transcript import Transcript
from parlour.transports.codecs.reply import Reply

START = RoundStarted(round=1, cause="message", source=3)
DONE = RoundFinished(round=1, status="done")
WORK = (
    PartBegun(path="part:S#1", name="Search", input="hotels"),
    PartEnded(path="part:S#1/end#1", output="found 3"),
)
CITIES = ChoiceQuestion(options=tuple(Option(value=c, label=c) for c in ("Paris", "Rome")))
ITEM = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "header": {"type": "string"},
        "multiple": {"type": "boolean"},
        "extra": {"type": "array"},
        "options": {
            "type": "array",
            "minItems": 2,
            "maxItems": 3,
            "items": {"type": "object", "properties": {"label": {}}},
        },
    },
    "required": ["question", "options", "header", "multiple", "extra", 5],
}
OFFERED = {
    "type": "function",
    "function": {
        "name": "ask_user",
        "parameters": {"properties": {"questions": {"items": ITEM}, "odd": True}},
    },
}


def tool(parameters=None, name="ask_user"):
    found = find_tool([Tool(type="function", name=name, parameters=parameters)])
    assert found is not None
    return found


# -- requests -------------------------------------------------------------------------------


def body(**fields):
    return json.dumps({"model": "desk", **fields}).encode()


def prompt(*messages):
    return chat_prompt(read_body(body(messages=list(messages)), ChatRequest))


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def test_what_is_new_is_what_the_user_said_last():
    found = prompt(
        said("system", "be kind"),
        said("user", "hi "),
        said(
            "assistant", [{"type": "text", "text": "Hello"}, {"type": "refusal", "refusal": "no"}]
        ),
        said("user", "more"),
    )
    assert found.history == (Turn("user", "hi"), Turn("assistant", "Hello\n\nno"))
    assert found.said == Turn("user", "more")
    assert list(found.splits()) == [(found.history, found.said)]


def test_what_was_said_without_a_reply_may_be_known_or_new():
    found = prompt(said("user", "one"), said("user", "two"))
    assert found.said == Turn("user", "one\n\ntwo")
    assert list(found.splits()) == [
        ((Turn("user", "one"),), Turn("user", "two")),
        ((), Turn("user", "one\n\ntwo")),
    ]


def test_the_result_of_a_call_is_what_the_user_says():
    call = {"id": "call_1", "type": "function", "function": {"name": "ask_user"}}
    found = prompt(
        said("user", "book"),
        said("assistant", None, tool_calls=[call]),
        said("tool", "Rome", tool_call_id="call_1"),
    )
    assert found.said == Turn("user", "Rome", (), "call_1")
    assert found.history[1] == Turn("assistant", "[call_1]")


def test_a_response_takes_a_text_or_items():
    assert response_prompt(read_body(body(input="hi"), ResponseRequest)).said == Turn("user", "hi")
    items = [
        said("developer", "x"),
        said("user", "hi"),
        {"type": "reasoning", "summary": []},
        {"type": "message", **said("assistant", "Hello")},
        {"type": "function_call", "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "Rome"},
    ]
    request = read_body(body(input=items, conversation={"id": "conv_1"}), ResponseRequest)
    found = response_prompt(request)
    assert request.conversation_id == "conv_1"
    assert found.said == Turn("user", "Rome", (), "call_1")
    assert found.history[1] == Turn("assistant", "Hello\n\n[call_1]")


def parts(*given):
    return prompt(said("user", list(given))).said


def test_files_come_as_data_or_uploads_and_addresses_stay_words():
    data = base64.b64encode(b"abc").decode()
    found = parts(
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "input_image", "image_url": "https://a.example/b.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "file", "file": {"file_data": data, "filename": "a.bin"}},
        {"type": "input_file", "file_url": "http://a.example/c"},
        {"type": "input_file", "filename": "d", "file_data": "data:,a%20b"},
        {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}},
        {"type": "input_audio", "input_audio": {"data": data}},
    )
    assert found.text == "![image](https://a.example/b.png)\n\n[file](http://a.example/c)"
    shown = [(file.name, file.type, file.data, file.upload) for file in found.files]
    assert shown == [
        ("image.png", "image/png", b"abc", ""),
        ("image", "application/octet-stream", b"", "file-1"),
        ("a.bin", "application/octet-stream", b"abc", ""),
        ("d", "text/plain", b"a b", ""),
        ("audio.mp3", "audio/mpeg", b"abc", ""),
        ("audio.wav", "audio/wav", b"abc", ""),
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video"},
        {"type": "file", "file": {}},
        {"type": "file", "file": {"file_data": "!"}},
        {"type": "image_url", "image_url": {"url": "data:image/png"}},
    ],
    ids=str,
)
def test_a_part_that_cannot_be_read_is_refused(part):
    with pytest.raises(Problem) as refused:
        parts(part)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("data", "param"),
    [(b"{", None), (b'{"model":1}', "model"), (body(messages="x"), "messages")],
    ids=["json", "model", "messages"],
)
def test_a_request_that_is_none_names_the_field(data, param):
    with pytest.raises(Problem) as refused:
        read_body(data, ChatRequest)
    assert refused.value.param == param


@pytest.mark.parametrize("last", [[], [said("user", " ")], [said("assistant", "x")]], ids=str)
def test_without_words_of_the_user_there_is_nothing_to_answer(last):
    with pytest.raises(Problem, match="last message"):
        prompt(*last)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=3))))
def test_a_conversation_has_the_same_fingerprint_however_often_it_is_merged(turns):
    once = merge(Turn(role, text) for role, text in turns)
    assert merge(once) == once
    assert fingerprint(merge(once)) == fingerprint(once)
    assert all(a.role != b.role for a, b in itertools.pairwise(once))


# -- chat completions -----------------------------------------------------------------------


def complete(*events, usage=False, offered=None, first=3):
    completion = Completion(Reply(3), heading(offered), usage=usage)
    chunks = feed(completion, first, user(), START, *events)
    return completion, chunks


def text_of(chunks):
    choices = [c["choices"][0] for c in chunks if isinstance(c, dict) and c.get("choices")]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_a_completion_is_all_that_a_round_says():
    cost = CostAdded(path="c", input_tokens=3, output_tokens=4)
    completion, chunks = complete(
        streamed("Hel"),
        *WORK,
        cost,
        bot("Hello", path="stream#1"),
        bot("see", files=(PICTURE, NOTES)),
        bot("", path="reply#2", files=(NOTES,)),
        DONE,
        usage=True,
    )
    pictures = "![a (red) dot](https://chat.example/ff)\n\n[notes.txt](https://chat.example/ee)"
    text = f"Hello\n\nsee\n\n{pictures}\n\n[notes.txt](https://chat.example/ee)"
    assert text_of(chunks) == text
    assert chunks[-1] == "[DONE]"
    assert chunks[-2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    whole = json.loads(completion.whole())
    assert whole["choices"][0]["message"]["content"] == text
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert "Search\n" not in text
    assert completion.turn == Turn("assistant", text)
    assert completion.over
    assert completion.failure is None


def test_work_is_reasoning_and_never_a_call():
    failed = PartEnded(path="part:S#1/end#1", status="failed")
    nothing = PartEnded(path="part:T#1/end#1")
    completion, _ = complete(*WORK, WORK[0], failed, nothing, bot("x"), DONE)
    message = json.loads(completion.whole())["choices"][0]["message"]
    assert message["reasoning_content"] == (
        "**Search**\n\nhotels\n\nfound 3\n\n**Search**\n\nhotels\n\n*Search: failed*"
    )
    assert "tool_calls" not in message


def test_a_question_is_text_unless_the_client_can_ask():
    completion, chunks = complete(bot("Well."), asked(question=CITIES))
    assert text_of(chunks) == "Well.\n\nWhich?\n\n1. Paris\n2. Rome"
    completion, chunks = complete(
        asked(question=CITIES, note="No."), offered=find_tool([Tool(), convert(OFFERED, Tool)])
    )
    choice = json.loads(completion.whole())["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    call = choice["message"]["tool_calls"][0]
    assert call["id"] == f"call_{SESSION}_5"
    assert json.loads(call["function"]["arguments"]) == {
        "questions": [
            {
                "question": "No.\n\nWhich?",
                "options": [
                    {"label": "Paris", "description": ""},
                    {"label": "Rome", "description": ""},
                ],
                "header": "Which?",
                "multiple": False,
                "extra": None,
            }
        ]
    }
    assert completion.turn == Turn("assistant", f"[{call['id']}]")


def test_a_rejected_answer_and_a_failure_are_told():
    rejected = AnswerRejected(question=2, text="x", reason="A number, please.")
    assert text_of(feed(Completion(Reply(3), heading()), 3, rejected)) == "A number, please."
    failed = RoundFinished(round=1, status="failed", error="ab12", reason="It broke.")
    completion, chunks = complete(failed)
    assert chunks[-2]["error"]["message"] == "It broke."
    assert completion.failure is not None
    assert completion.failure.code == "ab12"
    _, chunks = complete(RoundFinished(round=1, status="diverged"))
    assert chunks[-2]["error"]["code"] == "diverged"
    assert json.loads(sse_of(completion))["error"]["code"] == "unavailable"


def sse_of(completion):
    return json.dumps(sse(completion.broken(Refused("unavailable", "Later.")))[0])


def test_a_stopped_reply_is_as_long_as_it_came():
    completion, _ = complete(streamed("Hel"), RoundFinished(round=1, status="stopped"))
    assert json.loads(completion.whole())["choices"][0]["message"]["content"] == "Hel"
    completion, _ = complete(DONE)
    assert json.loads(completion.whole())["choices"][0]["message"]["content"] is None


# -- asking by the client's tool ------------------------------------------------------------


def test_a_tool_is_used_as_its_schema_wants_it_or_not_at_all():
    simple = {"properties": {"question": {}, "options": {"items": {"type": "string"}}}}
    arguments = tool(simple).arguments(asked(question=CITIES))
    assert arguments == '{"question":"Which?","options":["Paris","Rome"]}'
    assert tool(simple).arguments(asked()) == '{"question":"Which?"}'
    assert tool().arguments(asked()) == '{"question":"Which?"}'
    several = {"properties": {"questions": {"type": "array"}}}
    assert tool(several).arguments(asked()) == '{"questions":[{"question":"Which?"}]}'
    assert tool(several).arguments(asked(question=FileQuestion())) is None
    many = ChoiceQuestion(options=CITIES.options, many=True)
    assert tool(simple).arguments(asked(question=many)) is None
    needy = {"properties": {"questions": {"items": ITEM}}}
    assert tool(needy).arguments(asked(question=TextQuestion())) is None
    direct = {"properties": ITEM["properties"], "required": ["options"]}
    assert tool(direct).arguments(asked()) is None
    lax = {"properties": {"question": {}, "options": {}}, "required": ["options"]}
    assert tool(lax).arguments(asked()) == '{"question":"Which?","options":[]}'
    assert find_tool([Tool(type="function", name="search")]) is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("Rome", "Rome"),
        ('"Rome"', "Rome"),
        ("3", "3"),
        ('{"answer":"Rome"}', "Rome"),
        ('{"answers":[{"question":"Which?","answer":"Rome"}]}', "Rome"),
        ('{"answers":{"Which?":"Rome"}}', "Rome"),
        ('{"answers":[],"label":"Rome"}', "Rome"),
        ("null", "null"),
        ("true", "true"),
        ("[[[[[[[[1]]]]]]]]", "[[[[[[[[1]]]]]]]]"),
        ('{"a":1,"b":2}', '{"a":1,"b":2}'),
    ],
)
def test_the_answer_is_found_in_what_a_tool_gives_back(given, found):
    assert read_result(given) == found


# -- responses ------------------------------------------------------------------------------

LOG = (
    user(),
    START,
    *WORK,
    streamed("Hel"),
    streamed("lo you", 3),
    bot("Hello you", path="stream#1", files=(NOTES,)),
    CostAdded(path="c", input_tokens=3, output_tokens=4),
    bot("bye"),
    DONE,
)


def respond(*events, after=-1, offered=None, asking=None):
    response = Response(Reply(3), heading(offered), asking, after=after)
    return response, feed(response, 3, *events)


def grown(events):
    """The texts that a client has put together, by message."""
    texts = {}
    for event in events:
        if event["type"] == "response.output_text.delta":
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
    return texts


def test_a_response_tells_its_items_in_order_with_growing_numbers():
    response, events = respond(*LOG)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    whole = json.loads(response.whole())
    assert events[-1]["response"] == whole
    assert [item["type"] for item in whole["output"]] == [
        "reasoning",
        "reasoning",
        "message",
        "message",
    ]
    text = "Hello you\n\n[notes.txt](https://chat.example/ee)"
    assert list(grown(events).values()) == [text, "bye"]
    assert whole["usage"]["total_tokens"] == 7
    assert response.turn == Turn("assistant", f"{text}\n\nbye")
    assert response.status == "completed"
    assert response.failure is None


@pytest.mark.promise("P6")
def test_a_stream_goes_on_after_any_event_without_gap_or_repeat():
    _, live = respond(*LOG)
    stored = [event for event in LOG if not hasattr(event, "offset")]
    for place, last in enumerate(live):
        for again in (LOG, stored):
            _, rest = respond(*again, after=last["sequence_number"])
            assert grown([*live[: place + 1], *rest]) == grown(live)
            ends = [e["type"] for e in [*live[: place + 1], *rest] if "delta" not in e]
            assert ends == [e["type"] for e in live if "delta" not in e]


@pytest.mark.promise("P6")
def test_a_stream_goes_on_in_a_message_that_is_still_written():
    head = (user(), START, streamed("Hel"), *WORK, streamed("lo", 3))
    _, live = respond(*head)
    again = (user(), START, *WORK, streamed("Hello", 0), streamed(" you", 5))
    _, rest = respond(*again, after=live[-1]["sequence_number"])
    assert [event["delta"] for event in rest] == [" you"]
    # what was told before another record came is not told twice
    work = next(e for e in live if e["sequence_number"] // 2**28 == 3)
    _, rest = respond(*again, after=work["sequence_number"])
    assert [e["delta"] for e in rest if e["type"].endswith("output_text.delta")] == ["lo", " you"]


def test_a_response_says_how_it_ended():
    response, events = respond(user(), START, RoundFinished(round=1, status="failed"))
    assert events[-1]["type"] == "response.failed"
    assert json.loads(response.whole())["error"]["message"] == "The answer failed."
    response, events = respond(user(), START, streamed("x"), SessionClosed())
    assert events[-1]["type"] == "response.incomplete"
    assert response.status == "cancelled"
    response, _ = respond()
    assert json.loads(response.whole())["status"] == "queued"
    response, _ = respond(user(), START, streamed("Hel"))
    feed(response, 5, *WORK)
    whole = json.loads(response.whole())
    assert whole["status"] == "in_progress"
    assert whole["output"][0]["content"][0]["text"] == "Hel"
    assert not response.over
    rejected = AnswerRejected(question=2, text="x", reason="No.")
    _, events = respond(rejected)
    assert list(grown(events).values()) == ["No."]


def test_a_response_asks_in_words_or_by_a_call():
    _, events = respond(user(), START, streamed("Well"), asked(question=CITIES))
    assert list(grown(events).values()) == ["Well", "Which?\n\n1. Paris\n2. Rome"]
    offered = find_tool([convert(OFFERED, Tool)])
    response, events = respond(user(), START, bot("x"), asked(question=CITIES), offered=offered)
    call = json.loads(response.whole())["output"][1]
    assert call["type"] == "function_call"
    assert call["call_id"] == f"call_{SESSION}_6"
    assert response.turn == Turn("assistant", f"x\n\n[{call['call_id']}]")
    assert "response.function_call_arguments.done" in [event["type"] for event in events]


def test_an_empty_part_of_the_work_is_not_shown():
    nothing = PartEnded(path="part:T#1/end#1")
    failed = PartEnded(path="part:S#1/end#1", status="stopped")
    response, _ = respond(user(), START, WORK[0], failed, nothing, bot(""), DONE)
    texts = [i["summary"][0]["text"] for i in json.loads(response.whole())["output"][:2]]
    assert texts == ["**Search**\n\nhotels", "*Search: stopped*"]


def test_a_broken_stream_says_so_and_a_request_is_echoed():
    response, _ = respond(
        *LOG, asking=Asking(stored=False, background=True, previous="resp_1", metadata={"a": "b"})
    )
    whole = json.loads(response.whole())
    assert whole["id"].endswith("x")
    assert whole["store"] is False
    assert (whole["background"], whole["metadata"]) == (True, {"a": "b"})
    assert sse(response.broken(Refused("unavailable", "Later.")))[0]["code"] == "unavailable"


# -- ids, errors, items, tasks --------------------------------------------------------------


def test_an_id_says_where_a_thing_is_and_nothing_else_is_one():
    place = ids.Place(SESSION, 7)
    assert ids.read_response_id(ids.response_id(place)) == place
    hidden = ids.Place(SESSION, 7, stored=False)
    assert ids.read_response_id(ids.response_id(hidden)) == hidden
    assert ids.read_conversation_id(ids.conversation_id(SESSION)) == SESSION
    assert ids.read_call_id(ids.call_id(SESSION, 7)) == place
    assert ids.read_item_id(ids.item_id(SESSION, 7)) == place
    assert ids.read_file_id(ids.file_id(SESSION)) == SESSION
    assert ids.read_shown_file_id(ids.shown_file_id(SESSION, SESSION)) == (SESSION, SESSION)
    readers = (
        ids.read_response_id,
        ids.read_conversation_id,
        ids.read_call_id,
        ids.read_item_id,
        ids.read_file_id,
        ids.read_shown_file_id,
    )
    for text in ("", "x", "resp_", f"resp_{SESSION}_0", f"conv_{SESSION}\n", "../../etc"):
        assert all(read(text) is None for read in readers)


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "code"),
    [
        (Refused("unknown_session", "x"), 404, "invalid_request_error", "unknown_session"),
        (Refused("too_many", "x", 1.0), 429, "rate_limit_error", "rate_limit_exceeded"),
        (Refused("unavailable", "x"), 503, "server_error", "unavailable"),
        (Refused("invalid", "x"), 400, "invalid_request_error", "invalid"),
        (missing("file"), 404, "invalid_request_error", "not_found"),
        (unauthorised("x"), 401, "authentication_error", "invalid_api_key"),
    ],
    ids=str,
)
def test_refusals_are_errors_as_openai_shapes_them(refusal, status, kind, code):
    error = error_of(refusal).error
    assert (status_of(refusal), error.type, error.code) == (status, kind, code)


def test_a_log_is_a_list_of_items():
    events = [
        user(),
        bot("yes", files=(NOTES,)),
        asked(),
        QuestionAnswered(question=3, value=raw("a"), text="a"),
        AnswerRejected(question=3, text="b", reason="no"),
        WORK[0],
        DONE,
    ]
    items = [item_of(SESSION, seq, event, link) for seq, event in enumerate(events, 1)]
    roles = [None if item is None else item.get("role", item["type"]) for item in items]
    assert roles == ["user", "assistant", "assistant", "user", "user", "reasoning", None]
    assert items[1]["content"][0]["text"] == "yes\n\n[notes.txt](https://chat.example/ee)"


TITLE = """### Task:
Generate a concise title with an emoji.
### Output:
JSON format: { "title": "your title" }
### Chat History:
<chat_history>
USER: where is the pool and when does it open today please
ASSISTANT: On the roof.
</chat_history>"""


def test_side_jobs_are_known_and_done_from_the_words_alone():
    assert is_task(TITLE)
    assert not is_task("### Task: paint the wall")
    assert json.loads(do_task(TITLE)) == {"title": "where is the pool and when"}
    for name in ("tags", "follow_ups", "queries"):
        assert json.loads(do_task(f'### Task:\nJSON: {{"{name}": []}}')) == {name: []}
    assert json.loads(do_task('### Task:\nJSON: {"text": ""}')) == {"text": ""}
    assert json.loads(do_task("### Task:\nJSON")) == {"title": "Conversation"}
    whole = json.loads(chat.whole_text("x", "desk", 1.0))
    assert whole["choices"][0]["message"]["content"] == "x"
    assert sse(chat.streamed_text("x", "desk", 1.0))[1] == "[DONE]"


# -- transcripts ----------------------------------------------------------------------------


def transcript(*events):
    found = Transcript(link)
    for seq, event in enumerate(events, 1):
        found.record(seq, event)
    return found


def turns(*texts):
    roles = itertools.cycle(("user", "assistant"))
    return [Turn(role, text) for role, text in zip(roles, texts, strict=False)]


@pytest.mark.promise("P17")
def test_a_conversation_is_known_by_every_word_of_it():
    found = transcript(user("a"), START, bot(""), bot("b"), DONE, user("c"), START, bot("d"), DONE)
    assert found.after(turns("a", "b", "c", "d")) == (True, None)
    begins, later = found.after(turns("a", "b"))
    assert begins
    assert later is not None
    assert (later.seq, later.message) == (6, True)
    assert found.after(turns("a", "x")) == (False, None)
    assert found.after(turns("a", "b", "c", "d", "e", "f")) == (False, None)


def test_what_a_bot_says_by_itself_was_never_told():
    greets = (RoundStarted(round=1, cause="open"), bot("Welcome"), DONE)
    reminds = (RoundStarted(round=3, cause="reminder"), bot("Time!"), asked(), DONE)
    found = transcript(*greets, user("a"), START, bot("b"), DONE, *reminds, VARIABLE)
    assert found.after(turns("a", "b")) == (True, None)


VARIABLE = VariableSet(name="a", value=raw(1))


def test_what_woke_a_bot_that_asks_first_is_not_in_its_log():
    answered = QuestionAnswered(question=3, value=raw("Bob"), text="Bob")
    rejected = AnswerRejected(question=3, text="-", reason="Please.")
    opens = RoundStarted(round=1, cause="open")
    found = transcript(opens, bot("Hi"), asked("Name?"), rejected, answered, bot("Hello Bob"), DONE)
    told = turns("wake", "Hi\n\nName?", "-", "Please.", "Bob", "Hello Bob")
    assert found.after(told) == (True, None)
    assert found.after(turns("other", "Hi\n\nName?"))[0]
    begins, later = found.after(told[:4])
    assert begins
    assert later is not None
    assert not later.message
    assert found.after([]) == (True, later) or found.after([])[0]
    assert found.after([Turn("assistant", "Hi\n\nName?")]) == (True, found._merged()[1])
