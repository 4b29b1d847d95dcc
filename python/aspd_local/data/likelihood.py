"""Whether a block's branches depend on each other, from how likely a model finds them. Pure arithmetic.

A branch depends on its siblings where they help it more than parts of another answer do. That control
matters: any text of the same kind helps, and would make every list look dependent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from aspd_local.data.conditions import Nats
from aspd_local.data.config import Thresholds
from aspd_local.data.example import Rejection
from aspd_local.data.scoring import BlockScores, BranchScores

STAGE = "likelihood"
# Of a branch's tokens those count that siblings help most: what is taken over from a sibling is a name or a
# number, few tokens among many that need no sibling. Of the branches the most dependent one counts.
_MOST_HELPED = 2


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """How much siblings tell of each other.

    Attributes:
        gain: what the test compares with its threshold, nats; higher is more dependent. A token counts by how
            much less likely it is alone or after foreign siblings, whichever is better, than after the true
            ones.
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
    rest = [_telling(branch) for branch in scores.branches[1:]]
    return Dependence(
        gain=told([_rises(least(branch.alone, branch.foreign), branch.true) for branch in rest]),
        uncontrolled=told([_rises(branch.alone, branch.true) for branch in rest]),
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


def told(rises: Sequence[Sequence[float]]) -> float:
    """How much siblings tell, nats: of the branch that they tell most, the mean of the largest rises.

    rises: [n_branches][n_tokens].
    """
    return max((mean(sorted(branch)[-_MOST_HELPED:]) for branch in rises), default=0.0)


def least(first: Nats, second: Nats) -> Nats:
    """The smaller of each two, [n_tokens]."""
    return tuple(min(pair) for pair in zip(first, second, strict=True))


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return fsum(values) / len(values) if values else 0.0


def _rises(without: Sequence[float], with_siblings: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(without, with_siblings, strict=True)]


def _telling(branch: BranchScores) -> BranchScores:
    """The scores of tokens that could tell something: behind the title, and not in every branch. Of a branch
    that is all title, all count.
    """
    n = branch.n_head if branch.n_head < len(branch.true) else 0
    pattern = branch.pattern or (False,) * len(branch.true)
    kept = [i for i in range(n, len(branch.true)) if not pattern[i]]

    def pick(nats: Nats) -> Nats:
        return tuple(nats[i] for i in kept)

    return BranchScores(alone=pick(branch.alone), true=pick(branch.true), foreign=pick(branch.foreign))
