"""Short examples in one row, without leaks between them, and the mask of such a row. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aspd_local.layout import JoinRule
from aspd_local.train.config import Branches
from aspd_local.train.samples import LEARNT, Kind, Sample

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Examples one after another.

    Attributes:
        token_ids, positions: [n_tokens]; positions begin anew with each example.
        mask: [n_tokens, n_tokens], whether token i may attend to token j.
        sources: [n_learnt], index of the token whose logits predict each learnt token.
        targets: [n_learnt], their ids. kinds: [n_learnt].
        examples: [n_learnt], which example of the row each belongs to.
        n_plain: tokens of the plain texts.
    """

    token_ids: Ints
    positions: Ints
    mask: Bools
    sources: Ints
    targets: Ints
    kinds: Ints
    examples: Ints
    n_plain: int

    def __len__(self) -> int:
        return len(self.token_ids)


def mask_of(
    blocks: Ints,
    branches: Ints,
    rule: JoinRule = "sum",
    examples: Ints | None = None,
    *,
    visible: bool = False,
) -> Bools:
    """As layout.mask(), for many tokens: [n_tokens, n_tokens].

    Args:
        blocks, branches: [n_tokens], as a Layout has them.
        examples: [n_tokens]; none sees another. None: all one.
        visible: branches see their earlier siblings too.
    """
    n = len(blocks)
    order = np.tril(np.ones((n, n), dtype=np.bool_))
    seen = (blocks[None, :] == 0) | (
        (blocks[:, None] == blocks[None, :]) & (branches[:, None] == branches[None, :])
    )
    if rule != "drop":
        seen |= blocks[:, None] != blocks[None, :]
    if visible:
        seen |= blocks[:, None] == blocks[None, :]
    seen &= order
    if examples is not None:
        seen &= examples[:, None] == examples[None, :]
    return np.asarray(seen, dtype=np.bool_)


def row_of(samples: Sequence[Sample], *, rule: JoinRule = "sum", branches: Branches = "isolated") -> Row:
    """The samples as one row."""
    lengths = [len(sample) for sample in samples]
    starts = np.cumsum([0, *lengths[:-1]])
    numbers = np.repeat(np.arange(len(samples)), lengths)
    kinds = _joined([sample.kinds for sample in samples])
    before = np.concatenate(
        [np.asarray(s.predecessors, dtype=np.int64) + start for s, start in zip(samples, starts, strict=True)]
    )
    orphans = _joined([sample.predecessors for sample in samples]) < 0
    learnt = np.isin(kinds, [int(kind) for kind in LEARNT]) & ~orphans
    token_ids = _joined([sample.layout.token_ids for sample in samples])
    return Row(
        token_ids=token_ids,
        positions=_joined([sample.layout.positions for sample in samples]),
        mask=mask_of(
            _joined([sample.layout.block_ids for sample in samples]),
            _joined([sample.layout.branch_ids for sample in samples]),
            rule,
            numbers,
            visible=branches == "visible",
        ),
        sources=before[learnt],
        targets=token_ids[learnt],
        kinds=kinds[learnt],
        examples=numbers[learnt],
        n_plain=sum(sample.n_plain for sample in samples),
    )


def pack(samples: Sequence[Sample], length: int, seed: int, *, window: int = 64) -> list[list[Sample]]:
    """The samples in an order drawn by the seed, in rows of at most `length` tokens each.

    Within each window of samples the longest are placed first, each where it fits: a few percent stay empty.
    A sample longer than length gets a row of its own.
    """
    order = np.random.default_rng(seed).permutation(len(samples))
    rows: list[list[Sample]] = []
    for at in range(0, len(order), window):
        chosen = sorted((samples[i] for i in order[at : at + window]), key=len, reverse=True)
        rows += _fit(chosen, length)
    shuffled = np.random.default_rng(seed + 1).permutation(len(rows))
    return [rows[i] for i in shuffled]


def _fit(samples: Sequence[Sample], length: int) -> list[list[Sample]]:
    rows: list[list[Sample]] = []
    room: list[int] = []
    for sample in samples:
        place = next((i for i, free in enumerate(room) if free >= len(sample)), None)
        if place is None:
            rows.append([])
            room.append(length)
            place = len(rows) - 1
        rows[place].append(sample)
        room[place] -= len(sample)
    return rows


def steps_of(rows: Sequence[list[Sample]], tokens_per_step: int) -> Iterator[list[list[Sample]]]:
    """Rows that make a step of the optimiser together: at least so many learnt tokens but in the last."""
    step: list[list[Sample]] = []
    n = 0
    for row in rows:
        step.append(row)
        n += sum(sample.n_learnt for sample in row)
        if n >= tokens_per_step:
            yield step
            step, n = [], 0
    if step:
        yield step


def _joined(arrays: Sequence[Sequence[int] | Sequence[Kind]]) -> Ints:
    return np.concatenate([np.asarray(array, dtype=np.int64) for array in arrays])
