"""The tree of conditions, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from aspd_local.data.conditions import Conditions, Texts, Tree
from aspd_local.data.scoring import ModelScorer

TEXTS = Texts(
    prefix=[1, 2],
    branches=[[10, 11, 12], [20, 21], [30]],
    foreign=[[91, 92, 93], [94, 95]],
    tail=[40],
    words=[(-1, -1, -1), (-1, -1), (-1,)],
)


def path(tree: Tree, node: int) -> list[int]:
    """The token ids from the root to the end of a node without joins above it."""
    above = [token for parent in tree.parents[node] for token in path(tree, parent)]
    return above + tree.nodes[node]


def test_every_condition_is_a_path_of_the_tree() -> None:
    found = Conditions.of(TEXTS)
    tree = found.tree
    assert path(tree, found.serial) == [1, 2, 10, 11, 12, 20, 21, 30, 40]
    assert [path(tree, node) for node in found.alone] == [[1, 2, 10, 11, 12], [1, 2, 20, 21], [1, 2, 30]]
    assert [path(tree, node) for node in found.foreign] == [
        [1, 2, 91, 92, 93, 20, 21],
        [1, 2, 91, 92, 93, 94, 95, 30],
    ]
    assert found.joined is not None
    assert tree.parents[found.joined] == list(found.alone)
    assert tree.n_tokens == 2 + 6 + 1 + (3 + 1) + (3 + 2) + (2 + 1)


def test_only_what_is_asked_for_is_scored() -> None:
    found = Conditions.of(TEXTS)
    unscored = [i for i, scored in enumerate(found.tree.scored) if not scored]
    assert [found.tree.nodes[i] for i in unscored] == [[1, 2], [91, 92, 93], [94, 95]]


def test_nothing_is_joined_without_a_tail() -> None:
    found = Conditions.of(replace(TEXTS, tail=[]))
    assert found.joined is None
    assert all(len(parents) < 2 for parents in found.tree.parents)


def test_scores_of_a_tree_equal_each_path_as_plain_text(tiny_scorer: ModelScorer) -> None:
    tree = Tree()
    root = tree.add([70, 71, 72])
    a = tree.add([73, 74], root)
    b = tree.add([75], root)
    c = tree.add([76, 77, 78], a)
    d = tree.add([79], a)
    found = tiny_scorer._scored(tree)
    for leaf in (b, c, d):
        expected = plain(tiny_scorer, path(tree, leaf))[-len(tree.nodes[leaf]) :]
        assert list(found[leaf]) == pytest.approx(expected, abs=2e-3)


def test_scores_of_conditions_equal_each_path_as_plain_text(tiny_scorer: ModelScorer) -> None:
    tree = (conditions := Conditions.of(TEXTS)).tree
    by_tree = tiny_scorer._scored(tree)
    for leaf in (conditions.serial, *conditions.alone, *conditions.foreign):
        aside = plain(tiny_scorer, path(tree, leaf))[-len(tree.nodes[leaf]) :]
        assert list(by_tree[leaf]) == pytest.approx(aside, abs=2e-3)


def plain(scorer: ModelScorer, ids: Sequence[int]) -> list[float]:
    from aspd_local import _core

    layout = _core.Layout(list(ids), list(range(len(ids))), [0] * len(ids), [0] * len(ids))
    return [-score for score in scorer._engine.score(layout)]
