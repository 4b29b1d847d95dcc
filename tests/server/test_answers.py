"""What clients get from the real server: whole answers, streams, live events, refusals."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from served import QUESTION, TEXT, running
from wire import check_form, chunks, content, folded, live_events

from aspd_local import Event, Fork
from aspd_local.server import ServerConfig

CHAT = "/v1/chat/completions"


def ask(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(CHAT, json={"messages": QUESTION, "temperature": 0, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stream(client: httpx2.Client, **body: Any) -> list[dict[str, Any]]:
    said = {"messages": QUESTION, "temperature": 0, "stream": True, **body}
    with client.stream("POST", CHAT, json=said) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return chunks(answer.iter_lines())


def test_whole_answer_has_text_structure_and_times(client: httpx2.Client) -> None:
    found = ask(client)
    choice = found["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": TEXT, "refusal": None}
    assert choice["finish_reason"] == "stop"
    branches = found["aspd"]["blocks"][0]["branches"]
    assert [branch["id"] for branch in branches] == ["1.1", "1.2", "1.3"]
    assert [TEXT[slice(*branch["span"])] for branch in branches] == [":one", ":two→2!", ":é"]
    assert found["timings"]["steps"] == found["aspd"]["steps"] > 0
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_stream_says_the_same_in_reading_order(client: httpx2.Client) -> None:
    found = stream(client)
    check_form(found)
    assert content(found) == TEXT
    assert found[-1]["aspd"]["blocks"] == ask(client)["aspd"]["blocks"]
    assert all("events" not in chunk.get("aspd", {}) for chunk in found)


@pytest.fixture(scope="module")
def looping(configured: Callable[..., ServerConfig]) -> Iterator[httpx2.Client]:
    """A server with room for an answer that is ended as it repeats itself."""
    engine = {"n_ctx": 2048, "n_threads": 1, "n_threads_batch": 1, "profile": "off"}
    with running(configured(engine=engine)) as server, server.client() as client:
        yield client


ENDLESS = {"grammar": 'root ::= "a" root', "temperature": 0}


@pytest.mark.parametrize(
    ("route", "question"),
    [
        ("/v1/chat/completions", {"messages": QUESTION}),
        ("/v1/completions", {"prompt": "x", "max_tokens": 1500}),
        ("/v1/responses", {"input": "Hello"}),
    ],
)
def test_an_answer_that_repeats_itself_says_that_it_was_ended(
    looping: httpx2.Client, route: str, question: dict[str, Any]
) -> None:
    body = {**question, **ENDLESS}
    whole = looping.post(route, json=body)
    assert whole.status_code == 200, whole.text
    assert whole.json()["aspd"]["finish_detail"] == "loop"
    with looping.stream("POST", route, json={**body, "stream": True}) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: {")]
    last = json.loads(lines[-1])
    assert last.get("response", last)["aspd"]["finish_detail"] == "loop"


def test_an_answer_that_was_only_cut_has_no_detail(client: httpx2.Client) -> None:
    found = ask(client, max_tokens=3)
    assert (found["choices"][0]["finish_reason"], found["aspd"]["finish_detail"]) == ("length", None)


def test_live_stream_carries_every_piece_twice(client: httpx2.Client) -> None:
    found = stream(client, aspd={"stream": "live"})
    check_form(found)
    assert content(found) == folded(found) == TEXT
    forks = [event for event in live_events(found) if isinstance(event, Fork)]
    assert forks == [Fork(1, ("a", "b", "c"), 2)]


def test_usage_comes_last_where_it_is_asked_for(client: httpx2.Client) -> None:
    found = stream(client, stream_options={"include_usage": True})
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in found[:-1])
    check_form(found)


def test_several_choices_do_not_interleave(client: httpx2.Client) -> None:
    found = stream(client, n=3, seed=5)
    check_form(found, 3)
    assert [content(found, i) for i in range(3)] == [TEXT] * 3
    whole = ask(client, n=2)
    assert [choice["message"]["content"] for choice in whole["choices"]] == [TEXT] * 2


def test_serial_on_request(client: httpx2.Client) -> None:
    found = ask(client, aspd={"parallel": "off"}, max_tokens=8)
    assert found["aspd"]["blocks"] == []
    assert found["aspd"]["protocol"] == "serial"


def test_logprobs_spell_the_sampled_text(client: httpx2.Client) -> None:
    whole = ask(client, logprobs=True, top_logprobs=2)
    told = whole["choices"][0]["logprobs"]["content"]
    streamed = [
        each
        for chunk in stream(client, logprobs=True, top_logprobs=2)
        for choice in chunk["choices"]
        if choice["logprobs"]
        for each in choice["logprobs"]["content"]
    ]
    assert streamed == told
    text = b"".join(bytes(each["bytes"]) for each in told).decode()
    assert text == "Hm:one:two→2!:éSo."  # the titles were sampled in the plan
    assert all(len(each["top_logprobs"]) == 2 for each in told)
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_json_schema_governs_the_answer(client: httpx2.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}},
        "required": ["yes"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    said = json.loads(ask(client, response_format=form)["choices"][0]["message"]["content"])
    assert list(said) == ["yes"]


def test_stop_string_ends_the_answer(client: httpx2.Client) -> None:
    assert ask(client, stop="two")["choices"][0]["message"]["content"] == TEXT.partition("two")[0]
    assert content(stream(client, stop=["two"])) == TEXT.partition("two")[0]


def test_next_turn_finds_the_answer_in_the_cache(client: httpx2.Client) -> None:
    first = ask(client)
    said = first["choices"][0]["message"]["content"]
    turns = [*QUESTION, {"role": "assistant", "content": said}, {"role": "user", "content": "And?"}]
    second = ask(client, messages=turns)
    held = first["usage"]["total_tokens"]
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= 0.95 * held


def test_completions_continue_a_plain_text(client: httpx2.Client) -> None:
    body = {"prompt": "assistant\n", "temperature": 0, "max_tokens": 2, "logprobs": 1}
    found = client.post("/v1/completions", json=body).json()
    assert found["object"] == "text_completion"
    assert found["choices"][0]["text"] == "Hm"
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["choices"][0]["logprobs"]["tokens"] == ["H", "m"]
    with client.stream("POST", "/v1/completions", json={**body, "stream": True}) as answer:
        said = chunks(answer.iter_lines())
    assert "".join(chunk["choices"][0]["text"] for chunk in said) == "Hm"


def test_content_may_be_a_list_of_texts(client: httpx2.Client) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": ""}, {"type": "text", "text": "lo"}]
    ask(client, messages=[{"role": "user", "content": "Hel\nlo"}])
    one = ask(client, messages=[{"role": "user", "content": parts}])["usage"]
    assert one["prompt_tokens_details"]["cached_tokens"] >= one["prompt_tokens"] - 1


def complete(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    said = {"temperature": 0, "max_tokens": 2, **body}
    answer = client.post("/v1/completions", json=said)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_completions_of_several_prompts(client: httpx2.Client) -> None:
    prompts = ["assistant\n", "tassistant\n"]
    found = complete(client, prompt=prompts, n=2, echo=True)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    texts = [choice["text"] for choice in found["choices"]]
    assert texts == [f"{prompt}Hm" for prompt in prompts for _ in range(2)]
    alone = [complete(client, prompt=prompt)["usage"] for prompt in prompts]
    assert found["usage"]["prompt_tokens"] == sum(usage["prompt_tokens"] for usage in alone)
    body = {"prompt": prompts, "temperature": 0, "max_tokens": 2, "echo": True, "stream": True}
    with client.stream("POST", "/v1/completions", json=body) as answer:
        told = chunks(answer.iter_lines())
    streamed = [
        "".join(c["text"] for chunk in told for c in chunk["choices"] if c["index"] == i) for i in range(2)
    ]
    assert streamed == [f"{prompt}Hm" for prompt in prompts]
    answer = client.post("/v1/completions", json={**body, "prompt": ["x"] * 100})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"


def test_completions_of_token_ids(client: httpx2.Client) -> None:
    ids = client.post("/tokenize", json={"content": "assistant\n"}).json()["tokens"]
    assert complete(client, prompt=ids)["choices"][0]["text"] == "Hm"
    found = complete(client, prompt=[ids, ids], echo=True)
    assert [choice["text"] for choice in found["choices"]] == ["assistant\nHm"] * 2
    wrong: list[Any] = [[[]], [], [[1], "x"], [10**6], [-1], [1.5], "x" * 100_000, {"a": 1}]
    for prompt in wrong:
        answer = client.post("/v1/completions", json={"prompt": prompt})
        assert answer.status_code == 400, prompt
        assert answer.json()["error"]["param"].startswith("prompt"), answer.text
    answer = client.post("/v1/completions", json={"prompt": "x", "echo": True, "logprobs": 1})
    assert answer.json()["error"]["param"] == "logprobs"


def test_echo_moves_the_spans_of_branches(client: httpx2.Client) -> None:
    found = complete(client, prompt="é assistant\n", echo=True, max_tokens=100)
    text = found["choices"][0]["text"]
    branches = found["aspd"]["blocks"][0]["branches"]
    assert [text[slice(*branch["span"])] for branch in branches] == [":one", ":two→2!", ":é"]


def test_one_model_by_its_name(client: httpx2.Client) -> None:
    assert client.get("/v1/models/story").json() == client.get("/v1/models").json()["data"][0]
    answer = client.get("/v1/models/hf:owner/repo:Q4")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "there is no model 'hf:owner/repo:Q4' here; there are: story"


def test_head_is_get_without_its_body(client: httpx2.Client) -> None:
    for path in ("/", "/health", "/v1/models", "/v1/models/story", "/metrics", "/page/page.css"):
        head = client.head(path)
        assert head.status_code == 200, path
        assert head.content == b""
        assert head.headers["content-type"] == client.get(path).headers["content-type"]
    assert client.head(CHAT).status_code == 405
    assert client.head("/nothing").status_code == 404


def test_models_health_metrics_and_tokens(client: httpx2.Client) -> None:
    models = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["story"]
    assert models[0]["aspd"]["protocol"] == "aspd"
    assert client.get("/health").json() == {"status": "ok"}
    ask(client)
    metrics = client.get("/metrics").text
    assert 'aspd_requests_total{route="/v1/chat/completions",status="200"}' in metrics
    assert 'aspd_cells{model="story"} 1024.0' in metrics
    ids = client.post("/tokenize", json={"content": "Hello →"}).json()["tokens"]
    assert client.post("/detokenize", json={"tokens": ids}).json() == {"content": "Hello →"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f(x)"}}]}, "tools.0.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": [{"role": "user", "content": "x", "tool_call_id": "y"}]}, "messages.0"),
        ({"messages": [{"role": "assistant"}]}, "messages.0"),
        ({"functions": []}, "functions"),
        ({"audio": {}}, "audio"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": ""}, "stop"),
        ({"stop": 5}, "stop"),
        ({"n": 9}, "n"),
        ({"n": 10**9}, "n"),
        ({"n": -1}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_completion_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"verbosity": "low"}, "verbosity"),
        ({"modalities": ["text", "audio"]}, "modalities.1"),
        ({"logit_bias": {str(i): 1 for i in range(100_000)}}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0.content.0",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
            "messages.0.content.0.text",
        ),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x", "weight": 1}]}, "messages.0.weight"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, None),  # no JSON
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "odd"}}}},
            "response_format",
        ),
        ({"grammar": "root ::= ("}, "grammar"),
        ({"grammar": 'root ::= "a"{5,2}'}, "grammar"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"minLength": 99999}}}},
            "response_format",
        ),
        ({"aspd": {"parallel": "no such protocol"}}, "aspd.parallel"),
        ({"aspd": {"plan": "sometimes"}}, "aspd.plan"),
        ({"aspd": {"unknown": 1}}, "aspd.unknown"),
        ({"messages": [{"role": "user", "content": "x" * 100_000}]}, "messages"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: httpx2.Client, body: dict[str, Any], param: str | None
) -> None:
    for streamed in (False, True):
        said = {"messages": QUESTION, **body, **({"stream": True} if streamed else {})}
        if streamed and "stream_options" in body:
            continue
        raw = json.dumps(said)  # as it is, half a surrogate pair too
        answer = client.post(CHAT, content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]
        assert isinstance(error["code"], str)
        assert error["param"] == param
    assert ask(client)["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize("token", [-1, 10**6, 2**31, 2**63, 10**30, True, "1", 1.5, None])
def test_token_ids_that_are_none_are_refused(client: httpx2.Client, token: object) -> None:
    assert client.post("/detokenize", json={"tokens": [token]}).status_code == 400


def test_context_that_is_too_small_is_said_before_anything_is_decoded(client: httpx2.Client) -> None:
    messages = [{"role": "user", "content": "x" * 3000}]
    error = client.post(CHAT, json={"messages": messages, "stream": True}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["param"] == "messages"
    assert "prompt is too long" in error["message"]  # by these words LangChain knows it, LiteLLM by those
    assert "this model's maximum context length is 1024 tokens" in error["message"]


def test_unknown_models_and_routes_are_404(client: httpx2.Client) -> None:
    answer = client.post(CHAT, json={"messages": QUESTION, "model": "../../etc/passwd"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert answer.json()["error"]["message"].endswith("there are: story")
    for path in (
        "/v1/nothing",
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2fapp.py",
        "/page/nothing",
    ):
        assert client.get(path).status_code == 404, path
    assert client.get(CHAT).status_code == 405
    assert client.get(CHAT).json()["error"]["message"]


def test_control_ends_one_branch_and_the_answer(configured: Callable[..., ServerConfig]) -> None:
    with running(configured()) as server, server.client() as client:
        engine = server.inside.pool.entries["story"].engine
        assert engine is not None
        step, controlled = engine.model.step, threading.Event()

        def slow_step() -> list[tuple[int, Event]]:
            if not controlled.is_set():
                time.sleep(0.05)
            return step()

        engine.model.step = slow_step  # type: ignore[method-assign]
        said = {"messages": QUESTION, "temperature": 0, "stream": True, "aspd": {"stream": "live"}}
        with client.stream("POST", CHAT, json=said) as answer, server.client() as other:
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if '"fork"' in line and not controlled.is_set():
                    answer_id = json.loads(line[6:])["id"]
                    body = {"id": answer_id, "action": "branch_end", "branch": "1.2"}
                    assert other.post(f"{CHAT}/control", json=body).json() == {"success": True}
                    assert other.post(f"{CHAT}/control", json={**body, "branch": "x"}).status_code == 400
                    assert other.post(f"{CHAT}/control", json={**body, "branch": None}).status_code == 400
                    controlled.set()
        found = chunks(lines)
        assert controlled.is_set()
        assert content(found) == folded(found) != TEXT
        branches = found[-1]["aspd"]["blocks"][0]["branches"]
        assert [branch["reason"] for branch in branches] == ["stop", "cancelled", "stop"]
        assert found[-1]["choices"][0]["finish_reason"] == "stop"
        assert client.post(f"{CHAT}/control", json={"id": "none", "action": "cancel"}).status_code == 404


def test_full_queue_says_come_again(configured: Callable[..., ServerConfig]) -> None:
    from aspd_local.server import Limits

    engine = {"n_ctx": 512, "n_requests": 1, "n_threads": 1, "n_threads_batch": 1, "profile": "off"}
    with running(configured(engine=engine, limits=Limits(n_waiting=1))) as server, server.client() as client:
        answer = client.post(CHAT, json={"messages": QUESTION, "n": 3})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert ask(client, n=2)["choices"][1]["message"]["content"] == TEXT
