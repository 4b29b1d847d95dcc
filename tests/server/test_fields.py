"""What is served, what is accepted without effect, what is refused: the policy that docs/serve.md states."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx2
import pytest
from served import QUESTION, TEXT, Running, running

from aspd_local.server import ServerConfig, schemas
from aspd_local.server.asking import chat_options
from aspd_local.server.fields import WITHOUT_EFFECT, Body, StreamOptions
from aspd_local.server.response_schemas import (
    InputCall,
    InputMessage,
    InputOutput,
    InputReasoning,
    InputText,
    ResponseBody,
    TextSettings,
)

CHAT = "/v1/chat/completions"
DOCS = Path(__file__).parents[2] / "docs" / "serve.md"
CHANGES_NOTHING: list[dict[str, Any]] = [
    {"user": "me"},
    {"metadata": {"a": "b"}},
    {"store": True},
    {"service_tier": "flex"},
    {"safety_identifier": "x"},
    {"prompt_cache_key": "x"},
    {"prompt_cache_retention": "24h"},
    {"cache_prompt": True},
    {"reasoning_effort": "low"},
    {"modalities": ["text"]},
    {"prediction": {"type": "content", "content": "x"}},
    {"messages": [{**QUESTION[0], "name": "Ann"}]},
    {"messages": [{**QUESTION[0], "cache_control": {"type": "ephemeral"}}]},
    {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}],
            }
        ]
    },
]
NULLS = ("n", "stop", "seed", "tools", "functions", "audio", "logit_bias", "aspd", "whatever", "top_k")


@pytest.fixture(scope="module")
def strict(configured: Callable[..., ServerConfig]) -> Iterator[Running]:
    with running(configured(strict=True)) as found:
        yield found


def ask(client: httpx2.Client, **body: Any) -> str:
    answer = client.post(CHAT, json={"messages": QUESTION, "temperature": 0, **body})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


@pytest.mark.parametrize("body", CHANGES_NOTHING, ids=lambda body: next(iter(body)))
def test_what_cannot_change_the_answer_is_accepted(
    client: httpx2.Client, strict: Running, body: dict[str, Any]
) -> None:
    assert ask(client, **body) == TEXT
    with strict.client() as strictly:
        answer = strictly.post(CHAT, json={"messages": QUESTION, **body})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "unsupported_parameter"
    assert error["param"].startswith(next(iter(body)))


def test_prompt_is_the_same_with_what_has_no_effect(client: httpx2.Client) -> None:
    def n_prompt(message: dict[str, Any]) -> int:
        body = {"messages": [*QUESTION, message, *QUESTION], "max_tokens": 1}
        answer = client.post(CHAT, json=body)
        assert answer.status_code == 200, answer.text
        n: int = answer.json()["usage"]["prompt_tokens"]
        return n

    plain = {"role": "assistant", "content": "I see."}
    more = {
        "parsed": {"a": 1},
        "reasoning_content": "long thoughts",
        "annotations": [{"type": "url_citation"}],
        "provider_specific_fields": {"x": 1},
        "refusal": None,
        "audio": None,
        "function_call": None,
    }
    assert n_prompt({**plain, **more}) == n_prompt(plain)
    assert n_prompt({"role": "assistant", "refusal": "I see."}) == n_prompt(plain)
    parts = [{"type": "refusal", "refusal": "I see."}]
    assert n_prompt({"role": "assistant", "content": parts}) == n_prompt(plain)


@pytest.mark.parametrize("name", NULLS)
def test_null_is_absent(client: httpx2.Client, strict: Running, name: str) -> None:
    assert ask(client, **{name: None}) == TEXT
    assert ask(client, aspd={"parallel": "off", name: None}, max_tokens=2)
    with strict.client() as strictly:
        assert ask(strictly, **{name: None}) == TEXT


def test_strict_server_serves_what_has_an_effect(strict: Running) -> None:
    with strict.client() as client:
        assert ask(client, n=1, stop=["zzz"], aspd={"plan": "auto"}) == TEXT


@pytest.mark.parametrize(
    "name", ["functions", "audio", "web_search_options", "chat_template_kwargs", "thinking", "mirostat"]
)
def test_what_could_change_the_answer_is_refused(client: httpx2.Client, name: str) -> None:
    answer = client.post(CHAT, json={"messages": QUESTION, name: {}})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"{name} is not supported"


def test_top_p_of_zero_takes_the_likeliest(client: httpx2.Client) -> None:
    assert ask(client, top_p=0, temperature=50) == TEXT


def test_seed_of_minus_one_is_random() -> None:
    asked = [
        schemas.ChatBody(messages=[{"role": "user", "content": "x"}], seed=seed)  # type: ignore[list-item]
        for seed in (-1, -2, 7, None)
    ]
    assert [chat_options(body).get("seed") for body in asked] == [None, 2**64 - 2, 7, None]


def test_docs_list_what_is_accepted_without_effect() -> None:
    told = re.search(r"^\| accepted without effect \|.*$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert told is not None
    listed = set(re.findall(r"`([a-z_]+)[^`]*`", told[0]))
    kinds: list[type[Body]] = [
        kind for kind in vars(schemas).values() if isinstance(kind, type) and issubclass(kind, Body)
    ]
    more: list[type[Body]] = [
        StreamOptions,
        InputMessage,
        InputCall,
        InputOutput,
        InputReasoning,
        InputText,
        ResponseBody,
        TextSettings,
    ]
    marked = {
        name
        for kind in [*kinds, *more]
        for name, field in kind.model_fields.items()
        if WITHOUT_EFFECT in field.metadata
    }
    assert listed == marked


def test_a_client_names_protocols_of_the_package_and_no_file(client: httpx2.Client, tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("{}")
    for path in (there, tmp_path / "not-there.json", tmp_path):
        found = client.post(CHAT, json={"messages": QUESTION, "aspd": {"parallel": str(path)}})
        assert found.status_code == 400
        error = found.json()["error"]
        assert error["param"] == "aspd.parallel"
        allowed = "aspd.parallel: must be 'auto', 'off' or a protocol (aspd, intrinsic, prompted)"
        assert error["message"] == f"{allowed}, not {str(path)!r}"


def test_a_server_answers_under_a_protocol_of_its_own(
    configured: Callable[..., ServerConfig], tmp_path: Path
) -> None:
    packaged = resources.files("aspd_local") / "protocols" / "aspd.json"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**json.loads(packaged.read_text()), "name": "mine"}))
    own = {**configured().engine, "protocol": str(file)}
    with running(configured(engine=own)) as server, server.client() as client:
        found = client.post(CHAT, json={"messages": QUESTION, "temperature": 0}).json()
        assert found["choices"][0]["message"]["content"] == TEXT
        assert found["aspd"]["protocol"] == "mine"
        assert client.get("/v1/models").json()["data"][0]["aspd"]["protocol"] == "mine"
