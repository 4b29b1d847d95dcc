"""Answers and results that nobody decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aspd_local.eval import Attempt, Outcome, Part, Results


def attempt(text: str, seconds: float = 1.0, **fields: Any) -> Attempt:
    """An answer whose tokens are its words."""
    n = len(text.split())
    given: dict[str, Any] = {
        "n_words": n,
        "n_text_tokens": n,
        "n_sampled": n,
        "steps": n,
        "lanes": n,
        "critical_path": n,
        "phases": {"prompt": 0.1 * seconds, "trunk": 0.9 * seconds},
        "first_token_s": 0.1 * seconds,
        **fields,
    }
    return Attempt(text=text, seconds=seconds, **given)


def branches(*pieces: tuple[str, str], reason: str = "stop") -> tuple[Part, ...]:
    """A block of (title, body) branches."""
    return tuple(
        Part(
            block=1,
            number=number,
            title=title,
            text=body,
            n_tokens=len(body.split()),
            begin_s=0.2,
            end_s=0.5 + 0.1 * number,
            end_reason=reason,
        )
        for number, (title, body) in enumerate(pieces, 1)
    )


def outcome(key: str, contestant: str, *attempts: Attempt, **fields: Any) -> Outcome:
    """An outcome in the category of its question's first letter."""
    return Outcome(key=key, category=key[0], contestant=contestant, attempts=attempts, **fields)


def results(outcomes: Sequence[Outcome], *names: str) -> Results:
    """A run of these contestants."""
    said = {
        "config": {"model": "m", "suite": "s", "contestants": list(names), "seed": 0},
        "suite": "s",
        "n_questions": len({each.key for each in outcomes}),
        "model": {"name": "m.gguf", "bytes": 1, "sha256": "0" * 64},
        "judge": None,
        "endpoint": None,
        "machine": {
            "processor": "P <1>",
            "physical_cores": 2,
            "system": "S",
            "python": "3",
            "aspd_local": "0",
        },
    }
    return Results(said=said, outcomes=list(outcomes))
