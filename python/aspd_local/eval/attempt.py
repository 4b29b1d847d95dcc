"""One answer of one contestant: its text, structure and times. Plain data that becomes a line of
results.jsonl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """A branch, as it was seen from outside.

    Attributes:
        block, number: from 1.
        title: as planned. text: what a reader sees of it behind its title.
        n_tokens: sampled tokens of its body.
        begin_s, end_s: its first text and its end, seconds after the question.
        end_reason: "stop", "length" or "cancelled".
    """

    block: int
    number: int
    title: str
    text: str
    n_tokens: int
    begin_s: float
    end_s: float
    end_reason: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An answer to one turn.

    Attributes:
        text: what a reader sees. n_words, n_text_tokens: of it; tokens as the model's vocabulary cuts it.
        parts: branches, in reading order.
        protocol, fallback, finish_reason: as Answer has them.
        n_sampled: tokens that were sampled, plans and what was taken back included. n_plan: of plans, with
            markers.
        steps: decode steps after the prompt. lanes: their lanes, added up.
        critical_path: tokens that had to be written one after another.
        phases: seconds by phase.
        first_token_s, seconds: from the question to the first text, to the end.
    """

    text: str
    n_words: int
    n_text_tokens: int
    parts: tuple[Part, ...] = ()
    protocol: str = "serial"
    fallback: str | None = None
    finish_reason: str = "stop"
    n_sampled: int = 0
    n_plan: int = 0
    steps: int = 0
    lanes: int = 0
    critical_path: int = 0
    phases: Mapping[str, float]
    first_token_s: float
    seconds: float

    @property
    def blocks(self) -> list[list[Part]]:
        """Parts by block."""
        found: dict[int, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.block, []).append(part)
        return list(found.values())

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; seconds are rounded to microseconds."""
        found = asdict(self)
        found["phases"] = {name: round(seconds, 6) for name, seconds in self.phases.items()}
        for each in (found, *found["parts"]):
            each.update({key: round(value, 6) for key, value in each.items() if isinstance(value, float)})
        return found

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Attempt:
        """The inverse. Raises KeyError, TypeError for another object."""
        return cls(**{**row, "parts": tuple(Part(**part) for part in row["parts"])})
