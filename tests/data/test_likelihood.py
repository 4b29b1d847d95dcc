"""The arithmetic of the likelihood test."""

from __future__ import annotations

from aspd_local.data import Thresholds
from aspd_local.data.likelihood import decide, dependence, told
from aspd_local.data.scoring import BlockScores, BranchScores

FIRST = BranchScores(alone=(3.0,) * 4, true=(3.0,) * 4, foreign=())


def block(*rest: BranchScores, tail: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())) -> BlockScores:
    return BlockScores(branches=(FIRST, *rest), tail_serial=tail[0], tail_joined=tail[1], n_tokens=0)


def branch(alone: float, true: float, foreign: float, n: int = 4, n_head: int = 0) -> BranchScores:
    return BranchScores(alone=(alone,) * n, true=(true,) * n, foreign=(foreign,) * n, n_head=n_head)


def test_gain_is_what_neither_solitude_nor_strangers_give() -> None:
    found = dependence(block(branch(alone=5, true=1, foreign=4)))
    assert (found.gain, found.uncontrolled, found.mean_gain) == (3, 4, 3)
    assert dependence(block(branch(alone=2, true=1, foreign=4))).gain == 1


def test_first_branch_does_not_count() -> None:
    assert dependence(block(branch(1, 1, 1))).gain == 0


def test_two_largest_rises_of_the_most_dependent_branch_count() -> None:
    assert told([[0, 9, 7, 1]]) == 8
    assert told([[0, 9, 7], [10, 1], [8, 10]]) == 9
    assert told([[3]]) == 3
    assert told([]) == 0


def test_tokens_of_the_title_do_not_count() -> None:
    title_only = BranchScores(alone=(9, 9, 1, 1), true=(0, 0, 1, 1), foreign=(9, 9, 1, 1), n_head=2)
    assert dependence(block(title_only)).gain == 0
    nothing_else = BranchScores(alone=(9, 9), true=(0, 0), foreign=(9, 9), n_head=2)
    assert dependence(block(nothing_else)).gain == 9


def test_wording_that_all_branches_share_does_not_count() -> None:
    shared = BranchScores(
        alone=(9, 9, 9, 2), true=(0, 0, 8, 1), foreign=(9, 9, 9, 2), pattern=(True, True, False, False)
    )
    assert dependence(block(shared)).gain == 1
    everything = BranchScores(alone=(9,), true=(0,), foreign=(9,), pattern=(True,))
    assert dependence(block(everything)).gain == 0


def test_join_is_how_much_worse_the_tail_becomes() -> None:
    assert dependence(block(branch(1, 1, 1), tail=((1.0, 2.0), (2.0, 4.0)))).join == 1.5
    assert dependence(block(branch(1, 1, 1))).join is None


def test_decision() -> None:
    thresholds = Thresholds(scorer="x", gain=2.5, join=1.0)
    tail = ((1.0,), (2.5,))
    assert decide(dependence(block(branch(5, 3, 5))), thresholds) is None
    assert decide(dependence(block(branch(5, 2, 5))), thresholds).reason == "siblings help"  # type: ignore[union-attr]
    late = decide(dependence(block(branch(5, 3, 5), tail=tail)), thresholds)
    assert late is not None
    assert (late.stage, late.reason, late.evidence) == ("likelihood", "the tail suffers", "1.500")
