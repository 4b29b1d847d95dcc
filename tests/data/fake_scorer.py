"""A scorer that needs no model, and where the planted cases are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aspd_local.data.example import Example, Run
from aspd_local.data.scoring import BlockScores, BranchScores

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
            BranchScores(
                alone=(nats,) * 4, true=(2.0,) * 4, foreign=(nats,) * 4 if i else (), words=(0, 1, 2, -1)
            )
            for i, nats in enumerate(told)
        )
        tail = min(tail_tokens, 3)
        return BlockScores(
            branches=branches, tail_serial=(1.0,) * tail, tail_joined=(1.0,) * tail, n_tokens=1
        )
