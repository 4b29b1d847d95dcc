"""The arithmetic of the likelihood test."""

from __future__ import annotations

from aspd_local.data import Thresholds
from aspd_local.data.likelihood import decide, dependence, told
from aspd_local.data.scoring import BlockScores, BranchScores

FIRST = BranchScores(alone=(3.0,) * 4, true=(3.0,) * 4, foreign=(), words=(-1,) * 4)


def block(*rest: BranchScores, tail: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())) -> BlockScores:
    return BlockScores(branches=(FIRST, *rest), tail_serial=tail[0], tail_joined=tail[1], n_tokens=0)


def branch(alone: float, true: float, foreign: float) -> BranchScores:
    """Every token is a word."""
    return BranchScores(alone=(alone,) * 4, true=(true,) * 4, foreign=(foreign,) * 4, words=(0, 1, 2, 3))


def test_gain_is_what_neither_solitude_nor_strangers_give() -> None:
    found = dependence(block(branch(alone=5, true=1, foreign=4)))
    assert (found.gain, found.uncontrolled, found.mean_gain) == (3, 4, 3)
    assert dependence(block(branch(alone=2, true=1, foreign=4))).gain == 1


def test_first_branch_does_not_count() -> None:
    assert dependence(block(branch(1, 1, 1))).gain == 0


def test_the_word_that_is_told_most_counts_with_all_its_tokens() -> None:
    assert told([4, 1, 2, 3], [0, 1, 1, 2]) == 4
    assert told([4, 1, 2, 3], [0, 1, 1, 1]) == 6
    assert told([4, -2, 2], [0, 0, 1]) == 2
    assert told([], []) == 0


def test_what_no_sibling_holds_does_not_count() -> None:
    assert told([9, 1, 9], [-1, 0, -1]) == 1
    assert told([9], [-1]) == 0


def test_words_that_siblings_make_less_likely_are_no_gain() -> None:
    assert dependence(block(branch(alone=1, true=5, foreign=1))).gain == 0


def test_the_most_dependent_branch_counts() -> None:
    assert dependence(block(branch(5, 4, 5), branch(5, 2, 5), branch(5, 5, 5))).gain == 3


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
