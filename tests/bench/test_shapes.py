"""Models with random weights and dequantised ones: that they load, cut text as their source, and compute."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import dequantise
import pytest
import shapes

from aspd_local import _core
from driver import open_engine
from tiny.files import TinyModel
from tiny.vocabulary import Vocabulary

TINY = shapes.Shape(
    architecture="llama",
    n_layers=2,
    n_embd=64,
    n_ff=96,
    n_heads=4,
    n_kv_heads=2,
    n_head_dim=16,
    n_vocab=400,
    n_ctx=512,
    rope_base=10_000.0,
    norm_epsilon=1e-5,
    tied=False,
)


@pytest.fixture(autouse=True)
def _short_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_PERIOD", 509)


@pytest.mark.parametrize("kind", shapes.TYPES)
def test_every_type_loads_and_gives_finite_logits(tmp_path: Path, tiny_llama: TinyModel, kind: str) -> None:
    path = tmp_path / "random.gguf"
    shapes.write(path, TINY, shapes.Weights(kind=kind), tiny_llama.path)
    found = _likelihoods(path)
    assert all(map(math.isfinite, found))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(("architecture", "tied"), [("llama", True), ("qwen2", True), ("qwen2", False)])
def test_architectures_and_ends_load(
    tmp_path: Path, tiny_llama: TinyModel, architecture: str, tied: bool
) -> None:
    path = tmp_path / "random.gguf"
    shape = dataclasses.replace(TINY, architecture=architecture, tied=tied)
    shapes.write(path, shape, shapes.Weights(), tiny_llama.path)
    model = _core.Model.load(str(path), _core.ModelOptions())
    assert model.architecture == architecture
    assert all(map(math.isfinite, _likelihoods(path)))


def test_vocabulary_is_the_sources_and_unused_tokens(tmp_path: Path, tiny_llama: TinyModel) -> None:
    path = tmp_path / "random.gguf"
    shapes.write(path, TINY, shapes.Weights(), tiny_llama.path)
    model = _core.Model.load(str(path), _core.ModelOptions())
    source = _core.Model.load(str(tiny_llama.path), _core.ModelOptions())
    text = "The cat is on the mat, and <|title|> it's 42.\n"
    assert model.tokenize(text, True) == source.tokenize(text, True)
    assert model.n_vocab == TINY.n_vocab
    assert (model.bos, model.eos, model.chat_template) == (source.bos, source.eos, source.chat_template)
    controls = [token for token in range(model.n_vocab) if model.is_control(token)]
    assert controls == [token for token in range(source.n_vocab) if source.is_control(token)]


def test_seed_decides_the_bytes(tmp_path: Path, tiny_llama: TinyModel) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        shapes.write(path, TINY, shapes.Weights(seed=seed), tiny_llama.path)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again
    assert first != other


def test_rows_of_a_matrix_differ() -> None:
    rows = shapes.Pool(0).matrix("q4_0", 400, 64)
    assert len({row.tobytes() for row in rows}) == 400


def test_head_may_have_another_type(tmp_path: Path, tiny_llama: TinyModel) -> None:
    path = tmp_path / "random.gguf"
    shapes.write(path, TINY, shapes.Weights(head="q8_0"), tiny_llama.path)
    summary = _core.summarize_weights(str(path))
    assert (summary.weights, summary.head) == ("Q4_0", "Q8_0")


def test_failure_leaves_no_file(tmp_path: Path, tiny_llama: TinyModel) -> None:
    path, small = tmp_path / "random.gguf", dataclasses.replace(TINY, n_vocab=100)
    with pytest.raises(ValueError, match="tokens more than"):
        shapes.write(path, small, shapes.Weights(), tiny_llama.path)
    with pytest.raises(ValueError, match="unknown type 'q4_k'"):
        shapes.write(path, TINY, shapes.Weights(kind="q4_k"), tiny_llama.path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "millions"), [("135m", 134.5), ("1.5b", 1543.7), ("8b", 8030.3)])
def test_shapes_have_as_many_weights_as_their_models(name: str, millions: float) -> None:
    shape = shapes.SHAPES[name]
    n_weights = sum(n_rows * n_row for _, n_rows, n_row in shape.matrices()) + sum(
        n for _, n in shape.vectors()
    )
    n_weights += (1 if shape.tied else 2) * shape.n_vocab * shape.n_embd
    assert n_weights / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("kind", dequantise.TYPES)
def test_dequantised_file_says_what_its_source_says(tmp_path: Path, tiny_llama: TinyModel, kind: str) -> None:
    source, path = tmp_path / "quantised.gguf", tmp_path / "other.gguf"
    shapes.write(source, TINY, shapes.Weights(kind="q8_0"), tiny_llama.path)
    dequantise.write(source, path, kind)
    summary = _core.summarize_weights(str(path))
    assert (summary.weights, summary.head) == (kind.upper(), kind.upper())
    assert _likelihoods(path) == pytest.approx(_likelihoods(source), abs=0.1)
    model, before = (_core.Model.load(str(each), _core.ModelOptions()) for each in (path, source))
    assert model.tokenize("The cat.\n", False) == before.tokenize("The cat.\n", False)


def _likelihoods(path: Path) -> list[float]:
    model = TinyModel(path=path, vocabulary=Vocabulary())
    engine = open_engine(model, n_ctx=256, n_outputs_max=16)
    ids = list(range(40, 56))
    trunk = [0] * len(ids)
    return engine.score(_core.Layout(ids, list(range(len(ids))), trunk, trunk))[1:]
