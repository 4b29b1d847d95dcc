"""Writes a GGUF file with random weights in the shape of a known model: what a step costs does not depend on
what the weights say.

The vocabulary is that of a real model, filled up with unused tokens to the size of the shape's own, so that
text is cut into real tokens; what such a model writes means nothing.

    python bench/shapes.py {135m,1.5b,8b} -o FILE.gguf [--type q4_0] [--head TYPE] [--vocabulary MODEL]

Weights are drawn once and repeated from another place on for each tensor: rows differ, and the disk decides
how long writing takes. Matrices keep a vector's length in the mean, so logits stay finite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import comparison
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, ReaderField, TokenType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quantize
from numpy.typing import NDArray

TYPES = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "f16", "bf16", "f32")  # those that gguf can write

_UNIT = 32  # weights that are drawn together: a block of every type
_PERIOD = 2**19 - 1  # such units; a prime, so that rows do not begin at the same place again

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a model of llama's or qwen2's architecture. tied: the head is the table of tokens."""

    architecture: str
    n_layers: int
    n_embd: int
    n_ff: int
    n_heads: int
    n_kv_heads: int
    n_head_dim: int
    n_vocab: int
    n_ctx: int
    rope_base: float
    norm_epsilon: float
    tied: bool

    def matrices(self) -> Iterator[tuple[str, int, int]]:
        """Name, rows and length of a row of each matrix but the head's."""
        n_q, n_kv = self.n_heads * self.n_head_dim, self.n_kv_heads * self.n_head_dim
        for layer in range(self.n_layers):
            yield f"blk.{layer}.attn_q.weight", n_q, self.n_embd
            yield f"blk.{layer}.attn_k.weight", n_kv, self.n_embd
            yield f"blk.{layer}.attn_v.weight", n_kv, self.n_embd
            yield f"blk.{layer}.attn_output.weight", self.n_embd, n_q
            yield f"blk.{layer}.ffn_gate.weight", self.n_ff, self.n_embd
            yield f"blk.{layer}.ffn_up.weight", self.n_ff, self.n_embd
            yield f"blk.{layer}.ffn_down.weight", self.n_embd, self.n_ff

    def vectors(self) -> Iterator[tuple[str, int]]:
        """Name and length of each vector: norms, and the biases of qwen2."""
        yield "output_norm.weight", self.n_embd
        for layer in range(self.n_layers):
            yield f"blk.{layer}.attn_norm.weight", self.n_embd
            yield f"blk.{layer}.ffn_norm.weight", self.n_embd
            if self.architecture == "qwen2":
                yield f"blk.{layer}.attn_q.bias", self.n_heads * self.n_head_dim
                yield f"blk.{layer}.attn_k.bias", self.n_kv_heads * self.n_head_dim
                yield f"blk.{layer}.attn_v.bias", self.n_kv_heads * self.n_head_dim


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "135m": Shape(  # SmolLM2 135M
            architecture="llama",
            n_layers=30,
            n_embd=576,
            n_ff=1536,
            n_heads=9,
            n_kv_heads=3,
            n_head_dim=64,
            n_vocab=49_152,
            n_ctx=8192,
            rope_base=100_000.0,
            norm_epsilon=1e-5,
            tied=True,
        ),
        "1.5b": Shape(  # Qwen2.5 1.5B
            architecture="qwen2",
            n_layers=28,
            n_embd=1536,
            n_ff=8960,
            n_heads=12,
            n_kv_heads=2,
            n_head_dim=128,
            n_vocab=151_936,
            n_ctx=32_768,
            rope_base=1_000_000.0,
            norm_epsilon=1e-6,
            tied=True,
        ),
        "8b": Shape(  # Llama 3.1 8B
            architecture="llama",
            n_layers=32,
            n_embd=4096,
            n_ff=14_336,
            n_heads=32,
            n_kv_heads=8,
            n_head_dim=128,
            n_vocab=128_256,
            n_ctx=131_072,
            rope_base=500_000.0,
            norm_epsilon=1e-5,
            tied=False,
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the matrices are filled with.

    kind: their type, one of TYPES. head: type of the one that gives the logits; empty: as the others.
    seed: the same one gives the same bytes.
    """

    kind: str = "q4_0"
    head: str = ""
    seed: int = 0


class Pool:
    """Random weights, drawn once for each type and length of a row."""

    def __init__(self, seed: int) -> None:
        self._seed, self._period = seed, _PERIOD
        self._drawn: dict[tuple[str, int], Bytes] = {}
        self._starts = np.random.default_rng(seed)

    def matrix(self, kind: str, n_rows: int, n_row: int) -> Bytes:
        """The bytes of a matrix, [n_rows, bytes of a row]. Raises ValueError unless rows are whole units."""
        if n_row % _UNIT:
            raise ValueError(f"rows of {n_row} weights are no multiple of {_UNIT}")
        if (kind, n_row) not in self._drawn:
            self._drawn[kind, n_row] = self._draw(kind, n_row)
        units = self._drawn[kind, n_row]
        n_units = n_rows * n_row // _UNIT
        start = int(self._starts.integers(self._period))
        data = np.empty((n_units, units.shape[1]), dtype=np.uint8)
        for begin in range(-start, n_units, self._period):
            first, end = max(begin, 0), min(begin + self._period, n_units)
            data[first:end] = units[first - begin : end - begin]
        return data.reshape(n_rows, -1)

    def _draw(self, kind: str, n_row: int) -> Bytes:
        random = np.random.default_rng([self._seed, n_row])
        weights = random.standard_normal((self._period, _UNIT), dtype=np.float32) * n_row**-0.5
        return quantize(weights, _type_of(kind)).view(np.uint8).reshape(self._period, -1)


def write(path: Path, shape: Shape, weights: Weights, vocabulary: Path) -> None:
    """Writes the file, whole or not at all; one that is there is replaced.

    vocabulary: a GGUF file; its vocabulary is taken as it is, chat template included.

    Raises:
        ValueError: no known type, a vocabulary that is larger than the shape's, or rows that do not fit.
        DiskFullError: there is no room.
    """
    from aspd_local.sources.store import publish, require_space

    kind, head = weights.kind, weights.head or weights.kind
    matrices = {"token_embd.weight": (head if shape.tied else kind, shape.n_vocab, shape.n_embd)}
    if not shape.tied:
        matrices["output.weight"] = (head, shape.n_vocab, shape.n_embd)
    matrices |= {name: (kind, n_rows, n_row) for name, n_rows, n_row in shape.matrices()}
    require_space(str(path), path.parent, sum(_n_bytes(*matrix) for matrix in matrices.values()))

    incomplete, float32 = path.with_name(f".{path.name}.incomplete"), np.dtype(np.float32)
    writer = GGUFWriter(incomplete, shape.architecture)
    try:
        _add_keys(writer, shape)
        _add_vocabulary(writer, vocabulary, shape.n_vocab)
        for name, matrix in matrices.items():
            of_matrix, *size = matrix
            writer.add_tensor_info(name, size, float32, _n_bytes(*matrix), _type_of(of_matrix))
        vectors = dict(shape.vectors())
        for name, n in vectors.items():
            writer.add_tensor_info(name, (n,), float32, 4 * n)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        pool = Pool(weights.seed)
        for matrix in matrices.values():
            writer.write_tensor_data(pool.matrix(*matrix))
        for name, n in vectors.items():
            writer.write_tensor_data(np.full(n, float(name.endswith("norm.weight")), dtype=np.float32))
        writer.close()
        publish(incomplete, path)
    finally:
        incomplete.unlink(missing_ok=True)


def add_field(writer: GGUFWriter, field: ReaderField, more: Sequence[Any] = ()) -> None:
    """A key of another file, with more values at the end of its array."""
    value, inner = field.contents(), None
    if field.types[0] == GGUFValueType.ARRAY:
        value, inner = [*value, *more], field.types[-1]
    writer.add_key_value(field.name, value, field.types[0], sub_type=inner)


def _type_of(kind: str) -> GGMLQuantizationType:
    if kind not in TYPES:
        raise ValueError(f"unknown type {kind!r}: one of {', '.join(TYPES)}")
    return GGMLQuantizationType[kind.upper()]


def _n_bytes(kind: str, n_rows: int, n_row: int) -> int:
    block, size = GGML_QUANT_SIZES[_type_of(kind)]
    return n_rows * n_row // block * size


def _add_keys(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_name("random weights")
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(shape.n_head_dim)
    writer.add_value_length(shape.n_head_dim)
    writer.add_rope_dimension_count(shape.n_head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.n_vocab)


def _add_vocabulary(writer: GGUFWriter, source: Path, n_vocab: int) -> None:
    fields = {
        name: field for name, field in GGUFReader(source).fields.items() if name.startswith("tokenizer.")
    }
    if "tokenizer.ggml.tokens" not in fields:
        raise ValueError(f"{source}: no vocabulary")
    n_missing = n_vocab - len(fields["tokenizer.ggml.tokens"].data)
    if n_missing < 0:
        raise ValueError(f"{source}: its vocabulary has {-n_missing} tokens more than the shape's {n_vocab}")
    more: dict[str, Sequence[Any]] = {
        "tokenizer.ggml.tokens": [f"<|unused_{i}|>" for i in range(n_missing)],
        "tokenizer.ggml.token_type": [int(TokenType.UNUSED)] * n_missing,
        "tokenizer.ggml.scores": [0.0] * n_missing,
    }
    for name, field in fields.items():
        add_field(writer, field, more.get(name, ()))


def main() -> None:
    """Writes the file that was asked for."""
    from aspd_local import sources
    from aspd_local.sources.packaged import DEFAULT_BASE

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--out", "-o", type=Path, required=True, metavar="FILE", help="is replaced")
    parser.add_argument("--type", choices=TYPES, default="q4_0", help="of the matrices")
    parser.add_argument("--head", choices=TYPES, default="", help="of the head; default: as the others")
    parser.add_argument(
        "--vocabulary", default=DEFAULT_BASE, metavar="MODEL", help=f"default: {DEFAULT_BASE}"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    weights = Weights(kind=args.type, head=args.head, seed=args.seed)
    write(args.out, SHAPES[args.shape], weights, sources.resolve(args.vocabulary))
    comparison.progress(f"{args.out}: {args.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
