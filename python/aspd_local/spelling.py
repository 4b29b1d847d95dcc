"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LIKE = 0.55  # of difflib's ratio
_MOST = 3


def near(name: str, known: Iterable[str]) -> list[str]:
    """Names that this one is much like, or a part of; the nearest first, three at most."""
    names = list(dict.fromkeys(known))
    folded = name.casefold()
    by_folded = {each.casefold(): each for each in names}
    found = [by_folded[each] for each in difflib.get_close_matches(folded, by_folded, n=_MOST, cutoff=_LIKE)]
    parts = [each for each in names if len(folded) > 1 and folded in each.casefold() and each not in found]
    return [*found, *parts][:_MOST]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean this or that?" for a message that names the mistake; empty where nothing is near."""
    found = near(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else ""
