"""Which of an answer's runs become blocks. Knows numbers only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A run that may become a block.

    Attributes:
        begin, end: its place in the answer, [begin, end).
        lengths: tokens of each branch, [n_branches].
    """

    begin: int
    end: int
    lengths: tuple[int, ...]


def select(weights: Sequence[Weight]) -> list[int]:
    """Indices of runs that do not overlap, ascending by their place.

    Of all such choices the one with the most tokens in branches, then the most branches, then the shortest
    longest branch; among equals the one whose runs come first in `weights`.
    """
    order = sorted(range(len(weights)), key=lambda i: (weights[i].end, i))
    ends = [weights[i].end for i in order]
    # best[k]: of the first k runs by their end: what makes a choice better, and the choice
    best: list[tuple[tuple[int, int, int], tuple[int, ...]]] = [((0, 0, 0), ())]
    for k, i in enumerate(order):
        weight = weights[i]
        (tokens, branches, shortest), chosen = best[bisect_right(ends, weight.begin, hi=k)]
        longest = max(-shortest, *weight.lengths)
        with_it = ((tokens + sum(weight.lengths), branches + len(weight.lengths), -longest), (*chosen, i))
        best.append(max(best[k], with_it, key=lambda choice: choice[0]))
    return list(best[-1][1])
