"""Texts as vectors: against NumPy, alone and side by side, whole and in pieces, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aspd_local import Embedder, Model
from aspd_local.errors import ContextFullError, ModelError
from aspd_local.typing import EmbedderSettings
from tiny.encoders import (
    write_bert,
    write_llada,
    write_llama_embed,
    write_pooled_llama,
    write_t5,
    write_t5_encoder,
)
from tiny.files import TinyModel, write_llama, write_mamba
from tiny.forward import Array, NumpyModel
from tiny.vocabulary import TITLE

FIRST, LAST = 2, 3
MEAN = 1


def drawn(number: int, n_tokens: int) -> list[int]:
    """Token ids of a text of its own."""
    dice = random.Random(number)
    return [dice.randrange(20, 60) for _ in range(n_tokens)]


def by_numpy(path: Path, token_ids: list[int], pooling: int) -> Array:
    n = len(token_ids)
    states = NumpyModel(path).states(token_ids, range(n), np.tril(np.ones((n, n), bool)))
    pooled = {MEAN: states.mean(0), FIRST: states[0], LAST: states[-1]}[pooling]
    return np.asarray(pooled / np.linalg.norm(pooled))


@pytest.fixture
def bert(tmp_path: Path) -> Embedder:
    return Embedder(write_bert(tmp_path / "bert.gguf", seed=7).path)


@pytest.mark.parametrize("pooling", [MEAN, FIRST, LAST])
def test_vectors_are_those_of_numpy(tmp_path: Path, pooling: int) -> None:
    tiny = write_pooled_llama(tmp_path / "pooled.gguf", pooling=pooling, seed=5)
    texts = [drawn(i, n) for i, n in enumerate([1, 2, 30, 7])]
    found = Embedder(tiny.path, n_threads=1).embed(texts)
    for text, vector in zip(texts, found, strict=True):
        assert np.abs(np.array(vector) - by_numpy(tiny.path, text, pooling)).max() < 2e-3  # a cache of F16


@pytest.mark.parametrize("pooling", [MEAN, LAST])
def test_long_text_is_one_text(tmp_path: Path, pooling: int) -> None:
    tiny = write_pooled_llama(tmp_path / "pooled.gguf", pooling=pooling, seed=6)
    text = drawn(1, 700)  # more than is computed at once where the last token stands for all
    (vector,) = Embedder(tiny.path, n_threads=1).embed([text])
    assert np.abs(np.array(vector) - by_numpy(tiny.path, text, pooling)).max() < 2e-3


def test_encoder_sees_the_whole_text(bert: Embedder) -> None:
    before, after = bert.embed([[30, 31, 32, 33], [30, 31, 32, 34]])
    assert np.dot(before, after) < 0.9999
    assert np.linalg.norm(before) == pytest.approx(1, abs=1e-5)
    assert not bert.can_write


def test_text_does_not_depend_on_those_beside_it(bert: Embedder) -> None:
    texts = [drawn(i, 1 + i % 17) for i in range(150)]  # more than go side by side
    together = bert.embed(texts)
    assert len(together) == 150
    for i in (0, 1, 63, 64, 100, 149):
        assert np.array(together[i]) == pytest.approx(np.array(bert.embed([texts[i]])[0]), abs=1e-4)


def test_strings_are_their_tokens(bert: Embedder) -> None:
    text = "warm and cold"
    assert bert.embed([text]) == bert.embed([bert.tokenize(text)])
    assert bert.embed([]) == []


def test_marker_in_a_text_is_text(tmp_path: Path) -> None:
    tiny = write_pooled_llama(tmp_path / "pooled.gguf", pooling=LAST)
    with Model(tiny.path, profile="off") as model:
        embedder = Embedder(model)
        assert model.core.find_token(TITLE) is not None
        assert not any(map(model.core.is_control, embedder.tokenize(f"a{TITLE}b")[1:]))


def test_model_shares_its_weights(tmp_path: Path) -> None:
    tiny = write_pooled_llama(tmp_path / "pooled.gguf", pooling=LAST, seed=3)
    alone = Embedder(tiny.path)
    with Model(tiny.path, profile="off") as model:
        shared = Embedder(model)
        assert shared.can_write
        assert shared.size_bytes == 0 < alone.size_bytes
        model.generate("a", max_tokens=4)
        assert shared.embed(["warm"]) == alone.embed(["warm"])


@pytest.mark.parametrize("length", [65, 300])
def test_text_beyond_the_context_is_refused_before_anything_is_computed(bert: Embedder, length: int) -> None:
    small = Embedder(bert._model.path, n_ctx=64)
    assert small.n_ctx == 64
    with pytest.raises(ContextFullError) as caught:
        small.embed([[30], drawn(0, length)])
    assert (caught.value.needed, caught.value.available) == (length, 64)
    assert small.embed([drawn(0, 64)])


@pytest.mark.parametrize("bad", [[[]], [[-1]], [[10**6]], [[30], []]])
def test_no_text_and_no_token_are_refused(bert: Embedder, bad: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="text"):
        bert.embed(bad)
    assert bert.embed([[30]])


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (write_llama, "names no pooling"),
        (lambda path: write_pooled_llama(path, pooling=0), "names no pooling"),
        (lambda path: write_pooled_llama(path, pooling=4), "ranks pairs"),
        (write_mamba, "names no pooling"),
        (write_t5, "names no pooling"),
        (write_t5_encoder, "names no pooling"),
        (write_llada, "names no pooling"),
        (lambda path: write_llama_embed(path, causal=False), "names no pooling"),
    ],
)
def test_model_that_makes_none_says_so(tmp_path: Path, write: Callable[[Path], TinyModel], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        Embedder(write(tmp_path / "other.gguf").path)


@pytest.mark.parametrize("settings", [{"n_ctx": -1}, {"n_ctx": 10**9}, {"n_threads": -1}])
def test_bad_settings(bert: Embedder, settings: EmbedderSettings) -> None:
    with pytest.raises(ValueError, match="must be between"):
        Embedder(bert._model.path, **settings)
