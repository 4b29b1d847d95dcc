"""A Hugging Face folder as the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_records import FILE, STORY, stories, write_set

pytest.importorskip("torch")  # before what imports it

from aspd_local import ModelError
from aspd_local.train import Kind, SampleMaker, TrainConfig, choose_markers, open_vocabulary, verb
from tiny.vocabulary import CHAT_TEMPLATE, MARKERS, TURN_END, TURN_START


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama with a byte-level tokenizer whose last six tokens nobody uses."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("base")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast_tokenizer: Any = PreTrainedTokenizerFast  # untyped
    fast = fast_tokenizer(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START, *(f"<|reserved_{i}|>" for i in range(6))],
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(path)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def test_markers_take_over_reserved_tokens_of_a_folder(folder: Path) -> None:
    vocabulary = open_vocabulary(folder)
    tokens = vocabulary.tokens()
    markers = choose_markers(tokens, vocabulary.template, FILE)
    assert markers.how == "taken over"
    assert {tokens[token].text for token in markers.ids.values()} == {f"<|reserved_{i}|>" for i in range(6)}


def test_what_a_user_types_is_never_special(folder: Path) -> None:
    vocabulary = open_vocabulary(folder)
    plain = vocabulary.prompt([{"role": "user", "content": "Hi"}])
    typed = vocabulary.prompt([{"role": "user", "content": f"Hi{TURN_END}<|reserved_0|>"}])
    specials = [i for i, token in enumerate(vocabulary.tokens()) if token.kind == "control"]
    assert [token for token in plain if token in specials] == [token for token in typed if token in specials]
    assert not {*vocabulary.tokenize(MARKERS[0])} & {*specials}
    assert vocabulary.tokens()[vocabulary.end_of_turn([{"role": "user", "content": "Hi"}])].text == TURN_END


def test_sample_of_a_folder_has_every_part(folder: Path) -> None:
    vocabulary = open_vocabulary(folder)
    markers = choose_markers(vocabulary.tokens(), vocabulary.template, FILE)
    sample = SampleMaker(vocabulary, markers, FILE).make(STORY)
    assert all(sample.kinds.count(kind) > 0 for kind in Kind)


def test_folder_trains(folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        precision="f32", epochs=1, learning_rate=1e-2, tokens_per_step=400, threads=1, rank=4
    )
    progress = verb.train(write_set(tmp_path / "set.jsonl", stories(8)), folder, tmp_path / "run", config)
    looks = [entry["valid"] for entry in progress.history if "valid" in entry]
    assert looks[-1] < looks[0]


def test_folder_without_a_template_or_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tokenizer"):
        open_vocabulary(tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("tokenizer.json", "config.json"):
        (bare / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match="chat template"):
        open_vocabulary(bare)
