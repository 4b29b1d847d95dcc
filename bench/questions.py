"""Questions that the scripts of this folder ask: files of the Vicuna Bench of FastChat (Apache-2.0), and
corpora of this project's own in eight languages. corpora/questions.jsonl is mixed; corpora/procedures.jsonl
has recipes, steps, derivations and code, was written after the engine's rules and is for claims only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CORPORA = Path(__file__).resolve().parent / "corpora"
CORPUS = CORPORA / "questions.jsonl"
PROCEDURES = CORPORA / "procedures.jsonl"

Split = Literal["develop", "test"]


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


@dataclass(frozen=True, kw_only=True)
class OwnQuestion:
    """A question of the corpus.

    Attributes:
        id: its name, such as "de-07".
        language: "en", "de", "fr", "es", "pt", "ru", "zh" or "ja".
        kind: the form that an answer usually has: "list" (a list or sections with titles), "recipe", "steps",
            "derivation", "code" and so on.
    """

    id: str
    language: str
    kind: str
    text: str


def corpus(path: Path = CORPUS) -> list[OwnQuestion]:
    """The questions of the corpus, in its order. Raises KeyError, ValueError for a line that is none."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        OwnQuestion(id=row["id"], language=row["language"], kind=row["kind"], text=row["question"])
        for row in rows
    ]


def split(question: str) -> Split:
    """Whether a question may be looked at while the engine is developed, or is kept for the test.

    The text of the question decides and nothing else: by whether the first byte of its sha256 is even.
    """
    return "test" if hashlib.sha256(question.encode()).digest()[0] % 2 else "develop"
