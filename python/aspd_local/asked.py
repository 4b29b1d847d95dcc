"""Parts that a question itself lists: a numbered list with which it ends.

A model that begins a plan for such a question need not write it. Whether it begins one is its own decision.
Digits, punctuation and the width of characters decide; no word of any language does.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Full-width forms of ASCII are looked at as those, one character for one.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ITEM = re.compile(r"[ \t\u3000]{0,3}(\(?(\d{1,2})[.)、])([ \t\u3000]*)(\S.*)")
_ENDS = tuple("?.!;。｡؟؛।…")
# Columns of a terminal, two for a wide character: of a name that goes before its part.
_MOST_COLUMNS = 30


@dataclass(frozen=True)
class AskedPart:
    """title: as the question names it. heading: goes before the part in the answer's text, the space that
    parts it from the one before included.
    """

    title: str
    heading: str


def asked_parts(question: str) -> list[AskedPart]:
    """The parts that a question lists; none where it lists none.

    The items of a numbered list at its end, counted from 1: a short name is repeated in the answer, a
    question or a sentence is not.

    >>> [part.heading for part in asked_parts("Which?\\n1. year\\n2. Who came first?")]
    ['1. year: ', '\\n2. ']
    """
    parts: list[AskedPart] = []
    below = 0
    for line in reversed(question.rstrip().splitlines()):
        if not line.strip():
            continue
        item = _ITEM.fullmatch(line.rstrip().translate(_NARROW))
        if item is None or (below and int(item[2]) != below - 1):
            return []
        mark, title = line[slice(*item.span(1))], line[slice(*item.span(4))]
        if not (item[3] or _is_wide(mark[-1]) or _is_wide(title[0])):
            return []
        below = int(item[2])
        parts.append(_part(mark, title, first=below == 1))
        if below == 1:
            return parts[::-1] if len(parts) > 1 else []
    return []


def _part(mark: str, title: str, *, first: bool) -> AskedPart:
    begin = f"{'' if first else chr(10)}{mark}{'' if _is_wide(mark[-1]) else ' '}"
    narrow = title.translate(_NARROW)
    name = title[: len(narrow.rstrip(":"))]
    if narrow.endswith(_ENDS) or not 0 < _columns(name) <= _MOST_COLUMNS:
        return AskedPart(title, begin)
    return AskedPart(title, f"{begin}{name}{chr(0xFF1A) if _is_wide(name[-1]) else ': '}")


def _columns(text: str) -> int:
    return len(text) + sum(map(_is_wide, text))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
