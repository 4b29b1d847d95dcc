"""Calls of tools: offered through the template, read from the text, given back in the next turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Running, running
from wire import chunks, content

from aspd_local.server import ServerConfig
from aspd_local.server.tools import CallFilter, Offered, Remembered, grammar, spelt
from tiny.script import Script, write_scripted
from tiny.vocabulary import CHAT_TEMPLATE, EOS

CHAT = "/v1/chat/completions"
CALLED = 'I see.\n<tool_call>{"name": "w", "arguments": {"k": 12}}</tool_call>'
# What the model writes: a grammar holds its hand, where no other form is asked of it.
GRAMMAR = f"root ::= {json.dumps(CALLED)}"
TEMPLATE = "{% if tools %}{% for tool in tools %}{{ tool.function.name }}{% endfor %}<tool_call>{% endif %}"
TOOL = {"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}
QUESTION = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def server(configured: Callable[..., ServerConfig], tiny_folder: Path) -> Iterator[Running]:
    metadata = {"tokenizer.chat_template": TEMPLATE + CHAT_TEMPLATE}
    model = write_scripted(
        tiny_folder / "tools.gguf", Script([f"assistant\nHm{EOS}"]), seed=3, metadata=metadata
    )
    with running(configured(models={"caller": str(model.path)})) as found:
        yield found


def ask(server: Running, **body: Any) -> dict[str, Any]:
    with server.client() as client:
        held = {} if "tool_choice" in body and body["tool_choice"] != "none" else {"grammar": GRAMMAR}
        said = {"messages": QUESTION, "temperature": 0, "tools": [TOOL], **held, **body}
        answer = client.post(CHAT, json=said)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_call_is_read_from_the_answer(server: Running) -> None:
    choice = ask(server)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I see."
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "w"
    assert json.loads(call["function"]["arguments"]) == {"k": 12}


def test_stream_holds_back_what_may_be_a_call(server: Running) -> None:
    said = {"messages": QUESTION, "temperature": 0, "tools": [TOOL], "stream": True, "grammar": GRAMMAR}
    with server.client() as client, client.stream("POST", CHAT, json=said) as answer:
        found = chunks(answer.iter_lines())
    assert content(found) == "I see."
    calls = [
        c["delta"]["tool_calls"] for chunk in found for c in chunk["choices"] if "tool_calls" in c["delta"]
    ]
    assert [call["function"]["name"] for call in calls[0]] == ["w"]
    assert len(calls) == 1
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_without_tools_the_same_text_is_text(server: Running) -> None:
    without: list[dict[str, Any]] = [{"tools": None}, {"tools": []}, {"tool_choice": "none"}]
    for body in without:
        choice = ask(server, **body)["choices"][0]
        assert choice["message"]["content"] == CALLED
        assert choice["finish_reason"] == "stop"


def test_next_turn_finds_the_call_in_the_cache(server: Running) -> None:
    first = ask(server)
    message = first["choices"][0]["message"]
    turns = [
        *QUESTION,
        message,
        {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "9"},
    ]
    second = ask(server, messages=turns)
    cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= 0.95 * first["usage"]["total_tokens"]


def test_required_call_follows_its_schema(server: Running) -> None:
    schema = {
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": False,
    }
    tools = [TOOL, {"type": "function", "function": {"name": "light", "parameters": schema}}]
    choice = {"type": "function", "function": {"name": "light"}}
    for seed in range(3):
        found = ask(server, tools=tools, tool_choice=choice, temperature=1, seed=seed)["choices"][0]
        (call,) = found["message"]["tool_calls"]
        assert call["function"]["name"] == "light"
        assert isinstance(json.loads(call["function"]["arguments"])["on"], bool)


@pytest.mark.parametrize(
    ("text", "said", "n_calls"),
    [
        ("plain", "plain", 0),
        ('<tool_call>{"name": "w"}</tool_call>', "", 1),
        (
            'a\n<tool_call>\n{"name": "w"}\n</tool_call>\n<tool_call>{"name": "w"}</tool_call>',
            "a",
            2,
        ),
        ('<tool_call>{"name": "w"}', "", 1),  # the model ended without the closing mark
        ('<tool_call>{"name": "other"}</tool_call>', None, 0),
        ('<tool_call>{"name": "w", "arguments": 3}</tool_call>', None, 0),
        ("<tool_call>{</tool_call>", None, 0),
        ("<tool_call>[]</tool_call>", None, 0),
        ("<tool_call>" + "[" * 100_000, None, 0),
        ('{"name": "w", "arguments": ' + "[" * 100_000, None, 0),
        ('{"name": "w", "arguments": {"k": 1}}', "", 1),
        ('I call:\n```json\n{\n  "name": "w",\n  "arguments": {}\n}\n```', "I call:", 1),
        ('```\n{"name": "w", "arguments": {}}\n```\n\n```\n{"name": "w", "arguments": {}}\n```', "", 2),
        ('{"name": "w", "arguments": {}}\n  {"name": "w", "arguments": {}}', "", 2),
        ('```json\n{"name": "w", "arguments": {}}\n{"name": "w", "arguments": {}}\n```', "", 2),
        ('a\n<tools>\n{"name": "w", "arguments": {}}\n</tools>', "a", 1),
        (
            '{"name": "x", "arguments": {}}\n{"name": "w", "arguments": {}}',
            '{"name": "x", "arguments": {}}',
            1,
        ),
        ('{"name": "w", "arguments": {}}\nThat gives 3.', "", 1),
        ('<tool_call>\n{{"name": "w", "arguments": {}}}\n</tool_call>', "", 1),  # as a template shows it
        ('{{"name": "w", "arguments": {}}}\n{{"name": "w", "arguments": {}}}', "", 2),
        ('So: {"name": "w", "arguments": {}}', None, 0),  # within a line
        ('{"name": "w"}', None, 0),
        ('{"name": "w", "arguments": {}, "age": 3}', None, 0),
        ('```json\n{"name": "w", "arguments": {}', None, 0),
        ("", "", 0),
    ],
)
def test_reading_calls(text: str, said: str | None, n_calls: int) -> None:
    found = Offered(("w",)).read(text)
    assert len(found.calls) == n_calls
    assert found.content == (text if said is None else said)


@pytest.mark.parametrize(
    "text",
    [
        CALLED,
        'I see.\n```json\n{\n  "name": "w",\n  "arguments": {"k": 12}\n}\n```',
        'I see.\n\n<tools>\n{"name": "w", "arguments": {}}\n</tools>',
        'I see.\n{ "name" : "w", "arguments": {}}',
        'I see.\n{{"name" : "w", "arguments": {}}}',
    ],
)
def test_filter_passes_nothing_of_a_call(text: str) -> None:
    passing = CallFilter(Offered(("other", "w")))
    assert "".join(passing.feed(each) for each in text) == "I see."
    assert passing.rest(Offered(("other", "w")).read(text).content) == ""


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("`a` and ```b``` <i>c</i>.", None),
        ("```python\nx = {1: 2}\n```\nSo.", None),
        ('{"name": "wx", "arguments": {}} is none.', None),
        ('```json\n{"age": 3, "name": "w"}\n```\nSo.', None),
        ("<b>\nbold {1}.", None),
        ('{"name": "w"}', ""),
    ],
)
def test_filter_passes_text_as_soon_as_it_is_no_call(text: str, passed: str | None) -> None:
    passing = CallFilter(Offered(("other", "w")))
    found = "".join(passing.feed(each) for each in text)
    assert found == (text if passed is None else passed)
    assert found + passing.rest(text) == text


def test_later_turns_show_a_call_in_the_taught_form() -> None:
    remembered = Remembered()
    for text, shown in (
        ('```json\n{"name": "w", "arguments": {"k": 1}}\n```', spelt("w", '{"k": 1}')),
        ('<tool_call>{"name":"w","arguments":{"k":1}}</tool_call>', None),
    ):
        (call,) = Offered(("w",)).read(text).calls
        remembered.keep([call])
        assert remembered.text(call.id, call.name, call.arguments) == (shown or text)


def test_only_the_first_call_counts_where_one_is_wanted() -> None:
    text = '{"name": "w", "arguments": {"k": 1}}\n{"name": "w", "arguments": {"k": 2}}'
    (call,) = Offered(("w",), parallel=False).read(text).calls
    assert json.loads(call.arguments) == {"k": 1}


def test_call_without_marks_is_told_as_one(server: Running) -> None:
    text = 'I see.\n```json\n{"name": "w", "arguments": {"k": 12}}\n```'
    held = {"grammar": f"root ::= {json.dumps(text)}"}
    choice = ask(server, **held)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I see."
    said = {"messages": QUESTION, "temperature": 0, "tools": [TOOL], "stream": True, **held}
    with server.client() as client, client.stream("POST", CHAT, json=said) as answer:
        found = chunks(answer.iter_lines())
    assert content(found) == "I see."
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


NESTED = {
    "type": "object",
    "properties": {"at": {"type": "array", "items": {"$ref": "#/$defs/P"}, "minItems": 1, "maxItems": 1}},
    "required": ["at"],
    "additionalProperties": False,
    "$defs": {"P": {"type": "object", "properties": {"k": {"enum": ["x"]}}, "required": ["k"]}},
}


def test_schemas_of_tools_may_refer_to_their_definitions(server: Running) -> None:
    tools = [TOOL, {"type": "function", "function": {"name": "visit", "parameters": NESTED}}]
    choice = {"type": "function", "function": {"name": "visit"}}
    (call,) = ask(server, tools=tools, tool_choice=choice)["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["at"][0]["k"] == "x"


def test_a_form_of_the_answer_leaves_room_for_calls(server: Running) -> None:
    place = {"type": "object", "properties": {"at": {"enum": ["x"]}}, "required": ["at"]}
    form = {
        "type": "json_schema",
        "json_schema": {"name": "p", "schema": {**place, "additionalProperties": False}},
    }
    tools = [{"type": "function", "function": {"name": "visit", "parameters": NESTED}}]
    kinds = set()
    for seed in range(30):
        body = {"tools": tools, "response_format": form, "temperature": 2, "seed": seed, "max_tokens": 300}
        choice = ask(server, grammar=None, **body)["choices"][0]
        if choice["finish_reason"] == "length":
            continue  # a list of white space
        message = choice["message"]
        kinds.add(choice["finish_reason"])
        if choice["finish_reason"] == "tool_calls":
            assert len(message["tool_calls"]) == 1
            assert json.loads(message["tool_calls"][0]["function"]["arguments"])["at"][0]["k"] == "x"
        else:
            assert json.loads(message["content"]) == {"at": "x"}
    assert kinds == {"tool_calls", "stop"}
    required = ask(server, tools=tools, response_format=form, tool_choice="required")
    assert required["choices"][0]["finish_reason"] == "tool_calls"


def test_rules_of_several_schemas_do_not_mix() -> None:
    tools = [
        {"name": name, "parameters": {"type": "object", "properties": {"k": {"type": kind}}}}
        for name, kind in (("a", "integer"), ("b", "boolean"))
    ]
    rules = [line.split(" ::= ")[0] for line in grammar(tools, 'root ::= "root [k]" [a-z]').split("\n")]
    assert len(rules) == len(set(rules))
    assert 'form-root ::= "root [k]" [a-z]' in grammar(tools, 'root ::= "root [k]" [a-z]')


def test_calls_that_were_not_made_here_are_spelt() -> None:
    assert json.loads(spelt("w", '{"a": 1}').split("\n")[1]) == {"name": "w", "arguments": {"a": 1}}
    assert json.loads(spelt("w", "").split("\n")[1]) == {"name": "w", "arguments": {}}
    for arguments in ("[]", "{", "3", "null", '{"a": ', "[" * 100_000):
        said = json.loads(Remembered().text("unknown", "w", arguments).split("\n")[1])
        assert said == {"name": "w", "arguments": arguments}


def test_broken_arguments_do_not_end_a_chat(server: Running) -> None:
    function = {"name": "w", "arguments": '{"k": '}
    turns = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "no JSON", "name": "w"},
    ]
    assert ask(server, messages=turns)["choices"][0]["message"]["content"] == "I see."


def test_without_parallel_calls_the_first_ends_the_answer(server: Running) -> None:
    twice = CALLED + '\n<tool_call>{"name": "w", "arguments": {"k": 3}}</tool_call> And more.'
    held = {"grammar": f"root ::= {json.dumps(twice)}"}
    for parallel, n in ((True, 2), (None, 2), (False, 1)):
        choice = ask(server, parallel_tool_calls=parallel, **held)["choices"][0]
        assert len(choice["message"]["tool_calls"]) == n
        assert choice["finish_reason"] == "tool_calls"
    said = {"messages": QUESTION, "temperature": 0, "tools": [TOOL], "stream": True, **held}
    body = {**said, "parallel_tool_calls": False, "stop": "zzz"}
    with server.client() as client, client.stream("POST", CHAT, json=body) as answer:
        found = chunks(answer.iter_lines())
    calls = [
        c["delta"]["tool_calls"] for chunk in found for c in chunk["choices"] if "tool_calls" in c["delta"]
    ]
    assert [len(each) for each in calls] == [1]
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_tools_are_told_without_what_has_no_effect(server: Running) -> None:
    def n_prompt(tool: dict[str, Any]) -> int:
        n: int = ask(server, tools=[tool], max_tokens=1)["usage"]["prompt_tokens"]
        return n

    assert n_prompt({**TOOL, "cache_control": {"type": "ephemeral"}}) == n_prompt(TOOL)
