"""Visible faults of an answer, by a written rule that looks at the text as a reader does, serial or parallel.

repetition: a sentence or line of five words or more stands there three times, or more than 30 % of its runs
    of eight words stand there before.
empty part: a part has no word behind its title, or a branch none at all.
other title: a part begins with the words of another part's title and none of its own.
cut: it ended at the limit of tokens, or it or a part of it stops in a sentence where its siblings do not.

Parts are the branches of its blocks and the list items, sections and paragraphs with a lead-in that the data
pipeline's rules find in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aspd_local.data.config import Config
from aspd_local.data.extract import extract
from aspd_local.data.titles import clean, lead_in, openings
from aspd_local.eval.attempt import Attempt

KINDS = ("repetition", "empty part", "other title", "cut")
_LOOSE = Config(min_branches=2, max_branches=64, min_words=1, max_longest=1000.0)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_MARK = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+")
_WORD = re.compile(r"[^\W\d_]{4,}")
_SAID = re.compile(r"\w")
_END = re.compile(r"[.!?:;)\]}\"'`*_|…”’>~]$")  # noqa: RUF001
_WINDOW = 8
_OPENING_WORDS = 25


@dataclass(frozen=True)
class _Piece:
    title: str
    body: str


def faults(attempt: Attempt) -> tuple[str, ...]:
    """The kinds of faults that an answer has, each once, in the order of KINDS."""
    groups = [[_Piece(part.title, part.text) for part in block] for block in attempt.blocks]
    groups += _found_parts(attempt.text)
    has = {
        "repetition": _repeats(attempt.text),
        "empty part": any(not _SAID.search(piece.body) for group in groups for piece in group),
        "other title": any(_strays(group) for group in groups),
        "cut": attempt.finish_reason == "length"
        or any(part.end_reason == "length" for part in attempt.parts)
        or any(_stops_short(group) for group in groups)
        or _is_cut(attempt.text),
    }
    return tuple(kind for kind in KINDS if has[kind])


def _found_parts(text: str) -> list[list[_Piece]]:
    """Parts that the text shows, group by group; groups inside of others too."""
    runs, _ = extract(text, _LOOSE)
    return [[_piece(part) for part in run.texts(text)] for run in runs]


def _piece(part: str) -> _Piece:
    """A part with the title that it gives itself, if it does."""
    title = lead_in(part)
    begun = openings([part]) if title else None
    return _Piece(title or "", part[len(begun[0]) :] if begun else part)


def _repeats(text: str) -> bool:
    sentences = [_MARK.sub("", sentence).strip().casefold() for sentence in _SENTENCE.split(text)]
    counted = Counter(sentence for sentence in sentences if len(sentence.split()) >= 5)
    if counted and max(counted.values()) >= 3:
        return True
    words = text.casefold().split()
    windows = [tuple(words[i : i + _WINDOW]) for i in range(len(words) - _WINDOW + 1)]
    return len(windows) >= 4 * _WINDOW and 1 - len(set(windows)) / len(windows) > 0.3


def _strays(group: Sequence[_Piece]) -> bool:
    titles = [_words(piece.title) for piece in group]
    for i, piece in enumerate(group):
        begun = _words(" ".join(piece.body.split()[:_OPENING_WORDS]))
        if begun & titles[i]:
            continue
        for other in range(len(group)):
            own = titles[other] - titles[i]
            if other != i and len(own) >= 2 and own <= begun:
                return True
    return False


def _words(text: str) -> set[str]:
    """Words of four letters or more, without a plural's ending."""
    return {word.casefold().removesuffix("s") for word in _WORD.findall(clean(text))}


def _stops_short(group: Sequence[_Piece]) -> bool:
    """Whether a part stops in a sentence where most of its siblings do not."""
    ends = [_END.search(piece.body.rstrip()) is not None for piece in group if _SAID.search(piece.body)]
    return 2 * sum(ends) > len(ends) and not all(ends)


def _is_cut(text: str) -> bool:
    """Whether the last line is prose of some length that stops in a sentence."""
    line = text.rstrip().rpartition("\n")[2]
    return len(line.split()) > 12 and _END.search(line) is None
