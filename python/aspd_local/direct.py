"""Questions that have one answer: a number, a date, a translation. They are not asked under instructions.

Under a protocol with instructions a question is read once to hear whether its answer has parts, and again
without them if it has none. These have none, whatever the model, so that their answer begins at once. English
only; what is not recognised is asked as any other.
"""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_QUESTION_WORD = re.compile(r"\b(?:what|which|who|whose|why|how|when|where)\b", re.IGNORECASE)
_VALUE = re.compile(
    r"how (?:many|much|old|long|far|tall|high|deep|heavy|big|fast|often|late)\b"
    r"|(?:what|which) (?:year|time|day|date|century|percentage|percent|fraction|colou?r)\b",
    re.IGNORECASE,
)
_TASK = re.compile(r"(?:please )?(?:calculate|compute|solve|simplify|convert|translate)\b", re.IGNORECASE)


def is_direct(question: str) -> bool:
    """Whether a text asks for one value: its last sentence is its only question and begins to ask with "how
    many", "which year" and the like, or is a single task such as a calculation or a translation.

    >>> is_direct("Ann has 3 pens and buys 2. How many has she?")
    True
    >>> is_direct("How many kinds of clouds are there, and what do they tell?")
    False
    """
    sentences = _SENTENCE.split(question.strip())
    last = sentences[-1]
    if last.endswith("?"):
        words = list(_QUESTION_WORD.finditer(last))
        return question.count("?") == 1 == len(words) and bool(_VALUE.match(last, words[0].start()))
    return "?" not in question and bool(_TASK.match(last))
