"""The tree of conditions, and its scores."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aspd_local.data.conditions import Conditions, Texts, Tree, patterns
from aspd_local.data.scoring import ModelScorer

TEXTS = Texts(
    prefix=[1, 2],
    branches=[[10, 11, 12], [20, 21], [30]],
    foreign=[[91, 92, 93], [94, 95]],
    tail=[40],
    n_heads=[0, 0, 0],
)


def test_every_condition_is_a_path_of_the_tree() -> None:
    found = Conditions.of(TEXTS, alone=True)
    tree = found.tree
    assert tree.path(found.serial) == [1, 2, 10, 11, 12, 20, 21, 30, 40]
    assert [tree.path(node) for node in found.alone] == [[1, 2, 20, 21], [1, 2, 30]]
    assert [tree.path(node) for node in found.foreign] == [
        [1, 2, 91, 92, 93, 20, 21],
        [1, 2, 91, 92, 93, 94, 95, 30],
    ]
    assert tree.n_tokens == 2 + 7 + 3 + (3 + 2) + (2 + 1)


def test_branches_alone_are_left_out_where_a_join_is_scored() -> None:
    found = Conditions.of(TEXTS, alone=False)
    assert found.alone == ()
    assert len(found.tree.nodes) == 2 + 4


def test_pattern_is_what_every_branch_holds() -> None:
    assert patterns([[1, 2, 3, 2], [2, 4], [5, 2]]) == [
        (False, True, False, True),
        (True, False),
        (False, True),
    ]


def test_scores_of_a_tree_equal_each_path_as_plain_text(tiny_scorer: ModelScorer) -> None:
    tree = Tree()
    root = tree.add([70, 71, 72], -1)
    a = tree.add([73, 74], root)
    b = tree.add([75], root)
    c = tree.add([76, 77, 78], a)
    d = tree.add([79], a)
    found = tiny_scorer._scored_tree(tree)
    for leaf in (b, c, d):
        expected = plain(tiny_scorer, tree.path(leaf))[-len(tree.nodes[leaf]) :]
        assert list(found[leaf]) == pytest.approx(expected, abs=2e-3)


def test_scores_of_conditions_equal_each_path_as_plain_text(tiny_scorer: ModelScorer) -> None:
    tree = (conditions := Conditions.of(TEXTS, alone=True)).tree
    by_tree = tiny_scorer._scored_tree(tree)
    for leaf in (conditions.serial, *conditions.alone, *conditions.foreign):
        aside = plain(tiny_scorer, tree.path(leaf))[-len(tree.nodes[leaf]) :]
        assert list(by_tree[leaf]) == pytest.approx(aside, abs=2e-3)


def plain(scorer: ModelScorer, ids: Sequence[int]) -> list[float]:
    from aspd_local import _core

    layout = _core.Layout(list(ids), list(range(len(ids))), [0] * len(ids), [0] * len(ids))
    return [-score for score in scorer._engine.score(layout)]
