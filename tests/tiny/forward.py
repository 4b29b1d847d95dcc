"""The forward pass of a llama, qwen2 or cohere2 GGUF file, in NumPy, with explicit mask and positions.

The independent judge of what the engine computes: it reads the weights from the file, computes in float64,
and shares no code with the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any, TypeAlias

import numpy as np
from gguf import GGUFReader
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]


class NumpyModel:
    """A model's weights and sizes, read from its file."""

    def __init__(self, path: str | PathLike[str]) -> None:
        reader = GGUFReader(fspath(path))
        self.weights: dict[str, Array] = {
            tensor.name: tensor.data.astype(np.float64) for tensor in reader.tensors
        }
        self._fields = {name: field.contents() for name, field in reader.fields.items()}
        self.architecture = str(self._fields["general.architecture"])
        if self.architecture not in ("llama", "qwen2", "cohere2"):
            raise ValueError(f"no forward pass for {self.architecture}")
        self.n_layers = int(self._key("block_count"))
        self.n_heads = int(self._key("attention.head_count"))
        self.n_kv_heads = int(self._key("attention.head_count_kv"))
        self.n_head_dim = int(self._key("attention.key_length"))
        self.rope_base = float(self._key("rope.freq_base"))
        self.window = int(self._key("attention.sliding_window", 0))  # positions; of the even layers
        self.logit_scale = float(self._key("logit_scale", 1.0))

    def logits(self, token_ids: Sequence[int], positions: Sequence[int], mask: ArrayLike) -> Array:
        """Rows of logits, [n_tokens, n_vocab]. As states()."""
        output = self.weights.get("output.weight", self.weights["token_embd.weight"])
        result: Array = self.states(token_ids, positions, mask) @ output.T * self.logit_scale
        return result

    def states(self, token_ids: Sequence[int], positions: Sequence[int], mask: ArrayLike) -> Array:
        """What the head reads, [n_tokens, n_embd].

        mask: [n_tokens, n_tokens], row i: what token i may attend to.
        """
        p = np.asarray(positions)
        allowed = np.asarray(mask, dtype=bool)
        near = allowed & (p[:, None] - p < self.window)
        x = self.weights["token_embd.weight"][np.asarray(token_ids)]
        for layer in range(self.n_layers):
            windowed = self.window > 0 and layer % 2 == 0
            x = self._layer(layer, x, p, near if windowed else allowed, rotate=windowed or self.window == 0)
        return self._norm("output_norm", x)

    def _layer(
        self, layer: int, x: Array, positions: NDArray[np.int_], allowed: NDArray[np.bool_], *, rotate: bool
    ) -> Array:
        normed = self._norm(f"blk.{layer}.attn_norm", x)
        mixed = x + self._attention(layer, normed, positions, allowed, rotate)
        if self.architecture == "cohere2":  # attention and feed-forward side by side
            return mixed + self._feed_forward(layer, normed)
        return mixed + self._feed_forward(layer, self._norm(f"blk.{layer}.ffn_norm", mixed))

    def _key(self, name: str, default: Any = None) -> Any:
        return self._fields.get(f"{self.architecture}.{name}", default)

    def _norm(self, name: str, x: Array) -> Array:
        """RMSNorm; LayerNorm for cohere2."""
        if self.architecture == "cohere2":
            x = x - x.mean(-1, keepdims=True)
        result: Array = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * self.weights[f"{name}.weight"]
        return result

    def _linear(self, name: str, x: Array) -> Array:
        result: Array = x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0.0)
        return result

    def _attention(
        self, layer: int, x: Array, positions: NDArray[np.int_], allowed: NDArray[np.bool_], rotate: bool
    ) -> Array:
        n_tokens = len(x)
        q = self._linear(f"blk.{layer}.attn_q", x).reshape(n_tokens, self.n_heads, self.n_head_dim)
        k = self._linear(f"blk.{layer}.attn_k", x).reshape(n_tokens, self.n_kv_heads, self.n_head_dim)
        v = self._linear(f"blk.{layer}.attn_v", x).reshape(n_tokens, self.n_kv_heads, self.n_head_dim)
        if rotate:
            q, k = self._rotate(q, positions), self._rotate(k, positions)
        mixed = np.empty_like(q)
        for head in range(self.n_heads):
            kv_head = head // (self.n_heads // self.n_kv_heads)
            scores = q[:, head] @ k[:, kv_head].T / np.sqrt(self.n_head_dim)
            scores = np.where(allowed, scores, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, head] = weights / weights.sum(-1, keepdims=True) @ v[:, kv_head]
        return self._linear(f"blk.{layer}.attn_output", mixed.reshape(n_tokens, -1))

    def _rotate(self, x: Array, positions: NDArray[np.int_]) -> Array:
        """RoPE over [n_tokens, n_heads, n_head_dim]: pairs are neighbours; halves apart for qwen2."""
        half = self.n_head_dim // 2
        angles = positions[:, None] * self.rope_base ** (-np.arange(half) / half)
        cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
        neighbours = self.architecture != "qwen2"
        first, second = (x[..., 0::2], x[..., 1::2]) if neighbours else (x[..., :half], x[..., half:])
        rotated = np.stack((first * cosine - second * sine, first * sine + second * cosine), -1)
        return (
            rotated.reshape(x.shape) if neighbours else np.concatenate((rotated[..., 0], rotated[..., 1]), -1)
        )

    def _feed_forward(self, layer: int, x: Array) -> Array:
        gate = self._linear(f"blk.{layer}.ffn_gate", x)
        up = self._linear(f"blk.{layer}.ffn_up", x)
        return self._linear(f"blk.{layer}.ffn_down", gate / (1 + np.exp(-gate)) * up)
