"""results.jsonl: a first line that says what was run, then a line for each question and contestant.

The lines of judges come last. All that a summary needs is in this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aspd_local.errors import DataError
from aspd_local.eval.attempt import Attempt

RESULTS = "results.jsonl"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a contestant made of a question.

    Attributes:
        key, category: of the question. contestant: its name.
        attempts: an answer for each turn, [n_turns].
        right: share of what is known of the answer that its last text holds; None: nothing is known.
        nats, n_judged: of the answers under the judge model, and its tokens of them; None: not judged.
        preferred: how often the endpoint preferred it to the serial answer, 0 to 1; None: not asked, or
            unclear.
    """

    key: str
    category: str
    contestant: str
    attempts: tuple[Attempt, ...]
    right: float | None = None
    nats: float | None = None
    n_judged: int = 0
    preferred: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A line of results.jsonl, without what judges say."""
        return {
            "question": self.key,
            "category": self.category,
            "contestant": self.contestant,
            "right": self.right,
            "attempts": [attempt.to_json() for attempt in self.attempts],
        }

    @property
    def text(self) -> str:
        """What was said in the last turn."""
        return self.attempts[-1].text

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def n_words(self) -> int:
        return sum(attempt.n_words for attempt in self.attempts)

    @property
    def n_text_tokens(self) -> int:
        return sum(attempt.n_text_tokens for attempt in self.attempts)

    @property
    def forked(self) -> bool:
        return any(attempt.parts for attempt in self.attempts)


@dataclass(frozen=True, kw_only=True)
class Results:
    """A run. said: its first line."""

    said: Mapping[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def contestants(self) -> list[str]:
        """Names, serial first."""
        return list(self.said["config"]["contestants"])

    def of(self, contestant: str) -> dict[str, Outcome]:
        """A contestant's outcomes by question."""
        return {each.key: each for each in self.outcomes if each.contestant == contestant}


def read_results(path: Path) -> Results:
    """A results.jsonl, or the part of one.

    Raises:
        DataError: it is none, with the number of the line; or it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"no results are here: {error}") from error
    rows = list(_rows(path, lines))
    if not rows or "run" not in rows[0]:
        raise DataError(str(path), "its first line does not say what was run")
    found: dict[tuple[str, str], Outcome] = {}
    judged: dict[tuple[str, str], Mapping[str, Any]] = {}
    try:
        for row in rows[1:]:
            name = (row["question"], row["contestant"])
            if "judged" in row:
                judged[name] = {**judged.get(name, {}), **row["judged"]}
            else:
                found[name] = Outcome(
                    key=row["question"],
                    category=row["category"],
                    contestant=row["contestant"],
                    right=row["right"],
                    attempts=tuple(Attempt.from_json(attempt) for attempt in row["attempts"]),
                )
        outcomes = [Outcome(**{**vars(each), **judged.get(name, {})}) for name, each in found.items()]
    except (KeyError, TypeError) as error:
        raise DataError(str(path), f"a line is not one of `aspd eval`: {error}") from error
    return Results(said=rows[0]["run"], outcomes=outcomes)


def _rows(path: Path, lines: list[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}", "is not a JSON object")
        yield row


def to_line(row: Mapping[str, Any]) -> bytes:
    """A line of the file."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
