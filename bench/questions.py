"""Questions that the scripts of this folder ask: the Vicuna Bench of FastChat (Apache-2.0)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Question:
    """One question. category: as in the bench."""

    number: int
    category: str
    text: str


def read(path: Path) -> list[Question]:
    """First turns of a question file: JSON lines with question_id, category, turns."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Question(row["question_id"], row["category"], row["turns"][0]) for row in rows]
