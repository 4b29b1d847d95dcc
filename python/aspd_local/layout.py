"""The layout of a structured text: at which position each token stands and to which others it may attend.

The one function for training, likelihood scoring, the history of a chat and the tests (DESIGN, section 3).
Knows nothing of models, markers, tokenizers or the engine: token ids go in, parallel arrays come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import index
from typing import Literal, TypeAlias, get_args

JoinRule = Literal["sum", "longest", "linear", "drop"]
JOIN_RULES: tuple[JoinRule, ...] = get_args(JoinRule)

_LARGEST = 2**31 - 1  # ids and positions are 32-bit in the engine


@dataclass(frozen=True)
class Trunk:
    """Serial text. token_ids: [n_tokens], may be empty."""

    token_ids: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_ids", _ids(self.token_ids, "a trunk"))


@dataclass(frozen=True)
class Block:
    """Branches side by side. branches: [n_branches][n_tokens], at least one, none empty."""

    branches: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        branches = tuple(_ids(branch, "a branch") for branch in self.branches)
        if not branches:
            raise ValueError("a block needs at least one branch")
        if not all(branches):
            raise ValueError("a branch needs at least one token")
        object.__setattr__(self, "branches", branches)


Segment: TypeAlias = Trunk | Block


@dataclass(frozen=True)
class Layout:
    """A structured text as parallel arrays in reading order, one entry a token; all of shape [n_tokens].

    block_ids: 0 for the trunk, else the number of the block, ascending from 1.
    branch_ids: 0 for the trunk, else the number of the branch inside its block, ascending from 1.
    next_position: position of the next token of the trunk.
    """

    token_ids: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    block_ids: tuple[int, ...] = ()
    branch_ids: tuple[int, ...] = ()
    next_position: int = 0

    def __post_init__(self) -> None:
        lengths = {len(self.token_ids), len(self.positions), len(self.block_ids), len(self.branch_ids)}
        if len(lengths) != 1:
            raise ValueError(f"the arrays of a layout differ in length: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.token_ids)

    def __add__(self, other: Layout) -> Layout:
        """This text, then the other. Raises ValueError when positions or block numbers do not follow on."""
        if other.positions and other.positions[0] != self.next_position:
            raise ValueError(f"position {other.positions[0]} does not follow: {self.next_position} is next")
        if any(block <= self.last_block for block in other.block_ids if block):
            raise ValueError(f"block numbers must go on from {self.last_block + 1}")
        return Layout(
            token_ids=self.token_ids + other.token_ids,
            positions=self.positions + other.positions,
            block_ids=self.block_ids + other.block_ids,
            branch_ids=self.branch_ids + other.branch_ids,
            next_position=other.next_position if other else self.next_position,
        )

    @property
    def last_block(self) -> int:
        """Number of the last block; 0 without one."""
        return max(self.block_ids, default=0)


def lay_out(
    segments: Iterable[Segment],
    rule: JoinRule,
    *,
    start: int = 0,
    first_block: int = 1,
    reentry: bool = False,
) -> Layout:
    """Returns the layout of trunks and blocks in reading order.

    rule: how positions go on after a join. With "linear" the branches are ordinary trunk text.
    start: position of the first token. first_block: number of the first block.
    reentry: as the cache holds it when the answer is over: with "drop", branches are left out.

    Raises: ValueError for an unknown rule, a negative start or a first block below 1, ids that are not of
    0 ... 2**31 - 1, positions beyond that, empty branches, blocks without branches.
    Source: arXiv 2508.08895, section 3; DESIGN, section 4.
    """
    check_rule(rule)
    if start < 0 or first_block < 1:
        raise ValueError("start must be at least 0 and first_block at least 1")
    rows: list[tuple[int, int, int, int]] = []  # token id, position, block, branch
    p = start
    block = first_block
    for segment in segments:
        if isinstance(segment, Trunk) or rule == "linear":
            for token_id in _flat(segment):
                rows.append((token_id, p, 0, 0))
                p += 1
            continue
        if rule != "drop" or not reentry:
            for branch, token_ids in enumerate(segment.branches, 1):
                rows.extend((token_id, p + i, block, branch) for i, token_id in enumerate(token_ids))
            block += 1
        p = position_after_join(rule, p, [len(branch) for branch in segment.branches])
    if max((row[1] for row in rows), default=0) > _LARGEST:
        raise ValueError(f"positions run past {_LARGEST}")
    return Layout(
        token_ids=tuple(row[0] for row in rows),
        positions=tuple(row[1] for row in rows),
        block_ids=tuple(row[2] for row in rows),
        branch_ids=tuple(row[3] for row in rows),
        next_position=p,
    )


def position_after_join(rule: JoinRule, p: int, lengths: Sequence[int]) -> int:
    """Returns the trunk's next position after a block at position p. lengths: [n_branches], in tokens."""
    return p + {"sum": sum(lengths), "linear": sum(lengths), "longest": max(lengths), "drop": 0}[rule]


def structure(layout: Layout) -> tuple[Segment, ...]:
    """Returns the trunks and blocks that a layout describes: the inverse of `lay_out`.

    Neighbouring trunks come back as one and empty ones not at all; "linear" text comes back as trunk.

    Raises: ValueError when a block is not contiguous, numbers do not ascend, or positions have gaps where no
    join can be.
    """
    segments: list[Segment] = []
    rows_of_layout = zip(layout.block_ids, layout.branch_ids, layout.positions, strict=True)
    last_block = 0
    start = 0
    for block, run in groupby(rows_of_layout, lambda row: row[0]):
        rows = list(run)
        token_ids = layout.token_ids[start : start + len(rows)]
        start += len(rows)
        _check_run(rows, last_block)
        if block == 0:
            segments.append(Trunk(token_ids))
            continue
        last_block = block
        ids = iter(token_ids)
        segments.append(Block([[next(ids) for _ in branch] for _, branch in groupby(row[1] for row in rows)]))
    return tuple(segments)


def visible(layout: Layout, rule: JoinRule, i: int, j: int) -> bool:
    """Tells whether token i may attend to token j.

    It may to itself, to what its own sequence had before it and, unless the rule is "drop", to all branches
    of earlier blocks; never to a sibling branch.
    """
    if j > i:
        return False
    if layout.block_ids[j] == 0:
        return True
    if layout.block_ids[j] == layout.block_ids[i]:
        return layout.branch_ids[j] == layout.branch_ids[i]
    return rule != "drop"


def mask(layout: Layout, rule: JoinRule) -> list[list[bool]]:
    """Returns the attention mask, [n_tokens][n_tokens]: row i, column j is `visible(layout, rule, i, j)`."""
    check_rule(rule)
    return [[visible(layout, rule, i, j) for j in range(len(layout))] for i in range(len(layout))]


def predecessors(layout: Layout, rule: JoinRule) -> tuple[int, ...]:
    """Returns for each token the index of the token whose logits predict it, [n_tokens].

    It is the token before it in its own branch or stretch of the trunk; for the first of a branch the trunk's
    last. -1 where nothing predicts it: the first token of all, and the first after a join unless the rule is
    "drop" (a decoder is given that one).
    """
    check_rule(rule)
    places = list(zip(layout.block_ids, layout.branch_ids, strict=True))
    result: list[int] = []
    trunk = -1
    for i, (block, _) in enumerate(places):
        if i > 0 and places[i] == places[i - 1]:
            result.append(i - 1)
        else:
            if i > 0 and places[i - 1][0] not in (0, block) and rule != "drop":
                trunk = -1
            result.append(trunk)
        if block == 0:
            trunk = i
    return tuple(result)


def check_rule(rule: str) -> None:
    """Raises ValueError unless rule names a join rule."""
    if rule not in JOIN_RULES:
        raise ValueError(f"unknown join rule {rule!r}: one of {', '.join(JOIN_RULES)}")


def _ids(token_ids: Iterable[int], what: str) -> tuple[int, ...]:
    if isinstance(token_ids, (str, bytes)):
        raise ValueError(f"{what} takes token ids, not text")
    try:
        ids = tuple(index(token_id) for token_id in token_ids)
    except TypeError as error:
        raise ValueError(f"{what} takes token ids: {error}") from None
    if not all(0 <= token_id <= _LARGEST for token_id in ids):
        raise ValueError(f"token ids of {what} must be of 0 ... {_LARGEST}")
    return ids


def _flat(segment: Segment) -> Iterator[int]:
    if isinstance(segment, Trunk):
        yield from segment.token_ids
    else:
        for branch in segment.branches:
            yield from branch


def _check_run(rows: Sequence[tuple[int, int, int]], last_block: int) -> None:
    """rows: block, branch and position of neighbouring tokens of one block, or of one piece of the trunk."""
    block = rows[0][0]
    if block == 0:
        if any(branch for _, branch, _ in rows):
            raise ValueError("a token of the trunk has a branch number")
        if any(after != before + 1 for (_, _, before), (_, _, after) in pairwise(rows)):
            raise ValueError("positions of the trunk have a gap where no block is")
        return
    if block <= last_block:
        raise ValueError(f"block {block} comes after block {last_block}")
    p = rows[0][2]
    for expected, (branch, run) in enumerate(groupby(rows, lambda row: row[1]), 1):
        if branch != expected:
            raise ValueError(f"branch {expected} of block {block} is missing or out of order")
        positions = [position for _, _, position in run]
        if positions != list(range(p, p + len(positions))):
            raise ValueError(f"branch {branch} of block {block} does not run on from position {p}")
