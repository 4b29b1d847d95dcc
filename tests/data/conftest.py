"""Fixtures: the planted cases, and scorers and judges that need no model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_scorer import PLANTED, FakeScorer

from aspd_local import Model
from aspd_local.data.scoring import ModelScorer
from aspd_local.typing import EngineSettings
from tiny.files import TinyModel

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))


@pytest.fixture
def fake_scorer() -> FakeScorer:
    return FakeScorer()


@pytest.fixture(scope="session")
def planted() -> list[dict[str, str]]:
    """The cases that are committed: prompt, answer, label, family."""
    return [json.loads(line) for line in PLANTED.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def tiny_scorer(tiny_llama: TinyModel) -> Iterator[ModelScorer]:
    exact: EngineSettings = {"flash_attn": "off", "cache_type": "f32", "n_threads": 1, "n_threads_batch": 1}
    with Model(tiny_llama.path, n_ctx=4096, n_outputs_max=64, **exact) as model:
        yield ModelScorer(model)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes objects as lines of a file."""

    def write(*rows: object, name: str = "input.jsonl") -> Path:
        path = tmp_path / name
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write
