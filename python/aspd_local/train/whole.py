"""A run that trained all weights as a GGUF file: the base's metadata, the markers, every tensor anew.

Source of the order of rows: LlamaModel.permute of llama.cpp (convert_hf_to_gguf.py); of names: TensorNameMap
of gguf-py. What transformers loads from the base must be the base's tensors in that order, else the run is
refused: some architectures are converted in other ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aspd_local import _core
from aspd_local.errors import DataError, ModelError
from aspd_local.train.export import Floats, Heads, finish, write_markers

_TOLERANCE = 1e-3  # of a tensor's largest number: that of 16 bits


def write_whole(run: Mapping[str, Any], weights: Mapping[str, Floats], base: Path, out: Path) -> None:
    """Writes the trained model in 16 bits.

    Args:
        run: run.json of its folder. weights: weights.safetensors, by name.
        base: the GGUF file that it was trained on, or the same model as one.
        out: the file to write; what is written in between lies beside it.

    Raises:
        ModelError: base is no GGUF file or of another model, or its architecture is converted in a way
            that is not known here.
        DataError: a tensor of the model was not trained.
        OSError: out cannot be written.
    """
    from gguf import GGUFReader

    if base.is_dir():
        raise ModelError(
            "metadata and names of tensors come from a GGUF file: give the base as one", str(base)
        )
    markers, marked = out.with_name(out.name + ".markers"), out.with_name(out.name + ".marked")
    try:
        write_markers(run, _marker_rows(run, weights), base, markers)
        _core.merge(str(base), str(markers), str(marked))
        reader = GGUFReader(marked)
        renamed = _Renaming(reader, base)
        renamed.check(GGUFReader(base))
        _write(reader, renamed.tensors(weights), out)
    finally:
        markers.unlink(missing_ok=True)
        marked.unlink(missing_ok=True)


def _marker_rows(run: Mapping[str, Any], weights: Mapping[str, Floats]) -> dict[str, Floats]:
    """Rows of the markers, by ascending token id, as a LoRA run keeps them."""
    ids = sorted(run["markers"].values())
    tables = ("embed_tokens.weight", "lm_head.weight")
    return {f"{name}.rows": table[ids] for name, table in weights.items() if name.endswith(tables)}


class _Renaming:
    """From names and order of rows of transformers to those of a GGUF file."""

    def __init__(self, reader: Any, base: Path) -> None:
        import gguf

        self._base = base
        self._heads = Heads.read(reader)
        self._shapes = {each.name: tuple(int(n) for n in reversed(each.shape)) for each in reader.tensors}
        kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
        if self._heads.architecture not in kinds:
            raise ModelError(f"unknown architecture {self._heads.architecture!r}", str(base))
        self._map = gguf.get_tensor_name_map(kinds[self._heads.architecture], self._heads.n_layers)

    def check(self, reader: Any) -> None:
        """Does transformers load what the base holds? Raises ModelError where not."""
        from gguf import quants

        from aspd_local.train.network import load_base

        loaded = {name: tensor.numpy() for name, tensor in load_base(self._base).state_dict().items()}
        expected = self._renamed(loaded)
        for tensor in reader.tensors:
            held = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            found = expected.get(tensor.name)
            if found is None or found.shape != held.shape:
                continue  # tensors() says so, should it be missing
            if np.abs(found - held).max() > _TOLERANCE * np.abs(held).max():
                raise ModelError(
                    f"{tensor.name} is converted in a way that is not known here: train a LoRA",
                    str(self._base),
                )

    def tensors(self, weights: Mapping[str, Floats]) -> dict[str, Floats]:
        """The trained weights, by the names of the GGUF file.

        Raises:
            DataError: one is missing. ModelError: one has another shape than in the base.
        """
        renamed = self._renamed(weights)
        found = {}
        for name, shape in self._shapes.items():
            if name not in renamed and name == "output.weight":  # one table, which the base holds twice
                renamed[name] = renamed["token_embd.weight"]
            if name not in renamed:
                if name == "rope_freqs.weight":
                    continue  # computed, not trained
                raise DataError(str(self._base), f"the run has no weights for {name}")
            if renamed[name].shape != shape:
                raise ModelError(f"{name} has another shape in the run: it is another model", str(self._base))
            found[name] = renamed[name]
        return found

    def _renamed(self, weights: Mapping[str, Floats]) -> dict[str, Floats]:
        named = {}
        for name, weight in weights.items():
            to = self._map.get_name(name, try_suffixes=(".weight", ".bias"))
            if to is None:
                raise ModelError(f"no name for {name!r} in a GGUF file", str(self._base))
            stem = name.rsplit(".", 2)[-2]
            named[to] = self._heads.ordered(stem, np.ascontiguousarray(weight, dtype=np.float32))
        return named


def _write(reader: Any, tensors: Mapping[str, Floats], out: Path) -> None:
    """Metadata as in the reader's file, matrices in F16, vectors in F32, all else as it was."""
    from gguf import GGUFValueType, GGUFWriter

    part = out.with_name(out.name + ".part")
    architecture = reader.get_field("general.architecture").contents()
    writer = GGUFWriter(part, architecture)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        of = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=of)
    for tensor in reader.tensors:
        weight = tensors.get(tensor.name)
        if weight is None:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        else:
            writer.add_tensor(tensor.name, weight.astype(np.float16) if weight.ndim > 1 else weight)
    finish(writer, part, out)
