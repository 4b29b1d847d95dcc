"""Files written with other types of weights: from F32, F16, BF16 and quantised ones."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from aspd_local import Model, ModelError, _core
from driver import answer, request
from tiny import files
from tiny.files import TinyModel


def quantize(source: Path, path: Path, weights: str = "Q4_0", head: str = "Q6_K") -> None:
    options = _core.QuantizeOptions()
    options.weights, options.head, options.n_threads = weights, head, 1
    _core.quantize(str(source), str(path), options)


def types_of(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(path).tensors}


def check_decodes(path: Path) -> None:
    with Model(path, n_ctx=256, n_threads=1, n_threads_batch=1) as model:
        assert len(answer(model.engine, request([33, 34, 35], max_tokens=5)).layout.token_ids) == 5
        assert model.can_join


def recoded(source: Path, path: Path, kind: GGMLQuantizationType) -> Path:
    """The same model with its matrices in another type of floating-point numbers."""
    reader = GGUFReader(source)
    writer = GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], element)
    for tensor in reader.tensors:
        data = np.array(tensor.data)
        if data.ndim > 1:
            writer.add_tensor(tensor.name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(params=["F32", "F16", "BF16", "Q8_0", "Q4_K"])
def source(
    request: pytest.FixtureRequest,
    wide: TinyModel,
    requantised: Callable[[str, str], Path],
    tmp_path: Path,
) -> Path:
    if request.param == "F32":
        return wide.path
    if request.param in ("F16", "BF16"):
        return recoded(wide.path, tmp_path / "source.gguf", GGMLQuantizationType[request.param])
    return requantised(request.param, "Q6_K")


def test_the_written_file_has_the_types_and_decodes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    quantize(source, out, "Q4_0", "Q8_0")
    types = types_of(out)
    assert types["output.weight"] == "Q8_0"
    matrices = {name for name in types if name.startswith("blk.") and not name.endswith("_norm.weight")}
    assert {types[name] for name in matrices} == {"Q4_0"}
    assert types["blk.0.attn_norm.weight"] == "F32"
    check_decodes(out)


@pytest.mark.parametrize("weights", [kind.name for kind in _core.weight_types()])
def test_every_type_can_be_written_and_decodes(wide: TinyModel, tmp_path: Path, weights: str) -> None:
    out = tmp_path / "out.gguf"
    quantize(wide.path, out, weights, weights)
    assert types_of(out)["output.weight"] == weights
    assert _core.summarize_weights(str(out)).weights == weights
    check_decodes(out)


def test_a_head_that_is_the_table_of_embeddings_gets_the_heads_type(
    wide_tied: TinyModel, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    quantize(wide_tied.path, out, "Q4_0", "Q8_0")
    assert types_of(out)["token_embd.weight"] == "Q8_0"
    summary = _core.summarize_weights(str(out))
    assert (summary.tied, summary.weights, summary.head) == (True, "Q4_0", "Q8_0")
    check_decodes(out)


def test_a_quantised_table_that_is_not_the_head_stays_as_it_is(
    requantised: Callable[[str, str], Path], tmp_path: Path
) -> None:
    before, out = requantised("Q8_0", "Q6_K"), tmp_path / "out.gguf"
    quantize(before, out, "Q4_0", "Q4_0")

    def table(path: Path) -> bytes:
        return next(t for t in GGUFReader(path).tensors if t.name == "token_embd.weight").data.tobytes()

    assert types_of(before)["token_embd.weight"] == "Q8_0"
    assert table(out) == table(before)


def test_the_values_are_those_of_the_source(wide: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    quantize(wide.path, out, "Q8_0", "Q8_0")
    before = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(wide.path).tensors}
    for tensor in GGUFReader(out).tensors:
        after = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_allclose(after, before[tensor.name], atol=0.01 * np.abs(before[tensor.name]).max())


def test_summary_tells_what_is_in_the_file(wide: TinyModel, requantised: Callable[[str, str], Path]) -> None:
    n_vocab = len(wide.vocabulary)
    plain = _core.summarize_weights(str(wide.path))
    assert (plain.weights, plain.head, plain.quantised, plain.tied) == ("F32", "F32", False, False)
    assert plain.n_weights == 256 * n_vocab + 2 * 7 * 256 * 256
    assert (plain.n_head, plain.head_row, dict(plain.rows)) == (256 * n_vocab, 256, {256: plain.n_weights})
    assert plain.other_bytes + 4 * (plain.n_weights + plain.n_head) == wide.path.stat().st_size
    small = _core.summarize_weights(str(requantised("Q4_0", "Q6_K")))
    assert (small.weights, small.head, small.quantised) == ("Q4_0", "Q6_K", True)
    assert (small.weight_bits, small.head_bits) == (4.5, 6.5625)


def test_a_file_of_another_alignment_is_written_with_llama_cpps(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def aligned(path: Path, architecture: str) -> GGUFWriter:
        writer = GGUFWriter(path, architecture)
        writer.add_custom_alignment(128)
        return writer

    monkeypatch.setattr(files, "GGUFWriter", aligned)
    source = files.write_wide(tiny_folder / "aligned.gguf", seed=23)
    assert _core.check_gguf(str(source.path)).alignment == 128
    out = tmp_path / "out.gguf"
    quantize(source.path, out)
    assert _core.check_gguf(str(out)).alignment == 32
    check_decodes(out)


# --- what cannot be -----------------------------------------------------------------------------------------


def test_a_split_model_is_refused(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def split(path: Path, architecture: str) -> GGUFWriter:
        return GGUFWriter(path, architecture, split_max_tensors=8)

    monkeypatch.setattr(files, "GGUFWriter", split)
    files.write_wide(tiny_folder / "split.gguf", seed=24)
    first = sorted(tiny_folder.glob("split-00001-of-*.gguf"))[0]
    with pytest.raises(ModelError, match=r"split into \d files") as caught:
        quantize(first, tmp_path / "out.gguf")
    assert caught.value.path == str(first)
    assert list(tmp_path.iterdir()) == []


def test_a_matrix_of_four_dimensions_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    model = files.write_wide(tiny_folder / "four.gguf")
    tensors = files.random_tensors(model, 25)
    tensors["blk.0.odd.weight"] = np.zeros((2, 2, 2, 256), np.float32)
    files.write_llama_tensors(model, tensors)
    with pytest.raises(ModelError, match=r"'blk\.0\.odd\.weight' has four dimensions"):
        quantize(model.path, tmp_path / "out.gguf")


def test_weights_that_are_no_numbers_are_refused_and_leave_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    model = files.write_wide(tiny_folder / "nan.gguf")
    tensors = files.random_tensors(model, 26)
    tensors["blk.1.ffn_down.weight"][3, 5] = np.nan
    files.write_llama_tensors(model, tensors)
    with pytest.raises(ModelError, match="cannot quantise it"):
        quantize(model.path, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_not_written_over_itself(wide: TinyModel, tmp_path: Path) -> None:
    before = wide.path.read_bytes()
    link = tmp_path / "link.gguf"
    link.symlink_to(wide.path)
    for out in (wide.path, link):
        with pytest.raises(ValueError, match="over itself"):
            quantize(wide.path, out)
    assert wide.path.read_bytes() == before


@pytest.mark.parametrize(("weights", "head"), [("Q4_9", "Q4_0"), ("Q4_0", "F32"), ("", "Q4_0")])
def test_unknown_types_are_refused(wide: TinyModel, tmp_path: Path, weights: str, head: str) -> None:
    with pytest.raises(ValueError, match="unknown type"):
        quantize(wide.path, tmp_path / "out.gguf", weights, head)


def test_a_head_that_a_type_does_not_divide_is_refused(tiny_llama: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows of 64 weights, Q6_K needs a multiple of 256"):
        quantize(tiny_llama.path, tmp_path / "out.gguf", "Q4_0", "Q6_K")


def test_a_missing_source_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        quantize(tmp_path / "none.gguf", tmp_path / "out.gguf")


def test_a_folder_that_is_missing_is_an_os_error(wide: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        quantize(wide.path, tmp_path / "none" / "out.gguf")
    assert caught.value.filename == str(tmp_path / "none" / "out.gguf")


def test_a_disk_that_fills_up_is_an_os_error_and_leaves_nothing(wide: TinyModel, tmp_path: Path) -> None:
    limited = (
        "import resource, sys; from aspd_local import _core\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try: _core.quantize(sys.argv[1], sys.argv[2], _core.QuantizeOptions())\n"
        "except OSError as error: print(error.strerror)"
    )
    command = [sys.executable, "-c", limited, str(wide.path), str(tmp_path / "out.gguf")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert list(tmp_path.iterdir()) == []


# --- stopping -----------------------------------------------------------------------------------------------


class StopError(Exception):
    pass


def slow() -> _core.QuantizeOptions:
    options = _core.QuantizeOptions()
    options.weights, options.head, options.n_threads = "Q4_K", "Q4_K", 1
    return options


def test_progress_goes_up_to_the_last_tensor(large: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    _core.quantize(str(large), str(tmp_path / "out.gguf"), slow(), seen.append)
    assert seen == sorted(seen)
    assert seen[0] < 0.5 < seen[-1] <= 1


def test_what_progress_raises_stops_it_and_leaves_nothing(large: Path, tmp_path: Path) -> None:
    def stop(done: float) -> None:
        if done > 0:
            raise StopError

    with pytest.raises(StopError):
        _core.quantize(str(large), str(tmp_path / "out.gguf"), slow(), stop)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_stops_it_and_leaves_nothing(large: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    seen: list[bool] = []

    def press(done: float) -> None:
        if done > 0 and not seen:
            seen.append(out.exists())
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        _core.quantize(str(large), str(out), slow(), press)
    assert seen == [True]
    assert list(tmp_path.iterdir()) == []
    quantize(large, out)  # what was cancelled before does not stop the next


@pytest.fixture(scope="module")
def large(tiny_folder: Path) -> Path:
    """Takes long enough to quantise that progress is asked for in the midst of it."""
    return files.write_wide(tiny_folder / "large.gguf", seed=27, n_layers=12).path


def test_two_threads_quantise_at_once(wide: TinyModel, wide_tied: TinyModel, tmp_path: Path) -> None:
    sources = {"a": wide.path, "b": wide_tied.path}
    threads = [
        threading.Thread(target=quantize, args=(source, tmp_path / name)) for name, source in sources.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, source in sources.items():
        quantize(source, tmp_path / f"{name}-alone")
        assert (tmp_path / name).read_bytes() == (tmp_path / f"{name}-alone").read_bytes()
