"""Which of two answers a larger model prefers, asked twice with their positions swapped. Prompt of this
project.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Ask = Callable[[str, int], list[str]]  # a prompt and how many replies are wanted -> the replies
Preference = Literal["first", "second", "tie", "unclear"]

_VERDICT = re.compile(r"\bverdict\b\W*(A|B|TIE)\b", re.IGNORECASE)
_BARE = re.compile(r"\W*(A|B|TIE)\W*", re.IGNORECASE)
_PROMPT = """\
Two assistants answered the same question. Judge which answer serves the person who asked better: is it
right, does it answer what was asked, is it complete without repeating itself, is it well ordered and easy to
read? Neither the length of an answer nor its place below counts.

QUESTION
{question}

ANSWER A
{first}

ANSWER B
{second}

Think briefly, then end with one line: "VERDICT: A", "VERDICT: B" or "VERDICT: TIE"."""


def preference(ask: Ask, question: str, one: str, other: str) -> float | None:
    """How often `one` is preferred to `other`, 0 to 1, a tie counting half; None where no reply says.

    Raises: as ask.
    """
    votes = []
    for first, second, wins in ((one, other, "first"), (other, one, "second")):
        reply = ask(_PROMPT.format(question=question, first=first, second=second), 1)[0]
        vote = read_preference(reply)
        if vote != "unclear":
            votes.append(0.5 if vote == "tie" else float(vote == wins))
    return sum(votes) / len(votes) if votes else None


def read_preference(reply: str) -> Preference:
    """The last verdict of a reply; a bare A, B or tie counts as one."""
    found = _VERDICT.findall(reply) or [match[1] for match in [_BARE.fullmatch(reply)] if match]
    if not found:
        return "unclear"
    verdicts: dict[str, Preference] = {"A": "first", "B": "second", "TIE": "tie"}
    return verdicts[found[-1].upper()]
