"""Oracle 1: one branch, forked and joined, is serial decoding."""

from __future__ import annotations

import pytest

from aspd_local import _core
from aspd_local.layout import JoinRule
from driver import answer, aspd, open_engine, request
from tiny.files import TinyModel
from tiny.vocabulary import EOS

PROMPTS = ["Q1", "hello wQ1", "x xx the 1", "What is this? 1", "and so on and on 1"]


@pytest.fixture(scope="module")
def engine(forking: TinyModel) -> _core.Engine:
    return open_engine(forking)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_one_branch_joined_with_linear_equals_serial_decoding(
    engine: _core.Engine, forking: TinyModel, prompt: str
) -> None:
    ids = forking.vocabulary.encode(prompt)
    serial = answer(engine, request(ids))
    forked = answer(engine, request(ids, aspd(forking.vocabulary, "linear", min_items=1)))
    assert len(forked.blocks) == 1
    assert serial.blocks == []
    assert forked.layout.token_ids == serial.layout.token_ids
    assert forked.layout.positions == serial.layout.positions


@pytest.mark.parametrize("rule", ["sum", "longest"])
def test_one_branch_of_any_rule_that_keeps_its_cells_equals_serial_decoding(
    engine: _core.Engine, forking: TinyModel, rule: JoinRule
) -> None:
    ids = forking.vocabulary.encode("Q1")
    serial = answer(engine, request(ids))
    forked = answer(engine, request(ids, aspd(forking.vocabulary, rule, min_items=1)))
    assert len(forked.blocks) == 1
    assert forked.layout.token_ids == serial.layout.token_ids


def test_prompts_of_this_oracle_get_different_answers(engine: _core.Engine, forking: TinyModel) -> None:
    answers = [answer(engine, request(forking.vocabulary.encode(prompt))) for prompt in PROMPTS]
    assert len({tuple(result.layout.token_ids) for result in answers}) == len(PROMPTS)
    assert all(result.finish_reason == _core.FinishReason.STOP for result in answers)
    assert forking.vocabulary[EOS] not in answers[0].layout.token_ids
