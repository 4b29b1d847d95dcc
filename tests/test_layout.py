"""The layout function against a simulation of cache cells, and its own rules as properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local.layout import (
    JOIN_RULES,
    Block,
    JoinRule,
    Layout,
    Segment,
    Trunk,
    lay_out,
    mask,
    predecessors,
    structure,
    visible,
)

ids = st.integers(0, 300)
trunks = st.builds(Trunk, st.lists(ids, max_size=4))
blocks = st.builds(Block, st.lists(st.lists(ids, min_size=1, max_size=4), min_size=1, max_size=4))
texts = st.lists(st.one_of(trunks, blocks), max_size=6)
rules: st.SearchStrategy[JoinRule] = st.sampled_from(JOIN_RULES)
EXAMPLE: list[Segment] = [Trunk([10, 11]), Block([[20, 21, 22], [30]]), Trunk([12, 13])]
LAID_OUT = lay_out(EXAMPLE, "sum")


@pytest.mark.parametrize(
    ("rule", "positions", "next_position"),
    [
        ("sum", (0, 1, 2, 3, 4, 2, 6, 7), 8),
        ("longest", (0, 1, 2, 3, 4, 2, 5, 6), 7),
        ("linear", (0, 1, 2, 3, 4, 5, 6, 7), 8),
        ("drop", (0, 1, 2, 3, 4, 2, 2, 3), 4),
    ],
)
def test_positions_follow_the_join_rule(
    rule: JoinRule, positions: tuple[int, ...], next_position: int
) -> None:
    layout = lay_out(EXAMPLE, rule)
    assert layout.positions == positions
    assert layout.next_position == next_position
    assert layout.token_ids == (10, 11, 20, 21, 22, 30, 12, 13)


def test_tokens_carry_their_block_and_branch() -> None:
    layout = lay_out([*EXAMPLE, Block([[40], [50]])], "sum", first_block=3)
    assert layout.block_ids == (0, 0, 3, 3, 3, 3, 0, 0, 4, 4)
    assert layout.branch_ids == (0, 0, 1, 1, 1, 2, 0, 0, 1, 2)


@given(texts, rules, st.integers(0, 1000))
def test_layout_is_what_forking_and_joining_cells_gives(
    text: list[Segment], rule: JoinRule, start: int
) -> None:
    layout = lay_out(text, rule, start=start)
    cells = _Cells(rule, start)
    for segment in text:
        cells.decode(segment)
    assert layout.token_ids == tuple(cells.token_ids)
    assert layout.positions == tuple(cells.positions)
    assert layout.next_position == cells.next_position
    assert mask(layout, rule) == cells.seen


@given(texts, rules)
def test_nothing_attends_to_what_comes_later(text: list[Segment], rule: JoinRule) -> None:
    layout = lay_out(text, rule)
    seen = mask(layout, rule)
    assert all(seen[i][i] for i in range(len(layout)))
    assert not any(seen[i][j] for i in range(len(layout)) for j in range(i + 1, len(layout)))


@given(texts, rules)
def test_branches_never_attend_to_their_siblings(text: list[Segment], rule: JoinRule) -> None:
    layout = lay_out(text, rule)
    where = list(zip(layout.block_ids, layout.branch_ids, strict=True))
    for i, (block, branch) in enumerate(where):
        for j, (other_block, other_branch) in enumerate(where):
            if block and block == other_block and branch != other_branch:
                assert not visible(layout, rule, i, j)


@given(texts)
def test_linear_is_the_text_written_serially(text: list[Segment]) -> None:
    layout = lay_out(text, "linear")
    assert layout.positions == tuple(range(len(layout)))
    assert not any(layout.block_ids + layout.branch_ids)
    assert mask(layout, "linear") == mask(lay_out([Trunk(layout.token_ids)], "sum"), "sum")


@given(texts)
def test_sum_ends_where_the_text_written_serially_ends(text: list[Segment]) -> None:
    assert lay_out(text, "sum").next_position == lay_out(text, "linear").next_position


@given(texts)
def test_drop_lays_the_trunk_out_as_if_there_were_no_blocks(text: list[Segment]) -> None:
    trunk = lay_out([segment for segment in text if isinstance(segment, Trunk)], "drop")
    layout = lay_out(text, "drop")
    kept = [i for i, block in enumerate(layout.block_ids) if block == 0]
    assert tuple(layout.positions[i] for i in kept) == trunk.positions
    assert layout.next_position == trunk.next_position
    assert lay_out(text, "drop", reentry=True) == trunk


@given(texts, rules.filter(lambda rule: rule != "drop"))
def test_reentry_changes_nothing_where_the_trunk_sees_the_branches(
    text: list[Segment], rule: JoinRule
) -> None:
    assert lay_out(text, rule, reentry=True) == lay_out(text, rule)


@given(texts, rules.filter(lambda rule: rule != "linear"), st.integers(0, 100), st.integers(1, 100))
def test_structure_is_the_inverse(text: list[Segment], rule: JoinRule, start: int, first_block: int) -> None:
    layout = lay_out(text, rule, start=start, first_block=first_block)
    assert structure(layout) == _simplest(text)
    assert lay_out(structure(layout), rule, start=start, first_block=first_block) == layout


@given(texts, texts, rules)
def test_layouts_of_the_parts_add_up_to_that_of_the_whole(
    first: list[Segment], second: list[Segment], rule: JoinRule
) -> None:
    a = lay_out(first, rule)
    b = lay_out(second, rule, start=a.next_position, first_block=a.last_block + 1)
    assert a + b == lay_out(first + second, rule)


@given(texts, rules, st.integers(0, 100))
def test_start_shifts_positions_and_nothing_else(text: list[Segment], rule: JoinRule, start: int) -> None:
    layout = lay_out(text, rule)
    shifted = lay_out(text, rule, start=start)
    assert shifted.positions == tuple(p + start for p in layout.positions)
    assert replace(shifted, positions=layout.positions, next_position=layout.next_position) == layout


@given(texts, rules)
def test_a_token_is_predicted_by_the_last_it_attends_to_unless_a_join_lies_between(
    text: list[Segment], rule: JoinRule
) -> None:
    layout = lay_out(text, rule)
    seen = mask(layout, rule)
    for i, predecessor in enumerate(predecessors(layout, rule)):
        last = max((j for j in range(i) if seen[i][j]), default=-1)
        joined = last >= 0 and layout.block_ids[last] not in (0, layout.block_ids[i])
        assert predecessor == (-1 if joined else last)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(lambda: Block([]), "at least one branch", id="no branches"),
        pytest.param(lambda: Block([[1], []]), "at least one token", id="empty branch"),
        pytest.param(lambda: Trunk([-1]), "must be of 0", id="negative id"),
        pytest.param(lambda: Trunk([2**31]), "must be of 0", id="id beyond 32 bit"),
        pytest.param(lambda: Trunk([1.0]), "takes token ids", id="float"),  # type: ignore[list-item]
        pytest.param(lambda: Trunk("text"), "takes token ids", id="text"),  # type: ignore[arg-type]
        pytest.param(lambda: lay_out([], "shortest"), "unknown join rule", id="rule"),  # type: ignore[arg-type]
        pytest.param(lambda: mask(Layout(), "all"), "unknown join rule", id="mask"),  # type: ignore[arg-type]
        pytest.param(lambda: lay_out([], "sum", start=-1), "start", id="negative start"),
        pytest.param(lambda: lay_out([], "sum", first_block=0), "first_block", id="block 0"),
        pytest.param(lambda: lay_out([Trunk([1, 2])], "sum", start=2**31 - 1), "run past", id="position"),
        pytest.param(lambda: Layout((1,), (), (), ()), "differ in length", id="arrays of different length"),
        pytest.param(
            lambda: LAID_OUT + lay_out(EXAMPLE, "sum", start=7), "does not follow", id="gap in a sum"
        ),
        pytest.param(lambda: LAID_OUT + lay_out(EXAMPLE, "sum", start=8), "go on from 2", id="block again"),
    ],
)
def test_bad_arguments_are_value_errors(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("positions", "block_ids", "branch_ids", "message"),
    [
        pytest.param((0, 1), (0, 0), (0, 1), "branch number", id="branch in the trunk"),
        pytest.param((0, 0), (0, 0), (0, 0), "gap", id="trunk stands still"),
        pytest.param((0, 2), (0, 0), (0, 0), "gap", id="gap in the trunk"),
        pytest.param((0, 2), (1, 1), (1, 1), "run on from", id="gap in a branch"),
        pytest.param((0, 1), (1, 1), (1, 2), "run on from", id="branches start apart"),
        pytest.param((0, 0), (1, 1), (1, 3), "out of order", id="branch missing"),
        pytest.param((0, 0), (1, 1), (2, 1), "out of order", id="branches out of order"),
        pytest.param((0, 1), (2, 1), (1, 1), "comes after", id="blocks out of order"),
        pytest.param((0, 1, 2), (1, 0, 1), (1, 0, 1), "comes after", id="block in two pieces"),
    ],
)
def test_structure_refuses_what_no_answer_can_be(
    positions: tuple[int, ...], block_ids: tuple[int, ...], branch_ids: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        structure(Layout((5,) * len(positions), positions, block_ids, branch_ids, next_position=9))


class _Cells:
    """llama.cpp's view: cells with a position and the sequences they belong to (DESIGN, section 4)."""

    def __init__(self, rule: JoinRule, start: int) -> None:
        self.rule = rule
        self.next_position = start
        self.token_ids: list[int] = []
        self.positions: list[int] = []
        self.owners: list[set[int]] = []
        self.seen: list[list[bool]] = []

    def decode(self, segment: Segment) -> None:
        if isinstance(segment, Trunk):
            for token_id in segment.token_ids:
                self._add(token_id, self.next_position, 0)
                self.next_position += 1
            return
        if self.rule == "linear":  # the branches' cells are dropped and their text decoded again
            for branch in segment.branches:
                self.decode(Trunk(branch))
            return
        p = self.next_position
        n_before = len(self.owners)
        for number, branch in enumerate(segment.branches, 1):
            for cell in range(n_before):
                if 0 in self.owners[cell]:
                    self.owners[cell].add(number)
            for i, token_id in enumerate(branch):
                self._add(token_id, p + i, number)
        for cell, owners in enumerate(self.owners):
            if cell >= n_before and self.rule != "drop":
                owners.add(0)
            owners &= {0}
        lengths = [len(branch) for branch in segment.branches]
        self.next_position += {"sum": sum(lengths), "longest": max(lengths), "drop": 0}[self.rule]

    def _add(self, token_id: int, position: int, sequence: int) -> None:
        self.token_ids.append(token_id)
        self.positions.append(position)
        self.owners.append({sequence})
        for row in self.seen:
            row.append(False)
        self.seen.append(
            [
                sequence in owners and p <= position
                for owners, p in zip(self.owners, self.positions, strict=True)
            ]
        )


def _simplest(text: list[Segment]) -> tuple[Segment, ...]:
    """Empty trunks left out, neighbouring ones as one."""
    result: list[Segment] = []
    for is_trunk, run in groupby(text, lambda segment: isinstance(segment, Trunk)):
        segments = list(run)
        if not is_trunk:
            result.extend(segments)
            continue
        token_ids = [
            token_id for trunk in segments if isinstance(trunk, Trunk) for token_id in trunk.token_ids
        ]
        if token_ids:
            result.append(Trunk(token_ids))
    return tuple(result)
