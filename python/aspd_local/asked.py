"""Parts that a question itself lists: a numbered list with which it ends, or names behind a colon.

A model that begins a plan for such a question need not write it. Whether it begins one is its own decision.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"[ \t]{0,3}(\d{1,2})([.)])[ \t]+(\S.*)")
_SHORT = 6  # words of a name that is repeated before its part
_ENDS = ("?", ".", "!")
# "by aspect: home, body and habits", "under these headings: ..."
_INLINE = re.compile(
    r"\b(?:by|under|cover(?:ing)?|aspects?|topics?|headings?|sections?|points?|criteria|fields?|categories)\b"
    r"[^.:?!\n]{0,40}:[ \t]*([^.:;?!\n]+)(?=[.;?!\n]|$)",
    re.IGNORECASE,
)
_COMMA = re.compile(r"\s*,\s*(?:and\s+|or\s+)?|\s+and\s+")
_NAME_WORDS = 4
_LEAST_NAMES = 3


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
    question or a sentence is not. Or three short names or more in its last paragraph, behind a colon.

    >>> [part.heading for part in asked_parts("Which?\\n1. year\\n2. Who came first?")]
    ['1. year: ', '\\n2. ']
    >>> [part.title for part in asked_parts("Compare them by these points: price, size and weight.")]
    ['price', 'size', 'weight']
    """
    return _numbered(question) or _named(question)


def _numbered(question: str) -> list[AskedPart]:
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
    begin = f"{number}{mark} " if number == "1" else f"\n{number}{mark} "
    return AskedPart(title, f"{begin}{title.rstrip(':')}: " if named else begin)


def _named(question: str) -> list[AskedPart]:
    last = question.rstrip().rpartition("\n\n")[2]
    lists = list(_INLINE.finditer(last))
    if not lists:
        return []
    names = [name.strip() for name in _COMMA.split(lists[-1][1])]
    if len(names) < _LEAST_NAMES or not all(1 <= len(name.split()) <= _NAME_WORDS for name in names):
        return []
    return [AskedPart(name, f"{'' if i == 0 else chr(10) * 2}**{name}**\n") for i, name in enumerate(names)]
