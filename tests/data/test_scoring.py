"""Every condition that is scored with forks, against scoring it from scratch as plain text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aspd_local import Model, _core
from aspd_local.data.conditions import Texts
from aspd_local.data.example import Example, Run
from aspd_local.data.foreign import BUILT_IN
from aspd_local.data.scoring import ModelScorer
from aspd_local.layout import Block, Trunk, lay_out
from tiny.files import TinyModel

ANSWER = "Well:\n- aa bb cc dd\n- ee ff\n- gg hh ii\nDone then."
RUN = Run(kind="bulleted", spans=((6, 20), (20, 28), (28, 39)), titles=("aa", "ee", "gg"))
EXAMPLE = Example(number=1, prompt="Q?", messages=({"role": "user", "content": "Q?"},), answer=ANSWER)
FOREIGN = ("xx yy zz.\n", "uu vv.\n")


@pytest.fixture
def engine(tiny_scorer: ModelScorer) -> _core.Engine:
    return tiny_scorer._engine


def from_scratch(engine: _core.Engine, *pieces: list[int]) -> list[float]:
    """Negative log-likelihoods of the last piece, all of it plain text."""
    ids = [token for piece in pieces for token in piece]
    layout = _core.Layout(ids, list(range(len(ids))), [0] * len(ids), [0] * len(ids))
    return [-score for score in engine.score(layout)][len(ids) - len(pieces[-1]) :]


@pytest.fixture
def texts(tiny_scorer: ModelScorer) -> Texts:
    return tiny_scorer.texts(EXAMPLE, RUN, FOREIGN, tail_tokens=5)


def test_texts_are_the_answer_and_foreign_siblings_have_their_lengths(
    texts: Texts, tiny_llama: TinyModel
) -> None:
    def plain(ids: object) -> str:
        return tiny_llama.vocabulary.decode(list(ids))  # type: ignore[call-overload]

    assert [plain(branch) for branch in texts.branches] == RUN.texts(ANSWER)
    assert plain(texts.prefix).endswith("Q?<|im_end|>\n<|im_start|>assistant\nWell:\n")
    assert [len(piece) for piece in texts.foreign] == [len(branch) for branch in texts.branches[:-1]]
    assert "".join(map(plain, texts.foreign)).startswith("xx yy zz.\nuu vv.\nxx")
    assert len(texts.tail) == 5


def test_alone_true_and_foreign_equal_scoring_from_scratch(
    tiny_scorer: ModelScorer, texts: Texts, engine: _core.Engine
) -> None:
    scores = tiny_scorer.score_texts(texts)
    prefix = list(texts.prefix)
    branches = [list(branch) for branch in texts.branches]
    foreign = [list(piece) for piece in texts.foreign]
    for i, branch in enumerate(branches):
        found = scores.branches[i]
        assert list(found.alone) == pytest.approx(from_scratch(engine, prefix, branch), abs=2e-3)
        assert list(found.true) == pytest.approx(
            from_scratch(engine, prefix, *branches[:i], branch), abs=2e-3
        )
        if i:
            expected = from_scratch(engine, prefix, *foreign[:i], branch)
            assert list(found.foreign) == pytest.approx(expected, abs=2e-3)
            assert list(found.foreign) != pytest.approx(list(found.true), abs=2e-3)
    serial = from_scratch(engine, prefix, *branches, list(texts.tail))[1:]
    assert list(scores.tail_serial) == pytest.approx(serial, abs=2e-3)


def test_words_of_siblings_are_found_among_the_tokens(tiny_scorer: ModelScorer) -> None:
    answer = "- ab cd.\n- ef cd.\n- gh."
    run = Run(kind="bulleted", spans=((0, 9), (9, 18), (18, 23)), titles=("ab", "ef", "gh"))
    example = replace(EXAMPLE, answer=answer)
    texts = tiny_scorer.texts(example, run, FOREIGN, tail_tokens=5)
    assert list(map(len, texts.words)) == list(map(len, texts.branches))
    found = [
        b"".join(
            tiny_scorer._core.piece(token) for token, word in zip(branch, words, strict=True) if word == 0
        )
        for branch, words in zip(texts.branches, texts.words, strict=True)
    ]
    assert [piece.strip() for piece in found] == [b"", b"cd", b""]


def test_tail_behind_the_join_is_that_of_the_layout(
    tiny_scorer: ModelScorer, texts: Texts, engine: _core.Engine
) -> None:
    layout = lay_out([Trunk(texts.prefix), Block(texts.branches), Trunk(texts.tail)], "sum")
    core = _core.Layout(
        list(layout.token_ids), list(layout.positions), list(layout.block_ids), list(layout.branch_ids)
    )
    expected = [-score for score in engine.score(core)][-len(texts.tail) + 1 :]
    scores = tiny_scorer.score_texts(texts)
    assert list(scores.tail_joined) == pytest.approx(expected, abs=2e-3)
    assert list(scores.tail_joined) != pytest.approx(list(scores.tail_serial), abs=2e-3)


def test_scores_are_the_same_each_time(tiny_scorer: ModelScorer, texts: Texts) -> None:
    assert tiny_scorer.score_texts(texts) == tiny_scorer.score_texts(texts)


def test_too_long_is_none(tiny_scorer: ModelScorer) -> None:
    assert tiny_scorer.score(EXAMPLE, RUN, FOREIGN, max_tokens=40, tail_tokens=8) is None
    assert tiny_scorer.score(EXAMPLE, RUN, FOREIGN, max_tokens=400, tail_tokens=8) is not None


def test_answer_that_ends_with_the_block_has_no_tail(tiny_scorer: ModelScorer) -> None:
    example = Example(number=1, prompt="Q?", messages=EXAMPLE.messages, answer=ANSWER[: RUN.end])
    scores = tiny_scorer.score(example, RUN, BUILT_IN, max_tokens=400, tail_tokens=8)
    assert scores is not None
    assert (scores.tail_serial, scores.tail_joined) == ((), ())


def test_a_small_cache_gives_the_same_scores(
    tiny_llama: TinyModel, texts: Texts, tiny_scorer: ModelScorer
) -> None:
    """Conditions are scored one path at a time: room for the longest is enough."""
    longest = len(texts.prefix) + sum(map(len, texts.branches)) + len(texts.tail) + 64
    n_ctx = -(-longest // 32) * 32
    with Model(
        tiny_llama.path, n_ctx=n_ctx, n_threads=1, n_threads_batch=1, n_outputs_max=64,
        flash_attn="off", cache_type="f32",
    ) as model:  # fmt: skip
        found = ModelScorer(model).score_texts(texts)
    expected = tiny_scorer.score_texts(texts)
    for a, b in zip(found.branches, expected.branches, strict=True):
        assert list(a.foreign) == pytest.approx(list(b.foreign), abs=2e-3)


def test_model_that_cannot_join_is_refused(tiny_mamba: TinyModel) -> None:
    with Model(tiny_mamba.path, n_ctx=256) as model, pytest.raises(ValueError, match="cannot score branches"):
        ModelScorer(model)
