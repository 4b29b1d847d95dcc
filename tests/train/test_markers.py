"""Which tokens become markers."""

from __future__ import annotations

import pytest
from training_records import FILE

from aspd_local import ProtocolError
from aspd_local.train import choose_markers, open_vocabulary
from aspd_local.train.markers import TokenInfo
from tiny.files import TinyModel
from tiny.vocabulary import MARKERS


def words(*special: TokenInfo) -> list[TokenInfo]:
    return [*(TokenInfo(f"w{i}", "normal") for i in range(20)), *special]


def test_markers_that_are_there_are_used(tiny_llama: TinyModel) -> None:
    vocabulary = open_vocabulary(tiny_llama.path)
    found = choose_markers(vocabulary.tokens(), vocabulary.template, FILE)
    assert found.how == "present"
    assert set(found.spellings.values()) == set(MARKERS)
    assert found.n_new == 0


def test_unused_tokens_are_taken_over_before_those_with_a_name() -> None:
    named = [TokenInfo(f"<tool_{i}>", "control") for i in range(3)]
    spare = [TokenInfo(f"[PAD{i}]", "unused") for i in range(4)]
    found = choose_markers(words(*named, *spare), "", FILE)
    assert found.how == "taken over"
    assert sorted(found.ids.values()) == [20, 21, *range(23, 27)]


def test_tokens_with_a_task_or_in_the_template_are_not_taken() -> None:
    spare = [TokenInfo(f"<|reserved_{i}|>", "control") for i in range(6)]
    busy = [TokenInfo("<|eos|>", "control", True), TokenInfo("<|im_start|>", "control")]
    found = choose_markers(words(*busy, *spare), "x<|im_start|>y", FILE)
    assert sorted(found.ids.values()) == [*range(22, 28)]


def test_vocabulary_without_spare_tokens_grows(plain_tiny: TinyModel) -> None:
    vocabulary = open_vocabulary(plain_tiny.path)
    tokens = vocabulary.tokens()
    found = choose_markers(tokens, vocabulary.template, FILE)
    assert found.how == "new"
    assert sorted(found.ids.values()) == [*range(len(tokens), len(tokens) + 6)]
    assert found.n_new == 6


def test_marker_that_a_user_could_type_is_refused() -> None:
    tokens = words(*(TokenInfo(spelling, "user") for spelling in MARKERS))
    with pytest.raises(ProtocolError, match="no CONTROL token"):
        choose_markers(tokens, "", FILE)


def test_half_of_the_markers_is_refused() -> None:
    with pytest.raises(ProtocolError, match="some of the markers"):
        choose_markers(words(TokenInfo(MARKERS[0], "control")), "", FILE)
