"""Oracle 3: the state after a join is that of a forward pass with an explicit mask and positions.

The forward pass is an independent one in NumPy; once for structures put in at once, once for answers that an
engine has decoded live.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from aspd_local import _core
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
)
from driver import answer, aspd, core_layout, logits, open_engine, python_layout, request
from tiny.files import TinyModel
from tiny.forward import NumpyModel
from tiny.vocabulary import EOS, Vocabulary

MODELS = ["tiny_llama", "tiny_qwen2", "tiny_cohere2"]
PROMPTS = ["Q2", "hello wQ3", "What is this? 4"]
TOLERANCE = 1e-4  # of the largest logit


@pytest.fixture(scope="module", params=MODELS)
def tiny(request: pytest.FixtureRequest) -> TinyModel:
    model: TinyModel = request.getfixturevalue(request.param)
    return model


@pytest.fixture(scope="module")
def engine(tiny: TinyModel) -> _core.Engine:
    return open_engine(tiny)


@pytest.fixture(scope="module")
def numpy_model(tiny: TinyModel) -> NumpyModel:
    return NumpyModel(tiny)


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("seed", [1, 2])
def test_prefilled_structure_has_the_logits_of_a_masked_forward_pass(
    engine: _core.Engine, numpy_model: NumpyModel, rule: JoinRule, seed: int
) -> None:
    text = _random_text(seed)
    expected_layout = lay_out(text, rule)
    expected = numpy_model.logits(
        expected_layout.token_ids, expected_layout.positions, mask(expected_layout, rule)
    )
    if rule == "drop":  # the cache never keeps the branches
        expected = expected[np.asarray(expected_layout.block_ids) == 0]
    _assert_close(logits(engine, lay_out(text, rule, reentry=True)), expected)


def test_join_rules_give_different_logits(numpy_model: NumpyModel) -> None:
    text = _random_text(1)
    rows = []
    for rule in JOIN_RULES:
        layout = lay_out(text, rule)
        rows.append(numpy_model.logits(layout.token_ids, layout.positions, mask(layout, rule))[-1])
    for i, row in enumerate(rows):
        for other in rows[i + 1 :]:
            assert np.abs(row - other).max() > 0.02 * np.abs(row).max()


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_live_decoding_chooses_what_a_masked_forward_pass_would(
    forking: TinyModel, prompt: str, rule: JoinRule
) -> None:
    told = _tell(open_engine(forking), forking.vocabulary, prompt, rule)
    side_by_side, joined = _rows(forking, told, "sum"), _rows(forking, told, rule)
    in_block = lay_out(told.segments, "sum").block_ids
    before = predecessors(lay_out(told.segments, "sum"), "sum")
    for i in told.sampled:
        row = side_by_side[before[i]] if in_block[i] else joined[before[i]]
        assert row[told.token_ids[i]] >= row.max() - TOLERANCE * np.abs(row).max()
    assert joined[-1].argmax() == forking.vocabulary[EOS]


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_turn_after_a_joined_answer_goes_on_from_the_cache_as_a_masked_forward_pass_would(
    forking: TinyModel, prompt: str, rule: JoinRule
) -> None:
    engine = open_engine(forking)
    told = _tell(engine, forking.vocabulary, prompt, rule)
    history = told.as_the_cache_has_it
    question = forking.vocabulary.encode(" And 1:")
    turn = lay_out([Trunk(question)], rule, start=history.next_position, first_block=history.last_block + 1)
    next_answer = answer(engine, request(history + turn, max_tokens=8))
    assert next_answer.timings.cached_tokens == len(history)

    body = next_answer.layout.token_ids
    text = [*told.segments, Trunk([*question, *body])]
    layout = lay_out(text, rule)
    rows = NumpyModel(forking).logits(layout.token_ids, layout.positions, mask(layout, rule))
    for i in range(len(layout) - len(body), len(layout)):
        row = rows[i - 1]
        assert row[layout.token_ids[i]] >= row.max() - TOLERANCE * np.abs(row).max()


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_turn_after_a_joined_answer_equals_that_of_a_fresh_prefill(
    forking: TinyModel, rule: JoinRule
) -> None:
    engine = open_engine(forking)
    history = _tell(engine, forking.vocabulary, PROMPTS[1], rule).as_the_cache_has_it
    turn = lay_out([Trunk([33, 34])], rule, start=history.next_position, first_block=history.last_block + 1)
    live = answer(engine, request(history + turn, max_tokens=12))
    fresh = answer(open_engine(forking), request(history + turn, max_tokens=12))
    assert live.timings.cached_tokens == len(history)
    assert fresh.timings.cached_tokens == 0
    assert fresh.layout.token_ids == live.layout.token_ids


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_turn_after_a_joined_answer_equals_that_of_a_saved_state(forking: TinyModel, rule: JoinRule) -> None:
    engine, other = open_engine(forking), open_engine(forking)
    history = _tell(engine, forking.vocabulary, PROMPTS[2], rule).as_the_cache_has_it
    state = engine.save_state(core_layout(history))
    turn = lay_out([Trunk([33, 34])], rule, start=history.next_position, first_block=history.last_block + 1)
    live = answer(engine, request(history + turn, max_tokens=12))
    other.load_state(core_layout(history), state)
    loaded = answer(other, request(history + turn, max_tokens=12))
    assert loaded.timings.cached_tokens == len(history)
    assert loaded.layout.token_ids == live.layout.token_ids


@pytest.mark.parametrize("rule", ["sum", "longest", "linear"])
def test_score_is_the_log_probability_of_a_masked_forward_pass(
    engine: _core.Engine, numpy_model: NumpyModel, rule: JoinRule
) -> None:
    layout = lay_out(_random_text(3), rule)
    rows = numpy_model.logits(layout.token_ids, layout.positions, mask(layout, rule))
    shifted = rows - rows.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    before = predecessors(layout, rule)
    tokens = enumerate(layout.token_ids)
    expected = [log_probabilities[before[i], token] if before[i] >= 0 else 0.0 for i, token in tokens]
    np.testing.assert_allclose(engine.score(core_layout(layout)), expected, rtol=0, atol=1e-4)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """An answer with its prompt."""

    segments: list[Segment]
    token_ids: tuple[int, ...]  # with the branches, also where the join rule drops them
    as_the_cache_has_it: Layout
    sampled: list[int]  # indices of the tokens that the model chose itself


def _tell(engine: _core.Engine, vocabulary: Vocabulary, prompt: str, rule: JoinRule) -> _Told:
    ids = vocabulary.encode(prompt)
    result = answer(engine, request(ids, aspd(vocabulary, rule)))
    assert len(result.blocks) == 1
    branches = [branch.token_ids for branch in result.blocks[0].branches]
    text = result.layout.token_ids
    close = vocabulary["<|para|>"], vocabulary["<|/para|>"]
    n_plan = text.index(close[0]) + 1
    n_closing = len(text) - text.index(close[1])
    segments: list[Segment] = [Trunk(ids), Trunk(text[:n_plan]), Block(branches), Trunk(text[-n_closing:])]
    token_ids = lay_out(segments, rule).token_ids
    sampled = [i for i, token in enumerate(token_ids) if i >= len(ids) and token != close[1]]
    seeds = [
        len(ids) + n_plan + sum(map(len, branches[:i])) + k for i in range(len(branches)) for k in range(3)
    ]
    cached = lay_out(segments, rule, reentry=True)
    start = lay_out([Trunk(ids)], rule)
    assert start + python_layout(result.layout, cached.next_position) == cached
    return _Told(
        segments=segments,
        token_ids=token_ids,
        as_the_cache_has_it=cached,
        sampled=[i for i in sampled if i not in seeds],
    )


def _rows(tiny: TinyModel, told: _Told, rule: JoinRule) -> NDArray[np.float64]:
    layout = lay_out(told.segments, rule)
    return NumpyModel(tiny).logits(layout.token_ids, layout.positions, mask(layout, rule))


def _random_text(seed: int) -> list[Segment]:
    """Two blocks; a sliding window of 8 positions does not reach over them."""
    random = np.random.default_rng(seed)

    def tokens(n: int) -> list[int]:
        return [int(token) for token in random.integers(0, 256, n)]

    return [
        Trunk(tokens(5)),
        Block([tokens(int(n)) for n in random.integers(1, 7, 3)]),
        Trunk(tokens(4)),
        Block([tokens(int(n)) for n in random.integers(1, 7, 2)]),
        Trunk(tokens(3)),
    ]


def _assert_close(rows: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert rows.shape == expected.shape
    assert np.abs(rows - expected).max() <= TOLERANCE * np.abs(expected).max()
