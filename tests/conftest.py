"""Fixtures shared by all tests: tiny models, written once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from aspd_local import _core
from tiny import stories
from tiny.encoders import write_bert, write_t5
from tiny.files import (
    TinyModel,
    write_cohere2,
    write_lfm2,
    write_llama,
    write_mamba,
    write_qwen2,
    write_rwkv7,
    write_wide,
)
from tiny.script import write_scripted
from tiny.vocabulary import Vocabulary

settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_llama(tiny_folder: Path) -> TinyModel:
    """Random weights, llama shape, six CONTROL markers."""
    return write_llama(tiny_folder / "llama.gguf", seed=1)


@pytest.fixture(scope="session")
def tiny_qwen2(tiny_folder: Path) -> TinyModel:
    return write_qwen2(tiny_folder / "qwen2.gguf", seed=2)


@pytest.fixture(scope="session")
def tiny_cohere2(tiny_folder: Path) -> TinyModel:
    """Sliding-window attention over 8 positions in the first of two layers."""
    return write_cohere2(tiny_folder / "cohere2.gguf", seed=3)


@pytest.fixture(scope="session")
def tiny_mamba(tiny_folder: Path) -> TinyModel:
    """Recurrent: cannot join."""
    return write_mamba(tiny_folder / "mamba.gguf", seed=4)


@pytest.fixture(scope="session")
def tiny_lfm2(tiny_folder: Path) -> TinyModel:
    """Hybrid: cannot join."""
    return write_lfm2(tiny_folder / "lfm2.gguf", seed=5)


@pytest.fixture(scope="session")
def tiny_rwkv7(tiny_folder: Path) -> TinyModel:
    """Recurrent, without attention: cannot join."""
    return write_rwkv7(tiny_folder / "rwkv7.gguf", seed=8)


@pytest.fixture(scope="session")
def tiny_t5(tiny_folder: Path) -> TinyModel:
    """An encoder reads the prompt: cannot join."""
    return write_t5(tiny_folder / "t5.gguf", seed=1)


@pytest.fixture(scope="session")
def tiny_bert(tiny_folder: Path) -> TinyModel:
    """Makes embeddings: cannot decode."""
    return write_bert(tiny_folder / "bert.gguf", seed=9)


@pytest.fixture(scope="session")
def tiny_typable_markers(tiny_folder: Path) -> TinyModel:
    """Markers are USER_DEFINED tokens, which a user could type."""
    vocabulary = Vocabulary(markers="user_defined")
    return write_llama(tiny_folder / "user_defined.gguf", seed=6, vocabulary=vocabulary)


@pytest.fixture(scope="session")
def tiny_without_markers(tiny_folder: Path) -> TinyModel:
    return write_llama(tiny_folder / "no_markers.gguf", seed=7, vocabulary=Vocabulary(markers="absent"))


@pytest.fixture(scope="session")
def wide(tiny_folder: Path) -> TinyModel:
    """A llama whose rows have 256 weights, so that every type of weights fits them; a head of its own."""
    return write_wide(tiny_folder / "wide.gguf", seed=21)


@pytest.fixture(scope="session")
def wide_tied(tiny_folder: Path) -> TinyModel:
    """The same, its head being the table of the tokens' embeddings."""
    return write_wide(tiny_folder / "wide_tied.gguf", seed=22, tied=True)


@pytest.fixture(scope="session")
def requantised(wide: TinyModel, tiny_folder: Path) -> Callable[[str, str], Path]:
    """Writes `wide` with types of weights and of the head, each pair once."""

    def write(weights: str, head: str) -> Path:
        path = tiny_folder / f"wide_{weights}_{head}.gguf"
        if not path.exists():
            options = _core.QuantizeOptions()
            options.weights, options.head, options.n_threads = weights, head, 1
            _core.quantize(str(wide.path), str(path), options)
        return path

    return write


@pytest.fixture(scope="session")
def forking(tiny_folder: Path) -> TinyModel:
    """After the digit n it plans n branches; what they say, and what comes after, the context decides."""
    return write_scripted(tiny_folder / "forking.gguf", stories.forking("a", "bc", "def", "ghij"), seed=11)


@pytest.fixture(scope="session")
def storyteller(tiny_folder: Path) -> TinyModel:
    """After "1" it writes one text, always the same, with a block of three branches."""
    return write_scripted(tiny_folder / "storyteller.gguf", stories.fixed(), seed=13)
