"""Parts that a question itself lists: the numbered list with which it ends.

A model that begins a plan for such a question need not write it. Whether it begins one is its own decision.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"[ \t]{0,3}(\d{1,2})([.)])[ \t]+(\S.*)")
_SHORT = 6  # words of a name that is repeated before its part
_ENDS = ("?", ".", "!")


@dataclass(frozen=True)
class AskedPart:
    """title: as it stands in the list. heading: goes before the part in the answer's text."""

    title: str
    heading: str


def asked_parts(question: str) -> list[AskedPart]:
    """The items of a numbered list at the end of a question, counted from 1; none where it ends otherwise.

    A short name is repeated in the answer, a question or a sentence is not.

    >>> [part.heading for part in asked_parts("Which?\\n1. year\\n2. Who came first?")]
    ['1. year: ', '2. ']
    """
    items: list[re.Match[str]] = []
    for line in reversed(question.rstrip().splitlines()):
        if not line.strip():
            continue
        item = _ITEM.fullmatch(line.rstrip())
        if item is None or (items and int(item[1]) != int(items[-1][1]) - 1):
            return []
        items.append(item)
        if int(item[1]) == 1:
            return [_part(*found.groups()) for found in reversed(items)] if len(items) > 1 else []
    return []


def _part(number: str, mark: str, title: str) -> AskedPart:
    named = not title.endswith(_ENDS) and len(title.split()) <= _SHORT
    return AskedPart(title, f"{number}{mark} {title.rstrip(':')}: " if named else f"{number}{mark} ")
