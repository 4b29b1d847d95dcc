"""Questions to answer: those of the package, and files of the user's own.

`vicuna`: FastChat (Apache-2.0). `gsm8k`: OpenAI's grade-school-math, test split (MIT). `rag`: this project's
own (tools/write_rag.py).
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from aspd_local.errors import DataError

NAMES = ("vicuna", "gsm8k", "rag")
_FIELDS = {"id", "category", "prompt", "turns", "answer", "facts"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of one or more turns.

    Attributes:
        key: its name in the suite.
        category: for groups in a report; "" if there are none.
        turns: what the user says, [n_turns].
        number: the final number that is right, as text; None: not known.
        facts: texts that a right answer holds, each one of its alternatives, [n_facts][n_alternatives].
    """

    key: str
    category: str
    turns: tuple[str, ...]
    number: str | None = None
    facts: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Questions with a name."""

    name: str
    questions: tuple[Question, ...]

    def drawn(self, limit: int | None, seed: int) -> tuple[Question, ...]:
        """The questions, or `limit` of them drawn by the seed; in their order."""
        if limit is None or limit >= len(self.questions):
            return self.questions
        chosen = random.Random(seed).sample(range(len(self.questions)), limit)
        return tuple(self.questions[i] for i in sorted(chosen))


def load(name: str) -> Suite:
    """A suite by its name, or a file.

    A line of a file is a JSON object with `prompt`, or `turns` (a list); optional are `id`, `category`,
    `answer` (a number) and `facts` (a list of texts, or of lists of alternatives, that a right answer holds).

    Raises:
        DataError: the file holds no question, or a line is none, with its number.
        ValueError: neither a suite nor a file.
    """
    if name in NAMES:
        read = {"vicuna": _vicuna, "gsm8k": _gsm8k, "rag": _own}[name]
        return Suite(name=name, questions=tuple(_read(name, _packaged(name), read)))
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"{name}: no such file; suites known by name: {', '.join(NAMES)}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(name, "is not UTF-8 text") from error
    questions = tuple(_read(name, lines, _own))
    if not questions:
        raise DataError(name, "no questions")
    keys = [question.key for question in questions]
    if doubled := next((key for key in keys if keys.count(key) > 1), None):
        raise DataError(name, f"the id {doubled!r} stands twice")
    return Suite(name=path.stem, questions=questions)


def _packaged(name: str) -> list[str]:
    packed = resources.files("aspd_local.eval") / "suites" / f"{name}.jsonl.gz"
    return gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines()


def _read(
    source: str, lines: list[str], read: Callable[[int, Mapping[str, Any]], Question]
) -> Iterator[Question]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError("not an object")
            yield read(number, row)
        except (ValueError, KeyError, TypeError) as error:
            what = f"lacks the field {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{source}:{number}", what) from error


def _vicuna(_number: int, row: Mapping[str, Any]) -> Question:
    return Question(key=str(row["question_id"]), category=row["category"], turns=tuple(row["turns"]))


def _gsm8k(number: int, row: Mapping[str, Any]) -> Question:
    right = row["answer"].rpartition("####")[2].strip()
    return Question(key=str(number), category="", turns=(row["question"],), number=right)


def _own(number: int, row: Mapping[str, Any]) -> Question:
    if unknown := sorted(set(row) - _FIELDS):
        raise ValueError(f"unknown fields: {', '.join(unknown)}; known are {', '.join(sorted(_FIELDS))}")
    if ("prompt" in row) == ("turns" in row):
        raise ValueError("needs either prompt or turns")
    turns = row["turns"] if "turns" in row else [row["prompt"]]
    if not isinstance(turns, list) or not turns or not all(_is_said(turn) for turn in turns):
        raise ValueError("prompt must be a text, turns a list of texts, none of them empty")
    facts = row.get("facts", [])
    if not isinstance(facts, list):
        raise ValueError("facts must be a list")
    alternatives = tuple(tuple(fact) if isinstance(fact, list) else (fact,) for fact in facts)
    if not all(fact and all(_is_said(each) for each in fact) for fact in alternatives):
        raise ValueError("a fact must be a text, or a list of texts, none of them empty")
    answer = row.get("answer")
    if answer is not None and (isinstance(answer, bool) or not isinstance(answer, int | float | str)):
        raise ValueError("answer must be a number")
    return Question(
        key=str(row.get("id", number)),
        category=str(row.get("category", "")),
        turns=tuple(turns),
        number=None if answer is None else str(answer),
        facts=alternatives,
    )


def _is_said(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
