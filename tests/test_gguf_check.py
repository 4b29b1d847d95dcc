"""The strict reader through the module: files of the gguf package, good ones and bad ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from aspd_local import Model, ModelError, _core
from tiny.files import TinyModel

Change = Callable[[GGUFWriter], None]


@pytest.fixture
def rewritten(tiny_llama: TinyModel, tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny model again without some keys and with others."""

    def rewrite(change: Change, *, without: tuple[str, ...] = ()) -> Path:
        path = tmp_path / "changed.gguf"
        reader = GGUFReader(tiny_llama.path)
        writer = GGUFWriter(path, "llama")
        for key, value in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture" or key in without:
                continue
            kind = value.types[0]
            element = value.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, value.contents(), kind, element)
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, tensor.data)
        change(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return rewrite


def refusal(path: Path) -> str:
    """What the reader says; a load says the same and nothing worse happens."""
    with pytest.raises(ModelError) as error:
        _core.check_gguf(str(path))
    assert error.value.path == str(path)
    with pytest.raises(ModelError) as loading:
        Model(path)
    assert str(loading.value) == str(error.value)
    return str(error.value)


def test_summary_says_what_is_in_the_file(tiny_llama: TinyModel) -> None:
    summary = _core.check_gguf(str(tiny_llama.path))
    tensors = GGUFReader(tiny_llama.path).tensors
    assert summary.architecture == "llama"
    assert summary.version == 3
    assert summary.n_tensors == len(tensors)
    assert summary.n_vocab == len(tiny_llama.vocabulary)
    assert summary.file_size == tiny_llama.path.stat().st_size
    assert summary.alignment == 32
    assert summary.quantisation == {"f32": len(tensors)}
    assert "llama" in repr(summary)


@pytest.mark.parametrize(
    "name", ["llama", "qwen2", "cohere2", "mamba", "lfm2", "rwkv7", "t5", "bert", "typable_markers"]
)
def test_files_that_load_are_accepted(name: str, request: pytest.FixtureRequest) -> None:
    tiny: TinyModel = request.getfixturevalue(f"tiny_{name}")
    assert _core.check_gguf(str(tiny.path)).n_tensors > 0


def test_unchanged_rewriting_is_accepted(rewritten: Callable[..., Path]) -> None:
    assert _core.check_gguf(str(rewritten(lambda _: None))).n_tensors > 0


def test_missing_file_and_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.gguf", tmp_path):
        with pytest.raises(ModelError) as error:
            _core.check_gguf(str(path))
        assert error.value.path == str(path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"Once upon a time there was a model.", "text file"),
        (b"<!DOCTYPE html><html>Not Found</html>", "text file"),
        (b"GGUF\x03", "cut"),
        (b"GGUF\x01\0\0\0" + bytes(40), "version 1"),
        (b"GGUF\0\0\0\x03" + bytes(40), "big-endian"),
        (bytes(1000), "zero bytes"),
    ],
)
def test_other_files_are_refused(content: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert part in refusal(path)


@pytest.mark.parametrize("tenth", range(10))
def test_cut_file_is_refused(tenth: int, tiny_llama: TinyModel, tmp_path: Path) -> None:
    whole = tiny_llama.path.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: 30 + tenth * (len(whole) - 31) // 9])
    assert "cut" in refusal(path)


@pytest.mark.parametrize(
    ("key", "change", "part"),
    [
        ("llama.block_count", lambda w: w.add_block_count(513), "from 1 to 512"),
        ("llama.context_length", lambda w: w.add_context_length(0), "context_length"),
        ("llama.attention.head_count", lambda w: w.add_head_count(0), "head_count"),
        ("llama.attention.head_count_kv", lambda w: w.add_head_count_kv(3), "multiple of the 3"),
        ("llama.rope.dimension_count", lambda w: w.add_rope_dimension_count(7), "size of a key"),
        ("llama.attention.layer_norm_rms_epsilon", lambda w: w.add_layer_norm_rms_eps(-1.0), "epsilon"),
        ("llama.expert_count", lambda w: w.add_expert_count(4), "expert_used_count"),
        ("llama.rope.scaling.type", lambda w: w.add_string("llama.rope.scaling.type", "su"), "'su'"),
        ("tokenizer.ggml.token_type", lambda w: w.add_token_types([1, 1]), "2 entries"),
        ("tokenizer.ggml.scores", lambda w: w.add_token_scores([0.0]), "1 entries"),
        ("tokenizer.ggml.tokens", lambda w: w.add_token_list(["a"] * 302), "are both 'a'"),
        ("tokenizer.ggml.eos_token_id", lambda w: w.add_eos_token_id(99999), "names token 99999"),
        ("general.alignment", lambda w: w.add_uint32("general.alignment", 48), "power of two"),
        ("general.type", lambda w: w.add_type("adapter"), "LoRA"),
    ],
)
def test_metadata_that_llama_cpp_aborts_on_is_refused(
    key: str, change: Change, part: str, rewritten: Callable[..., Path]
) -> None:
    assert part in refusal(rewritten(change, without=(key,)))


def test_reader_needs_no_second(tiny_llama: TinyModel) -> None:
    start = time.perf_counter()
    _core.check_gguf(str(tiny_llama.path))
    assert time.perf_counter() - start < 1
