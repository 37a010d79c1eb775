"""`/v1` as the `openai` SDK finds it: conversations, streams, questions, files, keys."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from live_server import LiveServer, wait_until

from parlour.stores.keys import Keys

promise = pytest.mark.promise

APP = """
import asyncio
import parlour

app = parlour.App(title="Guest Desk")


@app.on_message
async def talk(session, message):
    text = message.text
    if text == "write":
        async with session.stream() as out:
            for number in range(60):
                out.write(f"{number} ")
                await asyncio.sleep(0.01)
    elif text == "book":
        city = await session.choose("Which city?", ["Paris", "Rome"])
        nights = await session.ask("How many nights?", int, minimum=1)
        session.reply(f"{nights} nights in {city}")
    elif text == "fail":
        session.set("n", session.get("n", 0) + 1)
        raise RuntimeError("the inner secret")
    elif text == "work":
        async with session.part("Search", input="hotels") as part:
            part.write("found 3")
        session.add_cost(input_tokens=10, output_tokens=5)
        session.reply("three hotels")
    elif text == "wait":
        await asyncio.sleep(60)
    elif text == "count":
        session.set("n", session.get("n", 0) + 1)
        session.reply(f"count {session.get('n')}")
    elif text == "picture":
        await session.send_file(b"\\x89PNG", name="dot.png", type="image/png")
    else:
        files = ", ".join(f"{file.name} {file.size}" for file in message.files)
        session.reply(f"echo {text} {files}".strip())
"""
ENVIRONMENT = {"PARLOUR_LIMITS__REQUESTS_PER_MINUTE": "100000"}
MODEL = "guest-desk"
WHOLE = "".join(f"{number} " for number in range(60))
ASK_USER = {
    "type": "function",
    "function": {
        "name": "ask_user",
        "parameters": {
            "type": "object",
            "properties": {
                "question": {"type": "string"},
                "options": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["question"],
        },
    },
}
TITLE = """### Task:
A title.
### Output:
{ "title": "…" }
<chat_history>
USER: my pool
</chat_history>"""
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {}}}


def keys_of(server: LiveServer) -> Keys:
    return Keys(server.database.with_name(f"{server.database.name}.keys"))


RESULT = b'{"model":"guest-desk","messages":[{"role":"tool","content":"x","tool_call_id":"y"}]}'
_names = itertools.count()


def client(server: LiveServer, **more) -> openai.OpenAI:
    """Somebody with a key of their own."""
    token, _ = keys_of(server).add(f"key {next(_names)}", **more)
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0, timeout=30)


@pytest.fixture
def api(shared_server):
    with client(shared_server) as api:
        yield api


def messages(*texts):
    roles = itertools.cycle(("user", "assistant"))
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def chat(api, *texts, **more):
    return api.chat.completions.create(model=MODEL, messages=messages(*texts), **more)


def reply(api, *texts, **more):
    return chat(api, *texts, **more).choices[0].message.content


# -- chat completions -----------------------------------------------------------------------


def test_the_app_is_a_model_and_no_other_is(api):
    assert [model.id for model in api.models.list()] == [MODEL, f"{MODEL}:task"]
    assert api.models.retrieve(MODEL).owned_by == "parlour"
    with pytest.raises(openai.NotFoundError, match="this server has 'guest-desk'"):
        api.chat.completions.create(model="gpt-9", messages=messages("hi"))


def test_a_stream_comes_in_pieces_with_its_usage_at_the_end(api):
    chunks = list(chat(api, "write", stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == WHOLE
    assert sum(map(bool, texts)) > 5
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


def test_work_is_shown_as_reasoning_and_its_cost_as_usage(api):
    done = chat(api, "work", tools=[SEARCH])
    message = done.choices[0].message
    assert message.content == "three hotels"
    assert message.tool_calls is None
    assert "Search" in message.reasoning_content
    assert done.usage.total_tokens == 15


@promise("P4")
def test_the_same_conversation_is_the_same_session_and_another_end_of_it_a_branch(api):
    assert reply(api, "count") == "count 1"
    assert reply(api, "count", "count 1", "count") == "count 2"
    assert reply(api, "count", "count 1", "count") == "count 2"  # had answered anew
    assert reply(api, "count", "count 1", "count", "count 2", "count") == "count 3"
    assert reply(api, "count", "count 1", "other") == "echo other"
    assert reply(api, "count") == "count 1"


@promise("P7")
def test_a_conversation_goes_on_after_the_server_was_killed(serve):
    server = serve(APP)
    with client(server) as api:
        question = reply(api, "book")
        server.kill()
        server.start()
        second = reply(api, "book", question, "2")
        server.kill()
        server.start()
        assert reply(api, "book", question, "2", second, "3") == "3 nights in Rome"


@promise("P7")
def test_a_bot_that_asks_first_is_answered_after_a_kill(serve):
    server = serve("""
        import parlour

        app = parlour.App(title="Guest Desk")


        @app.on_open
        async def greet(session):
            name = await session.ask("Your name?")
            session.reply(f"Hello {name}")


        @app.on_message
        async def talk(session, message):
            session.reply(f"echo {message.text}")
        """)
    with client(server) as api:
        assert reply(api, "hi") == "Your name?"
        server.kill()
        server.start()
        assert reply(api, "hi", "Your name?", "Bob") == "Hello Bob"
        assert reply(api, "hi", "Your name?", "Bob", "Hello Bob", "more") == "echo more"


def test_a_question_is_text_with_numbers_and_the_next_message_answers(api):
    question = reply(api, "book")
    assert question == "Which city?\n\n1. Paris\n2. Rome"
    complaint = reply(api, "book", question, "Oslo")
    assert complaint == "Please choose one of: Paris, Rome."
    second = reply(api, "book", question, "Oslo", complaint, "2")
    assert second == "How many nights?\n\n(a whole number from 1)"
    assert reply(api, "book", question, "Oslo", complaint, "2", second, "3") == "3 nights in Rome"


def test_a_question_is_a_call_where_the_client_can_ask(api):
    said = messages("book")
    texts = []
    for answer in ("Rome", '{"answer": "4"}'):
        done = api.chat.completions.create(model=MODEL, messages=said, tools=[SEARCH, ASK_USER])
        call = done.choices[0].message.tool_calls[0]
        assert done.choices[0].finish_reason == "tool_calls"
        texts.append(json.loads(call.function.arguments))
        said.append(done.choices[0].message.model_dump(exclude_none=True))
        said.append({"role": "tool", "tool_call_id": call.id, "content": answer})
    assert texts[0] == {"question": "Which city?", "options": ["Paris", "Rome"]}
    done = api.chat.completions.create(model=MODEL, messages=said, tools=[SEARCH, ASK_USER])
    assert done.choices[0].message.content == "4 nights in Rome"
    said += [*messages("x", "4 nights in Rome")[1:], *messages("count")]
    done = api.chat.completions.create(model=MODEL, messages=said)
    assert done.choices[0].message.content == "count 1"


def test_a_header_names_the_session_and_the_reply_tells_it(api, shared_server):
    for name in ("X-Session-Id", "X-OpenWebUI-Chat-Id", "X-Conversation-Id"):
        headers = {name: f"chat of {name}"}
        first = api.chat.completions.with_raw_response.create(
            model=MODEL, messages=messages("count"), extra_headers=headers
        )
        assert reply(api, "count", extra_headers=headers) == "count 2"
        session = {"X-Session-Id": first.headers["x-session-id"]}
        assert reply(api, "count", extra_headers=session) == "count 3"
        assert reply(api, "count", extra_body={"metadata": {"session_id": session["X-Session-Id"]}})
        # what was answered before is a branch of the named one
        changed = ("count", "count 1", "count")
        assert reply(api, *changed, extra_headers=headers) == "count 2"


def test_side_jobs_of_a_front_end_touch_no_session(api):
    headers = {"X-OpenWebUI-Chat-Id": "c"}
    task = TITLE
    assert json.loads(reply(api, task, extra_headers=headers)) == {"title": "my pool"}
    streamed = chat(api, task, extra_headers=headers, stream=True)
    assert "my pool" in "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    made = api.chat.completions.create(model=f"{MODEL}:task", messages=messages("x"))
    assert "title" in made.choices[0].message.content
    assert reply(api, "count", extra_headers=headers) == "count 1"


@promise("P13")
def test_a_failure_is_an_error_that_tells_nothing_inside_and_is_not_repeated(api, serve):
    server = serve(APP, quiet=False)
    with client(server) as one:
        eager = one.with_options(max_retries=2)
        named = {"extra_headers": {"X-Session-Id": "a"}}
        with pytest.raises(openai.InternalServerError) as failed:
            chat(eager, "fail", **named)
        assert "secret" not in str(failed.value)
        with pytest.raises(openai.APIError):
            list(chat(eager, "fail", stream=True, **named))
        assert reply(eager, "count", **named) == "count 3"


@promise("P4")
def test_a_repeated_request_is_said_once(api):
    headers = {"Idempotency-Key": "k1"}
    assert reply(api, "count", extra_headers=headers) == "count 1"
    assert reply(api, "count", extra_headers=headers) == "count 1"
    named = {"X-Session-Id": "again"}
    assert reply(api, "count", extra_headers=named) == "count 1"
    again = {**named, "x-stainless-retry-count": "1"}
    assert reply(api, "count", extra_headers=again) == "count 1"


# -- responses ------------------------------------------------------------------------------


def test_responses_follow_one_another_and_an_older_one_forks(api):
    first = api.responses.create(model=MODEL, input="count")
    second = api.responses.create(model=MODEL, input="count", previous_response_id=first.id)
    other = api.responses.create(model=MODEL, input="count", previous_response_id=first.id)
    assert [r.output_text for r in (first, second, other)] == ["count 1", "count 2", "count 2"]
    assert first.conversation.id == second.conversation.id != other.conversation.id
    found = api.responses.retrieve(second.id)
    assert (found.output_text, found.status) == ("count 2", "completed")
    assert api.responses.input_items.list(second.id).data[0].content[0].text == "count"
    api.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        api.responses.retrieve(second.id)
    unkept = api.responses.create(model=MODEL, input="count", store=False)
    with pytest.raises(openai.NotFoundError):
        api.responses.retrieve(unkept.id)


@promise("P6")
@pytest.mark.parametrize("kill", [False, True], ids=["cut", "killed"])
def test_a_cut_stream_goes_on_where_it_was(serve, kill):
    server = serve(APP)
    with client(server) as api:
        stream = api.responses.create(model=MODEL, input="write", stream=True, background=True)
        told = list(itertools.islice(stream, 20))
        stream.close()
        if kill:
            server.kill()
            server.start()
        id_ = told[0].response.id
        rest = api.responses.retrieve(id_, stream=True, starting_after=told[-1].sequence_number)
        told += list(rest)
        text = "".join(e.delta for e in told if e.type == "response.output_text.delta")
        if not kill:  # a handler that begins again says what it says
            assert text == WHOLE
        assert told[-1].response.output_text == WHOLE
        numbers = [event.sequence_number for event in told]
        assert numbers == sorted(set(numbers))
        again = list(api.responses.retrieve(id_, stream=True))
        assert again[-1].response == told[-1].response


def test_the_sdks_own_accumulator_understands_the_stream(api):
    with api.responses.stream(model=MODEL, input="work") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert [item.type for item in final.output] == ["reasoning", "reasoning", "message"]
    assert final.usage.total_tokens == 15


@promise("P14")
def test_a_background_response_is_looked_at_and_cancelled(api):
    waiting = api.responses.create(model=MODEL, input="wait", background=True)
    assert waiting.status in {"queued", "in_progress"}
    wait_until(
        lambda: api.responses.cancel(waiting.id).status == "cancelled", "the response is cancelled"
    )
    assert api.responses.retrieve(waiting.id).status == "cancelled"


def test_a_conversation_is_a_session_with_notes_and_items(api):
    made = api.conversations.create(metadata={"topic": "pool"})
    for text in ("one", "two"):
        api.responses.create(model=MODEL, input=text, conversation=made.id)
    oldest = list(api.conversations.items.list(made.id, order="asc", limit=1))
    assert [item.content[0].text for item in oldest] == ["one", "echo one", "two", "echo two"]
    newest = api.conversations.items.list(made.id, limit=2)
    assert [item.role for item in newest.data] == ["assistant", "user"]
    assert newest.has_more
    assert api.conversations.items.retrieve(newest.data[0].id, conversation_id=made.id)
    assert api.conversations.retrieve(made.id).metadata == {"topic": "pool"}
    assert api.conversations.update(made.id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert api.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        api.responses.create(model=MODEL, input="x", conversation=made.id)


def test_files_go_both_ways(api):
    upload = api.files.create(file=("a.txt", b"hello"), purpose="user_data")
    part = {"type": "input_file", "file_id": upload.id}
    said = [{"role": "user", "content": [{"type": "input_text", "text": "see"}, part]}]
    assert api.responses.create(model=MODEL, input=said).output_text == "echo see a.txt 5"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "see"}, image]
    done = api.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert done.choices[0].message.content == "echo see image.png 3"
    assert api.files.content(upload.id).read() == b"hello"
    assert [file.id for file in api.files.list()] == [upload.id]
    assert api.files.delete(upload.id).deleted
    picture = reply(api, "picture")
    address = picture.partition("](")[2].rstrip(")")
    assert picture.startswith("![dot.png](")
    assert httpx.get(address).content == b"\x89PNG"
    assert httpx.get(address[:-1] + "!").status_code == 401


# -- keys and strangers ---------------------------------------------------------------------


@promise("P17")
def test_nobody_reaches_what_belongs_to_another_key(shared_server, api):
    first = api.responses.create(model=MODEL, input="count")
    made = api.conversations.create()
    upload = api.files.create(file=("a.txt", b"hello"), purpose="user_data")
    named = {"extra_headers": {"X-Session-Id": first.conversation.id.removeprefix("conv_")}}
    with client(shared_server) as other:
        for attempt in (
            lambda: other.responses.retrieve(first.id),
            lambda: other.responses.retrieve(first.id, stream=True),
            lambda: other.responses.cancel(first.id),
            lambda: other.responses.delete(first.id),
            lambda: other.responses.input_items.list(first.id),
            lambda: other.responses.create(model=MODEL, input="x", previous_response_id=first.id),
            lambda: other.responses.create(model=MODEL, input="x", conversation=made.id),
            lambda: other.conversations.retrieve(made.id),
            lambda: other.conversations.items.list(made.id),
            lambda: other.conversations.update(made.id, metadata={}),
            lambda: other.conversations.delete(made.id),
            lambda: other.files.retrieve(upload.id),
            lambda: other.files.content(upload.id),
            lambda: other.files.delete(upload.id),
        ):
            with pytest.raises(openai.NotFoundError):
                attempt()
        assert reply(other, "count", **named) == "count 1"
        assert reply(other, "count", "count 1", "count", **named) == "count 2"
        assert reply(other, "count", "count 1", "count", extra_headers={"X-Chat-Id": "n"})
    assert reply(api, "count", **named) == "count 2"


@promise("P17")
def test_a_key_opens_nothing_once_it_is_revoked_and_none_is_kept(shared_server):
    keys = keys_of(shared_server)
    token, key = keys.add("short")
    base = f"{shared_server.url}/v1/models"
    auth = {"Authorization": f"Bearer {token}"}
    assert httpx.get(base, headers=auth).status_code == 200
    path = shared_server.database.with_name(f"{shared_server.database.name}.keys")
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    keys.revoke("short")
    refused = httpx.get(base, headers=auth)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert key.id not in refused.text
    assert httpx.get(base).status_code == 401
    assert httpx.get(base, headers={"Authorization": b"Bearer \xff"}).status_code == 401


@promise("P1")
def test_a_trusted_gateway_asks_for_many_persons_and_no_other_key_may(shared_server):
    with client(shared_server, trusted=True) as gateway, client(shared_server) as plain:
        for expected in ("count 1", "count 2"):
            for person in ("ann", "bob"):
                headers = {"X-OpenWebUI-User-Id": person, "X-Session-Id": "same"}
                assert reply(gateway, "count", extra_headers=headers) == expected
        for expected, person in (("count 1", "ann"), ("count 2", "bob")):
            headers = {"X-OpenWebUI-User-Id": person, "X-Session-Id": "same"}
            assert reply(plain, "count", extra_headers=headers) == expected


@promise("P1")
def test_many_at_once_with_the_same_words_have_a_session_each(api):
    barrier = threading.Barrier(8)

    def talk(_):
        barrier.wait(20)
        first = chat(api, "count", user="x").choices[0].message.content
        barrier.wait(20)
        return first, reply(api, "count", first, "count")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(8))) == [("count 1", "count 2")] * 8


@promise("P12")
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("chat/completions", b"{", 400),
        ("chat/completions", b'{"model":"guest-desk","messages":[]}', 400),
        (
            "chat/completions",
            RESULT,
            400,
        ),
        ("chat/completions", b'{"model":"guest-desk","messages":' + b"[" * 100_000, 400),
        ("responses", b'{"model":"guest-desk","input":"x","conversation":"../../x"}', 404),
        ("responses", b'{"model":"guest-desk","input":"\\ud800"}', 400),
        ("files", b"x", 400),
        ("nothing", b"{}", 404),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_request_is_refused_in_openais_shape(shared_server, path, body, status):
    token, _ = keys_of(shared_server).add(f"key {next(_names)}")
    answer = httpx.post(
        f"{shared_server.url}/v1/{path}",
        content=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@promise("P12")
def test_a_request_has_a_size_and_a_client_a_pace(serve):
    server = serve(
        APP,
        PARLOUR_LIMITS__REQUEST_BYTES="2000",
        PARLOUR_LIMITS__REQUESTS_PER_MINUTE="40",
        PARLOUR_LIMITS__UPLOAD_BYTES="1000",
    )
    with client(server) as api:
        with pytest.raises(openai.APIStatusError) as large:
            reply(api, "x" * 3000)
        assert large.value.status_code == 413
        with pytest.raises(openai.APIStatusError) as large:
            api.files.create(file=("a", b"x" * 100_000), purpose="user_data")
        assert large.value.status_code == 413
        answers = [api.models.with_raw_response.list] * 20
        with pytest.raises(openai.RateLimitError) as often:
            [ask() for ask in answers]
        assert int(often.value.response.headers["retry-after"]) >= 1
