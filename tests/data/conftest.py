"""Fixtures: the planted cases, and scorers and judges that need no model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from aspd_local import Model
from aspd_local.data.example import Example, Run
from aspd_local.data.scoring import BlockScores, BranchScores, ModelScorer
from tiny.files import TinyModel

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

PLANTED = Path(__file__).with_name("planted.jsonl")


class FakeScorer:
    """Finds that siblings tell much of parts that hold a word, and nothing of others. Counts words."""

    def __init__(self, telling: str = "DEPENDS") -> None:
        self.telling = telling
        self.asked: list[tuple[Example, Run, tuple[str, ...]]] = []

    def count(self, text: str) -> int:
        return len(text.split())

    def score(
        self, example: Example, run: Run, foreign: Sequence[str], *, max_tokens: int, tail_tokens: int
    ) -> BlockScores | None:
        self.asked.append((example, run, tuple(foreign)))
        texts = run.texts(example.answer)
        if sum(map(self.count, texts)) > max_tokens:
            return None
        told = [9.0 if self.telling in text else 2.0 for text in texts]
        branches = tuple(
            BranchScores(alone=(nats,) * 4, true=(2.0,) * 4, foreign=(nats,) * 4 if i else ())
            for i, nats in enumerate(told)
        )
        tail = min(tail_tokens, 3)
        return BlockScores(
            branches=branches, tail_serial=(1.0,) * tail, tail_joined=(1.0,) * tail, n_tokens=1
        )


@pytest.fixture
def fake_scorer() -> FakeScorer:
    return FakeScorer()


@pytest.fixture(scope="session")
def planted() -> list[dict[str, str]]:
    """The cases that are committed: prompt, answer, label, family."""
    return [json.loads(line) for line in PLANTED.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def tiny_scorer(tiny_llama: TinyModel) -> Iterator[ModelScorer]:
    settings = {"flash_attn": "off", "cache_type": "f32"}
    with Model(
        tiny_llama.path, n_ctx=4096, n_threads=1, n_threads_batch=1, n_outputs_max=64, **settings
    ) as model:  # type: ignore[arg-type]
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
