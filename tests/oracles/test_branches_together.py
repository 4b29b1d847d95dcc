"""Oracles 2 and 4: branches decoded side by side are what each would be alone, whatever the others write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aspd_local import _core
from aspd_local.layout import JOIN_RULES, Block, JoinRule, Trunk, lay_out
from driver import answer, aspd, logits, open_engine, request, run
from tiny import stories
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.vocabulary import BRANCH, Vocabulary

PROMPTS = ["Q3", "hello wQ3", "x xx the 3", "What is this? 4", "and so on and on 4"]


@pytest.fixture(scope="module")
def engine(forking: TinyModel) -> _core.Engine:
    return open_engine(forking)


@pytest.fixture(scope="module")
def random_engine(tiny_llama: TinyModel) -> _core.Engine:
    return open_engine(tiny_llama)


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_branches_together_equal_separate_runs_from_the_same_prefix(
    engine: _core.Engine, forking: TinyModel, prompt: str, rule: JoinRule
) -> None:
    vocabulary = forking.vocabulary
    ids = vocabulary.encode(prompt)
    together = answer(engine, request(ids, aspd(vocabulary, rule)))
    branches = together.blocks[0].branches
    assert len(branches) == int(prompt[-1])
    prefix = ids + _plan(vocabulary, together)
    for branch in branches:
        seed = vocabulary.encode(f"{BRANCH}{branch.title}:")
        body = branch.token_ids[len(seed) :]
        assert branch.token_ids[: len(seed)] == seed
        alone = answer(engine, request(prefix + seed, max_tokens=len(body)))
        assert alone.layout.token_ids == body


def test_branches_of_these_prompts_differ_in_length_and_wording(
    engine: _core.Engine, forking: TinyModel
) -> None:
    results = [
        answer(engine, request(forking.vocabulary.encode(p), aspd(forking.vocabulary, "sum")))
        for p in PROMPTS
    ]
    bodies = {tuple(branch.token_ids[3:]) for result in results for branch in result.blocks[0].branches}
    assert len(bodies) >= 10
    assert len(set(map(len, bodies))) >= 4


def test_logits_of_a_branch_equal_those_of_its_text_alone(random_engine: _core.Engine) -> None:
    prefix, first, second = [20, 21, 22, 23], [30, 31, 32], [40, 41, 42, 43, 44]
    together = logits(random_engine, lay_out([Trunk(prefix), Block([first, second])], "sum"))
    for branch, begin in ((first, 4), (second, 7)):
        alone = logits(random_engine, lay_out([Trunk(prefix + branch)], "sum"))
        np.testing.assert_allclose(together[begin : begin + len(branch)], alone[4:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", ["sum", "longest"])
@pytest.mark.parametrize("sibling", [[50, 51, 52], [60], [70, 71, 72, 73, 74, 75]])
def test_logits_of_a_branch_do_not_change_with_its_siblings(
    random_engine: _core.Engine, rule: JoinRule, sibling: list[int]
) -> None:
    prefix, branch, tail = [20, 21, 22, 23], [30, 31, 32], [80, 81]
    before = lay_out([Trunk(prefix), Block([[40, 41, 42], branch]), Trunk(tail)], rule)
    after = lay_out([Trunk(prefix), Block([sibling, branch]), Trunk(tail)], rule)
    rows, other_rows = logits(random_engine, before), logits(random_engine, after)
    np.testing.assert_allclose(rows[7:10], other_rows[4 + len(sibling) :][:3], rtol=0, atol=1e-5)
    # the trunk sees the sibling, so this test could have failed
    assert np.abs(rows[-2:] - other_rows[-2:]).max() > 0.1


def test_requests_together_equal_each_alone(forking: TinyModel) -> None:
    """Also when lanes are short, so that branches of one wait for those of another."""
    alone = [answer(open_engine(forking), _sampled(forking, seed)) for seed in range(6)]
    for n_lanes in (4, 6, 16):
        engine = open_engine(forking, n_ctx=1024, n_lanes=n_lanes, n_requests=4)
        ids = [engine.submit(_sampled(forking, seed)) for seed in range(6)]
        done = {event.request: event.result for event in run(engine) if event.kind == _core.EventKind.DONE}
        assert [done[i].text for i in ids] == [result.text for result in alone]
        assert [done[i].layout.positions for i in ids] == [result.layout.positions for result in alone]
    assert len({result.text for result in alone}) == len(alone)


def test_branches_of_one_title_each_get_random_numbers_of_their_own(tmp_path: Path) -> None:
    """A branch's seed comes from its place, so that equal beginnings do not lead to equal bodies."""
    script = Script([f": 1{stories.plan('ab')}"], stories.forking("ab").choices)
    tiny = write_scripted(tmp_path / "tiny.gguf", script, seed=16)
    bodies = set()
    for seed in range(8):
        result = answer(open_engine(tiny), _sampled(tiny, seed, prompt="So: 1", temperature=8.0))
        bodies.add(tuple(tuple(branch.token_ids[3:]) for branch in result.blocks[0].branches))
    assert len(bodies) == 8
    assert all(first != second for first, second in bodies)


def _sampled(tiny: TinyModel, seed: int, *, prompt: str = "Now 4", temperature: float = 1.0) -> _core.Request:
    options = {"seed": seed, "temperature": temperature, "max_tokens": 90}
    return request(tiny.vocabulary.encode(prompt), aspd(tiny.vocabulary, "sum"), **options)


def _plan(vocabulary: Vocabulary, result: _core.Result) -> list[int]:
    """What the trunk wrote before its first block, up to the first fork."""
    n = sum(len(branch.token_ids) for branch in result.blocks[0].branches)
    titles = [branch.title for branch in result.blocks[0].branches]
    text = "".join(f"<|title|>{title}<|/title|>" for title in titles) + "<|para|>"
    ids = vocabulary.encode(text)
    assert n > 0
    assert result.layout.token_ids[: len(ids)] == ids
    return ids
