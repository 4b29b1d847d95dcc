"""The words that a part could have taken over from an earlier sibling, and which tokens they are made of.

Knows texts and the bytes of tokens, no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from aspd_local.data.example import Span
from aspd_local.data.titles import lead_in

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def taken_over(parts: Sequence[str], titles: Sequence[str]) -> list[list[Span]]:
    """The places of words that an earlier sibling holds too, [n_parts][n_words], in code points.

    Wording that all parts share tells nothing; neither does what a part calls itself, for a plan tells that
    to all. A title that is only a part's first words counts as any other text.
    """
    words = [[(match.span(), match[0].lower()) for match in _WORD.finditer(part)] for part in parts]
    sets = [{word for _, word in found} for found in words]
    own = " ".join(title for part, title in zip(parts, titles, strict=True) if lead_in(part) == title)
    known = set.intersection(*sets) | {match[0].lower() for match in _WORD.finditer(own)}
    earlier: set[str] = set()
    places = []
    for found, its_words in zip(words, sets, strict=True):
        places.append([span for span, word in found if word in earlier - known])
        earlier |= its_words
    return places


def words_of_tokens(text: str, pieces: Sequence[bytes], words: Sequence[Span]) -> tuple[int, ...]:
    """For each token the number of the word that it is part of, [n_tokens]; -1: of none.

    Args:
        pieces: the bytes of each token, [n_tokens]. A space that a tokenizer puts before the text is left
            out.
        words: places in the text, ascending, in code points.
    """
    starts = list(accumulate((len(character.encode()) for character in text), initial=0))
    at = starts[-1] - sum(map(len, pieces))
    found = []
    word = 0
    for piece in pieces:
        begin, at = at, at + len(piece)
        while word < len(words) and starts[words[word][1]] <= begin:
            word += 1
        inside = word < len(words) and starts[words[word][0]] < at
        found.append(word if inside else -1)
    return tuple(found)
