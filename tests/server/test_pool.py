"""Several models by name: loaded when asked for, given up when idle or when memory is short."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from served import QUESTION, TEXT, running

from aspd_local.server import ServerConfig
from tiny.files import TinyModel

CHAT = "/v1/chat/completions"


def loaded(client: Any) -> list[str]:
    return [model["id"] for model in client.get("/v1/models").json()["data"] if model["aspd"]["loaded"]]


def test_idle_model_is_given_up_and_comes_back(configured: Callable[..., ServerConfig]) -> None:
    with running(configured(keep_alive=0.2)) as server, server.client() as client:
        until = time.monotonic() + 20
        while loaded(client) and time.monotonic() < until:
            time.sleep(0.05)
        assert loaded(client) == []
        assert client.get("/health").status_code == 200
        found = client.post(CHAT, json={"messages": QUESTION, "temperature": 0}).json()
        assert found["choices"][0]["message"]["content"] == TEXT


def test_memory_limit_gives_up_the_longest_unused(
    configured: Callable[..., ServerConfig], story_model: TinyModel, tiny_llama: TinyModel
) -> None:
    models = {"story": str(story_model.path), "llama": str(tiny_llama.path)}
    with running(configured(models=models)) as server, server.client() as client:
        assert loaded(client) == ["story"]
        for name in ("llama", "story"):
            said = {"messages": QUESTION, "model": name, "max_tokens": 3}
            assert client.post(CHAT, json=said).json()["model"] == name
        assert loaded(client) == ["story", "llama"]
        need = {name: entry.n_bytes for name, entry in server.inside.pool.entries.items()}
    limit = max(need.values()) + min(need.values()) // 2
    with running(configured(models=models, memory_bytes=limit)) as server, server.client() as client:
        for name in ("llama", "story", "llama"):
            said = {"messages": QUESTION, "model": name, "max_tokens": 3}
            assert client.post(CHAT, json=said).status_code == 200
            assert loaded(client) == [name]


def test_model_that_cannot_be_loaded_is_503(
    configured: Callable[..., ServerConfig], story_model: TinyModel, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    models = {"story": str(story_model.path), "broken": str(broken)}
    with running(configured(models=models)) as server, server.client() as client:
        answer = client.post(CHAT, json={"messages": QUESTION, "model": "broken"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "model_not_available"
        assert client.post(CHAT, json={"messages": QUESTION}).status_code == 200
