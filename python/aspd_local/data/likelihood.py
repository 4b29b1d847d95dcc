"""Whether a block's branches depend on each other, from how likely a model finds them. Pure arithmetic.

What a branch takes over from a sibling are words: a name, a number, a thing. So those words count that an
earlier sibling holds, by how much the siblings help them more than parts of another answer do. That control
matters: any text of the same kind helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from aspd_local.data.conditions import Nats
from aspd_local.data.config import Thresholds
from aspd_local.data.example import Rejection
from aspd_local.data.scoring import BlockScores

STAGE = "likelihood"


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """How much siblings tell of each other.

    Attributes:
        gain: what the test compares with its threshold, nats; higher is more dependent. Of the words that an
            earlier sibling holds, how much less likely the most told one is alone or after foreign siblings,
            whichever is better for each of its tokens, than after the true ones.
        uncontrolled: the same without the control: against the branch alone.
        mean_gain: mean rise of a token's negative log-likelihood when foreign siblings replace the true
            ones, nats.
        join: mean rise of the tail's negative log-likelihood when the branches were isolated, nats a token;
            None without a tail.
    """

    gain: float
    uncontrolled: float
    mean_gain: float
    join: float | None


def dependence(scores: BlockScores) -> Dependence:
    """The measures of a block. Nothing is rounded."""
    rest = scores.branches[1:]
    gains = [told(_rises(least(each.alone, each.foreign), each.true), each.words) for each in rest]
    return Dependence(
        gain=max(gains, default=0.0),
        uncontrolled=max((told(_rises(each.alone, each.true), each.words) for each in rest), default=0.0),
        mean_gain=mean([rise for branch in rest for rise in _rises(branch.foreign, branch.true)]),
        join=mean(_rises(scores.tail_joined, scores.tail_serial)) if scores.tail_serial else None,
    )


def decide(found: Dependence, thresholds: Thresholds) -> Rejection | None:
    """None where the branches count as independent."""
    if found.gain > thresholds.gain:
        return Rejection(stage=STAGE, reason="siblings help", evidence=f"{found.gain:.3f}")
    if found.join is not None and found.join > thresholds.join:
        return Rejection(stage=STAGE, reason="the tail suffers", evidence=f"{found.join:.3f}")
    return None


def told(rises: Sequence[float], words: Sequence[int]) -> float:
    """How much siblings tell of the word that they tell most of, nats: the sum over its tokens; at least 0.

    rises, words: [n_tokens], as in BranchScores.
    """
    sums: dict[int, float] = {}
    for rise, word in zip(rises, words, strict=True):
        if word >= 0:
            sums[word] = sums.get(word, 0.0) + rise
    return max([0.0, *sums.values()])


def least(first: Nats, second: Nats) -> Nats:
    """The smaller of each two, [n_tokens]."""
    return tuple(min(pair) for pair in zip(first, second, strict=True))


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return fsum(values) / len(values) if values else 0.0


def _rises(without: Sequence[float], with_siblings: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(without, with_siblings, strict=True)]
