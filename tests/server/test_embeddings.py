"""/v1/embeddings: where the model can, with the client that is used with it, and refused elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from served import QUESTION, running

from aspd_local import Embedder
from aspd_local.server import ServerConfig
from tiny.encoders import write_bert, write_pooled_llama
from tiny.files import TinyModel

EMBED = "/v1/embeddings"
TEXTS = ["warm", "cold and warm", "red"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, story_model: TinyModel) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("embedding")
    both = write_pooled_llama(folder / "both.gguf", pooling=3, seed=3)
    return {
        "bert": str(write_bert(folder / "bert.gguf", seed=7).path),
        "both": str(both.path),
        "story": str(story_model.path),
    }


@pytest.fixture(scope="module")
def embedding_client(
    models: dict[str, str], configured: Callable[..., ServerConfig]
) -> Iterator[httpx2.Client]:
    with running(configured(models=models)) as server, server.client() as client:
        yield client


def vectors(answer: httpx2.Response) -> list[list[float]]:
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return [each["embedding"] for each in data]


def test_vectors_are_those_of_the_python_api(embedding_client: httpx2.Client, models: dict[str, str]) -> None:
    for name in ("bert", "both"):
        answer = embedding_client.post(EMBED, json={"input": TEXTS, "model": name})
        embedder = Embedder(models[name], n_threads=1)
        for found, wanted in zip(vectors(answer), embedder.embed(TEXTS), strict=True):
            assert found == pytest.approx(wanted, abs=1e-5)
        n_tokens = sum(len(embedder.tokenize(text)) for text in TEXTS)
        assert answer.json()["usage"] == {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        assert answer.json()["model"] == name


def test_openai_client(embedding_client: httpx2.Client) -> None:
    """It asks for base64 by itself and decodes it."""
    said = embedding_client.post(EMBED, json={"input": TEXTS})
    client = OpenAI(base_url=f"{embedding_client.base_url}/v1", api_key="none", max_retries=0)
    found = client.embeddings.create(model="bert", input=TEXTS)
    for each, wanted in zip(found.data, vectors(said), strict=True):
        assert each.embedding == pytest.approx(wanted, abs=1e-6)


def test_forms_of_input(embedding_client: httpx2.Client, models: dict[str, str]) -> None:
    ids = Embedder(models["bert"]).tokenize("warm")
    said: list[Any] = ["warm", ["warm"], ids, [ids]]
    found = [vectors(embedding_client.post(EMBED, json={"input": each})) for each in said]
    assert all(each == found[0] for each in found)


def test_model_that_embeds_writes_too_or_says_that_it_does_not(embedding_client: httpx2.Client) -> None:
    answer = embedding_client.post("/v1/completions", json={"prompt": "a", "model": "both", "max_tokens": 3})
    assert answer.status_code == 200
    for _ in range(2):
        answer = embedding_client.post("/v1/chat/completions", json={"messages": QUESTION})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "unsupported_model"
        assert "embeddings, not text" in answer.json()["error"]["message"]


def test_default_model_is_loaded_as_what_it_is(embedding_client: httpx2.Client) -> None:
    vectors(embedding_client.post(EMBED, json={"input": "warm"}))
    first = embedding_client.get("/v1/models").json()["data"][0]
    assert first["id"] == "bert"
    assert first["aspd"] == {"loaded": True, "embeddings": 64}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": "a", "model": "story"}, 400, "names no pooling"),
        ({"input": "a", "model": "none"}, 404, "no model"),
        ({"input": ""}, 400, "empty text"),
        ({"input": []}, 400, "input"),
        ({"input": ["a", ""]}, 400, "empty text"),
        ({"input": [[]]}, 400, "empty text"),
        ({"input": [10**6]}, 400, "outside the vocabulary"),
        ({"input": [-1]}, 400, "input"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": [30] * 300}, 400, "256 available"),
        ({"input": "warm " * 300}, 400, "256 available"),
        ({"input": "a", "dimensions": 32}, 400, "64 numbers"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
        ({"input": "a", "prompt_name": "query"}, 400, "prompt_name is not supported"),
        ({}, 400, "input"),
    ],
)
def test_bad_requests(embedding_client: httpx2.Client, body: dict[str, Any], status: int, said: str) -> None:
    answer = embedding_client.post(EMBED, json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]
    assert embedding_client.get("/health").status_code == 200


def test_memory_limit_counts_embedders(
    models: dict[str, str], configured: Callable[..., ServerConfig]
) -> None:
    size = Path(models["bert"]).stat().st_size
    with running(configured(models=models, memory_bytes=size * 3 // 2)) as server, server.client() as client:
        vectors(client.post(EMBED, json={"input": "a"}))
        answer = client.post("/v1/completions", json={"prompt": "a", "model": "both", "max_tokens": 1})
        assert answer.status_code == 503
        assert "MiB" in answer.json()["error"]["message"]
