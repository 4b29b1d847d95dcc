"""Fixtures: a hub on this machine, an empty cache, and no setting of the developer's own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from stand_in_hub import FILE, SIZE, StandInHub

from aspd_local.sources.hub import Hub
from aspd_local.sources.retry import Retry


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN", "ASPD_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")  # it asks the real hub for a list
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def content() -> bytes:
    return random.Random(0).randbytes(SIZE)


@pytest.fixture
def stand_in(content: bytes) -> Iterator[StandInHub]:
    with StandInHub({FILE: content, "README.md": b"# Tiny\n"}, plain=("README.md",)) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub-cache"


@pytest.fixture
def hub(stand_in: StandInHub, cache: Path) -> Hub:
    """A hub that gives up at the first trouble."""
    return Hub(endpoint=stand_in.url, cache=cache, retry=Retry(limit=0, wait_s=0.0))


@pytest.fixture
def patient_hub(stand_in: StandInHub, cache: Path) -> Hub:
    """A hub that tries again, at once."""
    return Hub(endpoint=stand_in.url, cache=cache, retry=Retry(limit=3, wait_s=0.0))
