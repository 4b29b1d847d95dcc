"""A real server on a real port, before a tiny model that answers every chat with the same story."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from served import Running, running

from aspd_local.server import ServerConfig
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY, STORY_END, block
from tiny.vocabulary import EOS


@pytest.fixture(scope="session")
def story_model(tiny_folder: Path) -> TinyModel:
    script = Script([f"assistant\nHm{block(STORY)}{STORY_END}{EOS}"])
    return write_scripted(tiny_folder / "served.gguf", script, seed=17)


@pytest.fixture(scope="session")
def configured(story_model: TinyModel) -> Callable[..., ServerConfig]:
    """A configuration of one tiny model called "story", with changes."""

    def configure(**changes: Any) -> ServerConfig:
        engine = {"n_ctx": 1024, "n_requests": 8, "n_retained": 8, "n_threads": 1, "n_threads_batch": 1}
        said: dict[str, Any] = {
            "models": {"story": str(story_model.path)},
            "port": 0,
            "engine": {**engine, "profile": "off"},
        }
        return ServerConfig(**{**said, **changes})

    return configure


@pytest.fixture(scope="session")
def server(configured: Callable[..., ServerConfig]) -> Iterator[Running]:
    with running(configured()) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def idle(server: Running) -> Callable[[], None]:
    """Asserts that nothing is under way any more, and that all cells but the retained ones are free."""

    def check() -> None:
        entry = server.inside.pool.entries["story"]
        assert entry.engine is not None
        until = time.monotonic() + 10
        while (entry.engine.n_under_way or server.inside.under_way) and time.monotonic() < until:
            time.sleep(0.01)
        assert entry.engine.n_under_way == 0
        assert not server.inside.under_way
        assert entry.n_users == 0

    return check
