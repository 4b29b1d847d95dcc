"""OpenAI's responses: with its own client, whole, streamed, parsed, with tools; and on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel
from served import TEXT, Running, running

from aspd_local.server import ServerConfig
from aspd_local.server.asking import chat_options
from aspd_local.server.fields import WITHOUT_EFFECT, Asked
from aspd_local.server.responding import chat_body
from aspd_local.server.response_schemas import ResponseBody
from aspd_local.server.schemas import ChatBody, ChatMessage
from tiny.script import Script, write_scripted
from tiny.vocabulary import CHAT_TEMPLATE, EOS

PATH = "/v1/responses"
CALLED = 'I see.\n<tool_call>{"name": "w", "arguments": {"k": 12}}</tool_call>'
TWICE = CALLED + '\n<tool_call>{"name": "w", "arguments": {"k": 3}}</tool_call>'
TEMPLATE = "{% if tools %}{% for tool in tools %}{{ tool.function.name }}{% endfor %}<tool_call>{% endif %}"
TOOL: Any = {"type": "function", "name": "w", "parameters": {"type": "object"}, "strict": False}


class Light(BaseModel):
    on: bool


def asks_for(text: str) -> dict[str, Any]:
    """A grammar that lets the model write this alone."""
    return {"grammar": f"root ::= {json.dumps(text)}"}


@pytest.fixture
def ai(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def caller(configured: Callable[..., ServerConfig], tiny_folder: Path) -> Iterator[Running]:
    metadata = {"tokenizer.chat_template": TEMPLATE + CHAT_TEMPLATE}
    script = Script([f"assistant\nHm{EOS}"])
    model = write_scripted(tiny_folder / "responds.gguf", script, seed=3, metadata=metadata)
    with running(configured(models={"caller": str(model.path)})) as found:
        yield found


@pytest.fixture
def calling(caller: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{caller.address}/v1", api_key="none", max_retries=0) as client:
        yield client


def events(client: httpx2.Client, **body: Any) -> list[dict[str, Any]]:
    """The events of a stream: each names its type twice, and they are numbered."""
    with client.stream("POST", PATH, json={"temperature": 0, "stream": True, **body}) as answer:
        assert answer.status_code == 200
        blocks = "".join(answer.iter_text()).split("\n\n")
    assert blocks.pop() == ""
    found = []
    for number, block in enumerate(blocks):
        kind, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


def test_whole_response(ai: openai.OpenAI) -> None:
    found = ai.responses.create(model="story", input="Hello", temperature=0, store=False)
    assert found.output_text == TEXT
    assert found.status == "completed"
    assert found.id.startswith("resp_")
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens > 0
    cut = ai.responses.create(model="story", input="Hello", temperature=0, max_output_tokens=2)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_stream_helper_gives_the_response(ai: openai.OpenAI) -> None:
    with ai.responses.stream(model="story", input="Hello", temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == TEXT
    assert len(deltas) > 3


def test_parsed_response(ai: openai.OpenAI) -> None:
    found = ai.responses.parse(model="story", input="Hello", text_format=Light)
    assert isinstance(found.output_parsed, Light)
    with ai.responses.stream(model="story", input="Hello", text_format=Light) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Light)


def test_events_come_in_the_order_of_openai(client: httpx2.Client) -> None:
    found = events(client, input="Hello")
    kinds = [event["type"].removeprefix("response.") for event in found]
    deltas = [event for event in found if event["type"] == "response.output_text.delta"]
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * len(deltas),
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert "".join(event["delta"] for event in deltas) == TEXT
    message = found[-1]["response"]["output"][0]
    assert {event["item_id"] for event in found if "item_id" in event} == {message["id"]}
    assert message["content"][0]["text"] == TEXT
    assert found[0]["response"]["output"] == []
    assert len({event["response"]["id"] for event in found if "response" in event}) == 1
    assert found[-1]["response"]["aspd"]["blocks"][0]["branches"][0]["id"] == "1.1"


def test_response_of_no_text_has_an_empty_message(client: httpx2.Client) -> None:
    found = events(client, input="Hello", stop="H")
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert [event["type"] for event in found].count("response.output_item.added") == 1


def test_input_is_the_chat_that_it_says(client: httpx2.Client) -> None:
    turns = [
        {"role": "system", "content": "Be brief.\n\nAnd kind."},
        {"role": "user", "content": "Hel\nlo"},
        {"role": "assistant", "content": "I see."},
        {"role": "user", "content": "And?"},
    ]
    chat = {"messages": turns, "temperature": 0, "max_tokens": 1}
    expected = client.post("/v1/chat/completions", json=chat).json()["usage"]["prompt_tokens"]
    items = [
        {"role": "developer", "content": "And kind."},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Hel"}, {"type": "input_text", "text": "lo"}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I see.", "annotations": [], "logprobs": []}],
        },
        {"role": "user", "content": "And?"},
    ]
    body = {"input": items, "instructions": "Be brief.", "temperature": 0, "max_output_tokens": 1}
    found = client.post(PATH, json=body).json()
    assert found["usage"]["input_tokens"] == expected
    assert found["usage"]["input_tokens_details"]["cached_tokens"] >= expected - 1


def test_options_that_change_the_text_are_those_of_a_chat() -> None:
    options: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.7,
        "top_k": 3,
        "min_p": 0.2,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.4,
        "dry_multiplier": 0.8,
        "dry_base": 2.0,
        "dry_allowed_length": 4,
        "dry_penalty_last_n": 64,
        "dry_sequence_breakers": [";"],
        "xtc_probability": 0.6,
        "xtc_threshold": 0.2,
        "loop_guard": False,
        "logit_bias": {"3": 1.0},
        "seed": 5,
        "stop": ["x"],
        "grammar": 'root ::= "y"',
        "aspd": {"parallel": "off"},
    }
    assert set(options) == {
        name for name, field in Asked.model_fields.items() if WITHOUT_EFFECT not in field.metadata
    } - {"model", "stream"}
    chat = ChatBody(messages=[ChatMessage(role="user", content="Hello")], **options)
    found = chat_body(ResponseBody(input="Hello", user="me", **options))
    assert chat_options(found) == chat_options(chat)
    assert set(options) - {"aspd"} - set(chat_options(chat)) == set()


def test_logprobs_where_they_are_asked_for(client: httpx2.Client) -> None:
    body = {"input": "Hello", "top_logprobs": 2, "include": ["message.output_text.logprobs"]}
    found = events(client, **body)
    whole = client.post(PATH, json={"temperature": 0, **body}).json()
    told = found[-1]["response"]["output"][0]["content"][0]["logprobs"]
    alone = whole["output"][0]["content"][0]["logprobs"]  # from another state of the cache: other last bits
    assert [each["token"] for each in alone] == [each["token"] for each in told]
    assert [each["token"] for each in told[:2]] == ["H", "m"]
    assert len(told[0]["top_logprobs"]) == 2
    streamed = [
        each for event in found if event["type"] == "response.output_text.delta" for each in event["logprobs"]
    ]
    assert streamed == told


def test_call_and_its_result(calling: openai.OpenAI) -> None:
    body: Any = {"model": "caller", "input": "Hello", "tools": [TOOL], "temperature": 0}
    found = calling.responses.create(**body, extra_body=asks_for(CALLED))
    message, call = found.output
    assert message.type == "message"
    assert found.output_text == "I see."
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("w", {"k": 12})
    turns = [
        {"role": "user", "content": "Hello"},
        *[item.model_dump() for item in found.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "9"},
    ]
    second = calling.responses.create(**{**body, "input": turns, "max_output_tokens": 1})
    assert second.usage is not None
    assert found.usage is not None
    assert second.usage.input_tokens_details.cached_tokens >= 0.95 * found.usage.total_tokens


def test_stream_tells_a_call_after_the_text(calling: openai.OpenAI) -> None:
    body: Any = {"model": "caller", "input": "Hello", "tools": [TOOL], "temperature": 0}
    with calling.responses.stream(**body, extra_body=asks_for(CALLED)) as stream:
        kinds = [event.type.removeprefix("response.") for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "I see."
    assert kinds[-6:] == [
        "output_item.done",  # of the message
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"k": 12}


def test_tool_that_must_be_called(calling: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": False,
    }
    tools: Any = [TOOL, {"type": "function", "name": "light", "parameters": schema, "strict": True}]
    found = calling.responses.create(
        model="caller", input="Hello", tools=tools, tool_choice={"type": "function", "name": "light"}
    )
    (call,) = found.output
    assert call.type == "function_call"
    assert isinstance(json.loads(call.arguments)["on"], bool)


def test_without_parallel_calls_the_first_ends_the_response(calling: openai.OpenAI) -> None:
    body: Any = {"model": "caller", "input": "Hello", "tools": [TOOL], "temperature": 0}
    for parallel, n in ((True, 2), (False, 1)):
        found = calling.responses.create(**body, parallel_tool_calls=parallel, extra_body=asks_for(TWICE))
        assert [item.type for item in found.output] == ["message", *["function_call"] * n]
        assert found.status == "completed"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"input": []}, "input"),
        ({"input": [{"type": "reasoning"}]}, "input"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0"),
        ({"input": [{"type": 5}]}, "input.0.type"),
        ({"input": "x" * 100_000}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "schema": {"type": "odd"}}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"aspd": {"stream": "live"}}, "aspd.stream"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"n": 2}, "n"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    client: httpx2.Client, body: dict[str, Any], param: str
) -> None:
    for stream in (False, True):
        answer = client.post(PATH, json={"input": "Hello", "stream": stream, **body})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == param
    assert client.post(PATH, json={"input": "Hello", "max_output_tokens": 1}).status_code == 200


def test_error_in_mid_stream_is_told(configured: Callable[..., ServerConfig]) -> None:
    with running(configured()) as server, server.client() as client:
        engine = server.inside.pool.entries["story"].engine
        assert engine is not None
        step, n = engine.model.step, 0

        def failing() -> Any:
            nonlocal n
            n += 1
            if n == 8:
                raise RuntimeError("made up")
            return step()

        engine.model.step = failing  # type: ignore[method-assign]
        found = events(client, input="Hello")
        assert [event["type"] for event in found[-2:]] == ["error", "response.failed"]
        assert found[-1]["response"]["status"] == "failed"
        assert found[-1]["response"]["error"]["message"]
