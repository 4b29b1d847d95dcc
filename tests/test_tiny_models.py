"""The tiny models are what the other tests take them for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local import _core
from aspd_local.layout import Trunk, lay_out, mask
from driver import answer, logits, open_engine, request
from tiny import stories
from tiny.files import TinyModel
from tiny.forward import NumpyModel
from tiny.vocabulary import EOS, MARKERS, TURN_END

TEXT = f"Hello {MARKERS[0]}the king's{MARKERS[1]} 12 and so\non →"


@pytest.fixture(scope="module")
def model(tiny_llama: TinyModel) -> _core.Model:
    return _core.Model.load(str(tiny_llama.path), _core.ModelOptions())


def test_vocabulary_encodes_as_llama_cpp_does(model: _core.Model, tiny_llama: TinyModel) -> None:
    assert model.tokenize(TEXT, True) == tiny_llama.vocabulary.encode(TEXT)
    assert tiny_llama.vocabulary.decode(tiny_llama.vocabulary.encode(TEXT)) == TEXT


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_vocabulary_encodes_ascii_as_llama_cpp_does(
    model: _core.Model, tiny_llama: TinyModel, text: str
) -> None:
    assert model.tokenize(text, False) == tiny_llama.vocabulary.encode(text)


def test_markers_are_control_tokens(model: _core.Model, tiny_llama: TinyModel) -> None:
    assert all(model.is_control(tiny_llama.vocabulary[marker]) for marker in MARKERS)
    assert not any(model.is_eog(tiny_llama.vocabulary[marker]) for marker in MARKERS)


def test_end_of_text_and_end_of_turn_end_a_generation(model: _core.Model, tiny_llama: TinyModel) -> None:
    vocabulary = tiny_llama.vocabulary
    assert model.eos == vocabulary[EOS]
    assert [token for token in range(len(vocabulary)) if model.is_eog(token)] == [
        vocabulary[EOS],
        vocabulary[TURN_END],
    ]


def test_typable_markers_are_not_control_tokens(tiny_typable_markers: TinyModel) -> None:
    model = _core.Model.load(str(tiny_typable_markers.path), _core.ModelOptions())
    assert not any(model.is_control(tiny_typable_markers.vocabulary[marker]) for marker in MARKERS)
    assert model.tokenize(MARKERS[0], False) == [tiny_typable_markers.vocabulary[MARKERS[0]]]


def test_model_without_markers_has_none(tiny_without_markers: TinyModel) -> None:
    model = _core.Model.load(str(tiny_without_markers.path), _core.ModelOptions())
    assert all(model.find_token(marker) is None for marker in MARKERS)


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen2", "tiny_cohere2", "storyteller"])
def test_forward_pass_equals_the_engine_on_plain_text(request: pytest.FixtureRequest, name: str) -> None:
    tiny: TinyModel = request.getfixturevalue(name)
    layout = lay_out([Trunk(tiny.vocabulary.encode(TEXT))], "sum")
    expected = NumpyModel(tiny).logits(layout.token_ids, layout.positions, mask(layout, "sum"))
    rows = logits(open_engine(tiny), layout)
    assert np.abs(rows - expected).max() <= 1e-5 * np.abs(expected).max()


def test_scripted_model_writes_its_text(storyteller: TinyModel) -> None:
    vocabulary = storyteller.vocabulary
    result = answer(open_engine(storyteller), request(vocabulary.encode("Tell me: 1")))
    told = f"Hm{stories.block(stories.STORY)}{stories.STORY_END}"
    assert vocabulary.decode(result.layout.token_ids) == told
