"""Tiny models to train, and what makes samples for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_records import FILE

from aspd_local.train import Markers, SampleMaker, choose_markers, open_vocabulary
from tiny.files import TinyModel, write_llama
from tiny.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def plain_tiny(tiny_folder: Path) -> TinyModel:
    """A model whose vocabulary has no markers and no spare tokens."""
    return write_llama(tiny_folder / "plain.gguf", seed=3, vocabulary=Vocabulary(markers="absent"))


@pytest.fixture(scope="session")
def markers(tiny_llama: TinyModel) -> Markers:
    vocabulary = open_vocabulary(tiny_llama.path)
    return choose_markers(vocabulary.tokens(), vocabulary.template, FILE)


@pytest.fixture(scope="session")
def maker(tiny_llama: TinyModel, markers: Markers) -> SampleMaker:
    return SampleMaker(open_vocabulary(tiny_llama.path), markers, FILE, "sum")
