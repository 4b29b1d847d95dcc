"""What was learnt as a GGUF file: an adapter (LoRA, the markers' rows, the protocol). NumPy, no PyTorch.

The file is a LoRA as llama.cpp reads it, with more metadata of ours (docs/training.md); `_core.merge` puts it
into a base. Source of names and of the order of rows: convert_lora_to_gguf.py and LlamaModel.permute of
llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aspd_local.errors import DataError, ModelError

Floats: TypeAlias = NDArray[np.float32]

_MATRICES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_LORA = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.(?:default\.)?weight$")
_ROPE_PAIRS = frozenset({"llama"})  # architectures whose rows of q and k llama.cpp keeps in another order


def write_adapter(run: Mapping[str, Any], weights: Mapping[str, Floats], base: Path, out: Path) -> None:
    """Writes the adapter of a run.

    Args:
        run: run.json of its folder. weights: weights.safetensors, by name.
        base: the GGUF file that it was trained on, or the same model as one.

    Raises:
        DataError: the run holds no LoRA.
        ModelError: base is no GGUF file, or the weights are of another model.
        OSError: out cannot be written.
    """
    from gguf import GGUFReader, GGUFWriter

    if base.is_dir():
        raise ModelError("an adapter names the tensors of a GGUF file: give the base as one", str(base))
    reader = GGUFReader(base)
    heads = Heads.read(reader)
    shapes = {tensor.name: tuple(int(n) for n in reversed(tensor.shape)) for tensor in reader.tensors}
    if run["config"]["method"] != "lora":
        raise DataError(out.name, "all weights were trained: there is no adapter")
    part = out.with_name(out.name + ".part")
    writer = GGUFWriter(part, heads.architecture)
    _write_metadata(writer, run, weights)
    n_matrices = 0
    for name, weight in weights.items():
        if name.endswith(".rows"):
            continue
        found = _LORA.search(name)
        if found is None or found[2] not in _MATRICES:
            raise DataError(out.name, f"{name!r} is no part of a LoRA")
        matrix, is_a = f"blk.{found[1]}.{_MATRICES[found[2]]}.weight", found[3] == "A"
        half = np.ascontiguousarray(weight, dtype=np.float32)
        if not is_a:
            half = heads.ordered(found[2], half)
        n_out, n_in = shapes.get(matrix, (0, 0))
        if half.shape[1 if is_a else 0] != (n_in if is_a else n_out):
            raise ModelError(f"the base has no matrix {matrix} of this shape: it is another model", str(base))
        _write_half(writer, f"{matrix}.lora_{found[3].lower()}", half)
        n_matrices += 1
    if n_matrices == 0:
        raise DataError(out.name, "the run holds no LoRA")
    finish(writer, part, out)


def write_markers(run: Mapping[str, Any], rows: Mapping[str, Floats], base: Path, out: Path) -> None:
    """Writes an adapter that changes no matrix: the protocol and the markers' rows [n_markers, n_embd] alone.

    rows: by names that end in ".rows", as add_adapter() names them. Raises OSError.
    """
    from gguf import GGUFReader, GGUFWriter

    writer = GGUFWriter(out, Heads.read(GGUFReader(base)).architecture)
    _write_metadata(writer, run, rows)
    finish(writer, out, out)


def finish(writer: Any, part: Path, out: Path) -> None:
    """Writes what a writer of gguf-py on part holds; the file is there whole or not at all."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(out)


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What the order of a matrix's rows in a GGUF file depends on."""

    architecture: str
    n_layers: int
    n_heads: int
    n_kv_heads: int

    @classmethod
    def read(cls, reader: Any) -> Heads:
        """From the metadata of a file, by gguf's reader."""
        architecture = _field(reader, "general.architecture")
        n_heads = int(_field(reader, f"{architecture}.attention.head_count"))
        n_kv_heads = int(_field(reader, f"{architecture}.attention.head_count_kv") or n_heads)
        n_layers = int(_field(reader, f"{architecture}.block_count"))
        return cls(architecture=architecture, n_layers=n_layers, n_heads=n_heads, n_kv_heads=n_kv_heads)

    def ordered(self, matrix: str, rows: Floats) -> Floats:
        """Rows [n_out, ...] of a matrix of this name in transformers, in the file's order."""
        if self.architecture not in _ROPE_PAIRS or matrix not in ("q_proj", "k_proj"):
            return rows
        return permuted(rows, self.n_heads if matrix == "q_proj" else self.n_kv_heads)


def _write_metadata(writer: Any, run: Mapping[str, Any], weights: Mapping[str, Floats]) -> None:
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(run["config"]["alpha"]))
    writer.add_string("aspd.protocol", run["protocol"])
    writer.add_string("aspd.join_rule", run["config"]["rule"])
    writer.add_string("aspd.base.sha256", run["base"]["sha256"])
    for name, token in run["markers"].items():
        writer.add_uint32(f"aspd.marker.{name}", int(token))
        writer.add_string(f"aspd.marker_spelling.{name}", run["spellings"][name])
    for name, rows in weights.items():
        if name.endswith(".rows"):
            key = "head" if "lm_head" in name else "embedding"
            writer.add_array(f"aspd.marker_rows.{key}", rows.astype(np.float32).ravel().tolist())


def _write_half(writer: Any, name: str, half: Floats) -> None:
    """In 8 bits where the rows are long enough, which is half of all numbers; else in 16."""
    from gguf import GGMLQuantizationType, quants

    if half.shape[1] % 32 == 0:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quants.quantize(half, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, half.astype(np.float16))


def permuted(rows: Floats, n_heads: int) -> Floats:
    """Rows [n_heads * d, ...] in llama.cpp's order: the two halves of each head interleaved."""
    shape = rows.shape
    halves = rows.reshape(n_heads, 2, shape[0] // n_heads // 2, *shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(shape))


def read_weights(folder: Path) -> dict[str, Floats]:
    """weights.safetensors of a run's folder. Raises DataError where there is none."""
    from safetensors.numpy import load_file

    path = folder / "weights.safetensors"
    if not path.exists():
        raise DataError(str(folder), "this run has learnt nothing yet")
    return load_file(path)


def _field(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()
