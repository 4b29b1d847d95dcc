"""What an evaluation is asked to do. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SERIAL = "serial"


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Who scores answers.

    Attributes:
        model: a GGUF model that is not the contestant's: likelihood of each answer given its question. None:
            none.
        url, name: an endpoint that speaks OpenAI's chat completions, and the model to ask there. None: none.
        rate: most requests a minute.
    """

    model: str | None = None
    url: str | None = None
    name: str = ""
    rate: float = 60.0


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of a run.

    Attributes:
        model: as Model() takes it.
        suite: "vicuna", "gsm8k", "rag", or a JSONL file.
        contestants: names, see contestants.py; "serial" is always among them.
        limit: questions drawn by the seed; None: all.
        max_tokens: of each answer.
        temperature: 0: the most likely token.
        seed: of what is drawn and sampled.
        n_ctx, n_threads: of the engine; 0: its choice.
        server: path of llama.cpp's `llama-server`, for the contestant "ngram"; None: looked for in PATH.
    """

    model: str
    suite: str
    contestants: Sequence[str] = (SERIAL, "parallel")
    limit: int | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    n_ctx: int = 4096
    n_threads: int = 0
    server: Path | None = None
    judge: JudgeConfig = JudgeConfig()

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field."""
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")
        if self.seed < 0 or self.n_threads < 0:
            raise ValueError("seed and threads must not be negative")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError("temperature must be a number of at least 0")
        if len(set(self.contestants)) != len(self.contestants):
            raise ValueError("a contestant is named twice")

    @property
    def names(self) -> tuple[str, ...]:
        """The contestants, serial first."""
        return (SERIAL, *(name for name in self.contestants if name != SERIAL))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; what decides the answers."""
        found = asdict(self)
        del found["server"], found["judge"]
        return {**found, "contestants": list(self.names)}
