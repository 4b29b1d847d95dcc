"""Writes a quantised GGUF file as F16, BF16 or F32: a stand-in for the file that it was quantised from.

What quantising has cost stays lost. Such a file tells whether programs that want an unquantised source work.

    python bench/dequantise.py MODEL -o FILE.gguf [--type f16]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import comparison
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize
from shapes import add_field

TYPES = {
    "f16": LlamaFileType.MOSTLY_F16,
    "bf16": LlamaFileType.MOSTLY_BF16,
    "f32": LlamaFileType.ALL_F32,
}
_SET_ANEW = ("general.architecture", "general.file_type", "general.quantization_version")


def write(source: Path, path: Path, kind: str) -> None:
    """Writes the source with matrices of another type, one of TYPES; the rest is taken as it is."""
    reader = GGUFReader(source)
    wanted = GGMLQuantizationType[kind.upper()]
    writer = GGUFWriter(path, str(reader.fields["general.architecture"].contents()))
    writer.add_file_type(TYPES[kind])
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in _SET_ANEW:
            add_field(writer, field)
    types = [wanted if len(tensor.shape) > 1 else tensor.tensor_type for tensor in reader.tensors]
    for tensor, new in zip(reader.tensors, types, strict=True):
        size = 4 if new == GGMLQuantizationType.F32 else 2
        shape = tensor.shape[::-1].tolist()
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), size * int(tensor.n_elements), new)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, new in zip(reader.tensors, types, strict=True):
        writer.write_tensor_data(quantize(dequantize(tensor.data, tensor.tensor_type), new))
    writer.close()


def main() -> None:
    """Writes the file that was asked for."""
    from aspd_local import sources

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", help="a path, or a name of `aspd models list`")
    parser.add_argument("--out", "-o", type=Path, required=True, metavar="FILE", help="is replaced")
    parser.add_argument("--type", choices=TYPES, default="f16", help="of the matrices")
    args = parser.parse_args()
    write(sources.resolve(args.model), args.out, args.type)
    comparison.progress(f"{args.out}: {args.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
