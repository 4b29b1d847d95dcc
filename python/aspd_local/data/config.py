"""What decides about the output of a build: the same input and the same configuration give the same bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

# Raised with every change that can change the output.
PIPELINE_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where the likelihood test draws its lines; fitted by `bench/independence.py` on the planted cases.

    Attributes:
        scorer: the model they were fitted for.
        gain: largest `Dependence.score` of a block that counts as independent, nats.
        join: largest mean rise of the tail's negative log-likelihood, nats a token.
    """

    scorer: str
    gain: float
    join: float


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a build.

    Attributes:
        min_branches, max_branches: of a block.
        min_words: of each branch.
        max_longest: longest branch / mean branch, in words.
        lexical: whether references between siblings reject a block.
        scorer: the model that scores, as the user named it; None: no likelihood test.
        thresholds: of that test.
        max_tokens: most tokens of prompt and answer that are scored; longer answers stay serial.
        tail_tokens: most tokens of the text behind a block that the join test looks at.
        judge: "URL MODEL" of the judge; None: no judge. judge_votes: asked for each question.
        valid, test: shares of the prompts that go to those splits.
        seed: of the splits and of the choice of foreign siblings.
    """

    min_branches: int = 3
    max_branches: int = 16
    min_words: int = 10
    max_longest: float = 4.0
    lexical: bool = True
    scorer: str | None = None
    thresholds: Thresholds | None = None
    max_tokens: int = 1536
    tail_tokens: int = 64
    judge: str | None = None
    judge_votes: int = 3
    valid: float = 0.05
    test: float = 0.05
    seed: int = 0
    version: int = field(default=PIPELINE_VERSION, init=False)

    def __post_init__(self) -> None:
        if not 2 <= self.min_branches <= self.max_branches:
            raise ValueError("a block has at least two branches, and max_branches is not below min_branches")
        if self.min_words < 1 or self.max_longest < 1:
            raise ValueError("min_words and max_longest must be at least 1")
        if self.valid < 0 or self.test < 0 or self.valid + self.test > 1:
            raise ValueError("valid and test are shares: not negative, together at most 1")
        if self.max_tokens < 64 or self.tail_tokens < 0:
            raise ValueError("max_tokens must be at least 64 and tail_tokens not negative")
        if self.judge_votes < 1:
            raise ValueError("judge_votes must be at least 1")
        if self.scorer is not None and self.thresholds is None:
            raise ValueError("a scorer needs thresholds")

    def to_dict(self) -> dict[str, Any]:
        """As it is written beside every example."""
        return asdict(self)
