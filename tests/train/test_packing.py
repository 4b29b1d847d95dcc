"""Packed rows: the mask of the layout function, and nothing seen across examples."""

from __future__ import annotations

import numpy as np
import pytest
from training_records import PLAIN, STORY, stories

from aspd_local.layout import JOIN_RULES, JoinRule, mask
from aspd_local.train import SampleMaker
from aspd_local.train.packing import mask_of, pack, row_of, steps_of


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_mask_of_a_row_is_that_of_the_layout(maker: SampleMaker, rule: JoinRule) -> None:
    layout = maker.make(STORY).layout
    found = mask_of(np.asarray(layout.block_ids), np.asarray(layout.branch_ids), rule)
    assert found.tolist() == mask(layout, rule)


def test_examples_of_a_row_do_not_see_each_other(maker: SampleMaker) -> None:
    samples = [maker.make(STORY), maker.make(PLAIN), maker.make(STORY)]
    row = row_of(samples)
    at = 0
    for sample in samples:
        own = slice(at, at + len(sample))
        assert row.mask[own, own].tolist() == mask(sample.layout, "sum")
        outside = row.mask[own].copy()
        outside[:, own] = False
        assert not outside.any()
        at += len(sample)


def test_row_learns_what_its_samples_learn(maker: SampleMaker) -> None:
    samples = [maker.make(PLAIN), maker.make(STORY)]
    row = row_of(samples)
    assert len(row.targets) == sum(sample.n_learnt for sample in samples)
    for source, target, example in zip(row.sources, row.targets, row.examples, strict=True):
        start = 0 if example == 0 else len(samples[0])
        layout = samples[example].layout
        i = next(
            i
            for i, before in enumerate(samples[example].predecessors)
            if before == source - start and layout.token_ids[i] == target
        )
        assert layout.token_ids[i] == target


def test_visible_branches_see_their_earlier_siblings_only(maker: SampleMaker) -> None:
    row, seen = row_of([maker.make(STORY)]), row_of([maker.make(STORY)], branches="visible")
    assert (seen.mask >= row.mask).all()
    assert seen.mask.sum() > row.mask.sum()
    assert not np.triu(seen.mask, 1).any()


def test_packing_keeps_every_sample_and_the_limit(maker: SampleMaker) -> None:
    samples = [maker.make(each) for each in stories(30)]
    rows = pack(samples, 600, 5)
    assert sorted(id(sample) for row in rows for sample in row) == sorted(map(id, samples))
    assert all(sum(map(len, row)) <= 600 for row in rows)
    assert len(rows) < len(samples)
    assert [list(map(id, row)) for row in pack(samples, 600, 5)] == [list(map(id, row)) for row in rows]


def test_steps_have_the_tokens_that_were_asked_for(maker: SampleMaker) -> None:
    rows = pack([maker.make(each) for each in stories(30)], 200, 5)
    steps = list(steps_of(rows, 400))
    assert sum(map(len, steps)) == len(rows)
    assert all(sum(sample.n_learnt for row in step for sample in row) >= 400 for step in steps[:-1])
