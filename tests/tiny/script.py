"""A llama model that knows texts by heart: weights set by hand so that it continues what it has been given.

How it works, in two layers. Layer 0: head h attends to the token h + 1 positions back (its query and key
depend on positions only) and copies which token that is; each neuron of the feed-forward part is one rule,
"after these tokens comes that one". Layer 1 is random and sees the whole context; it decides where the rules
leave a choice, so what the model writes there depends on all that its mask and positions let it see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tiny.files import Shape, Tensors, TinyModel, write_llama_tensors
from tiny.vocabulary import Vocabulary

Array: TypeAlias = NDArray[np.float32]
Rules: TypeAlias = dict[tuple[int, ...], set[int]]  # after these tokens comes one of those

N_BACK = 4  # heads of layer 0, tokens looked back on besides the last one
_N_PAIRS = 16  # rotated pairs by which a head finds its distance
_N_CONTEXT = 32  # dimensions that only layer 1 writes
_GAIN = 16.0  # of a logit for each further token of the context that a rule knows
_NOISE = 1.5  # standard deviation of what layer 1 adds to a logit


@dataclass(frozen=True)
class Script:
    """What a model knows.

    texts: where they agree on the last five tokens but not on the next, the context decides which one it is.
    choices: after this text (at most five tokens) comes one of those tokens, unless a text knows better.
    """

    texts: Sequence[str]
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write_scripted(
    path: Path,
    script: Script,
    *,
    seed: int = 0,
    vocabulary: Vocabulary | None = None,
    metadata: Mapping[str, str] | None = None,
) -> TinyModel:
    """A model that continues the texts of its script. metadata: more keys of the file."""
    vocabulary = vocabulary or Vocabulary()
    rules = _rules(script, vocabulary)
    tokens = sorted({token for context in rules for token in context} | set().union(*rules.values()))
    n_codes = -(-len(tokens) // 16) * 16
    shape = Shape(
        n_embd=5 * 16 + (2 + N_BACK) * n_codes,
        n_heads=N_BACK,
        n_kv_heads=2,
        n_head_dim=max(2 * _N_PAIRS, n_codes),
        n_ff=-(-sum(map(len, rules.values())) // 16) * 16,
    )
    model = TinyModel(path=path, vocabulary=vocabulary, shape=shape)
    write_llama_tensors(model, _Weights(model, tokens, n_codes, seed).tensors(rules), metadata)
    return model


def _rules(script: Script, vocabulary: Vocabulary) -> Rules:
    rules: Rules = {}
    for text in script.texts:
        ids = vocabulary.encode(text)
        for i in range(1, len(ids)):
            for start in range(max(0, i - N_BACK - 1), i):
                rules.setdefault(tuple(ids[start:i]), set()).add(ids[i])
    for before, after in script.choices.items():
        context = tuple(vocabulary.encode(before))
        if not 1 <= len(context) <= N_BACK + 1:
            raise ValueError(f"a context has 1 to {N_BACK + 1} tokens: {before!r}")
        for token in after:
            (token_id,) = vocabulary.encode(token)
            rules.setdefault(context, set()).add(token_id)
    return rules


class _Weights:
    """The dimensions of the residual stream, and the weights that read and write them.

    [0] one; then, n_codes each, the current token, the tokens 1 ... N_BACK back, the next token; the context.
    """

    def __init__(self, model: TinyModel, tokens: Sequence[int], n_codes: int, seed: int) -> None:
        self.shape, self.n_vocab = model.shape, len(model.vocabulary)
        self.tokens, self.n_codes = tokens, n_codes
        self.random = np.random.default_rng(seed)
        self.code = {token: i for i, token in enumerate(tokens)}
        self.context = slice(self.shape.n_embd - _N_CONTEXT, self.shape.n_embd)

    def tensors(self, rules: Rules) -> Tensors:
        ones = np.ones(self.shape.n_embd, np.float32)
        return {
            "token_embd.weight": self._embedding(),
            **{f"blk.0.{name}.weight": tensor for name, tensor in self._look_back().items()},
            **{f"blk.0.{name}.weight": tensor for name, tensor in self._apply(rules).items()},
            **{f"blk.1.{name}.weight": tensor for name, tensor in self._decide().items()},
            "output_norm.weight": ones,
            "output.weight": self._output(),
        }

    def _place(self, group: int, token: int) -> int:
        """Dimension of a token in group 0 (current), 1 ... N_BACK (tokens back), N_BACK + 1 (next)."""
        return 1 + group * self.n_codes + self.code[token]

    def _zeros(self, n_out: int, n_in: int) -> Array:
        return np.zeros((n_out, n_in), np.float32)

    def _normal(self, n_out: int, n_in: int, scale: float = 1.0) -> Array:
        weight: Array = (scale * n_in**-0.5 * self.random.standard_normal((n_out, n_in))).astype(np.float32)
        return weight

    def _norm(self, squares: float) -> Array:
        """The weight that undoes RMSNorm for a vector of that squared length."""
        weight: Array = np.full(self.shape.n_embd, (squares / self.shape.n_embd) ** 0.5, np.float32)
        return weight

    def _embedding(self) -> Array:
        """All of squared length 3: one, the token (if a rule knows it), a random direction of the context."""
        embedding = self._zeros(self.n_vocab, self.shape.n_embd)
        embedding[:, 0] = 1
        direction = self.random.standard_normal((self.n_vocab, _N_CONTEXT))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        embedding[:, self.context] = direction * 2**0.5
        for token in self.tokens:
            embedding[token, self.context] = direction[token]
            embedding[token, self._place(0, token)] = 1
        return embedding

    def _look_back(self) -> Tensors:
        shape = self.shape
        q = self._zeros(shape.n_heads * shape.n_head_dim, shape.n_embd)
        k = self._zeros(shape.n_kv_heads * shape.n_head_dim, shape.n_embd)
        v = np.zeros_like(k)
        output = np.zeros_like(q.T)
        half = shape.n_head_dim // 2
        speeds = shape.rope_base ** (-np.arange(_N_PAIRS) / half)
        # a distance that is wrong by one must cost 15 after the division by sqrt(n_head_dim)
        strength = (15 * shape.n_head_dim**0.5 / (1 - np.cos(speeds)).sum()) ** 0.5
        for head in range(N_BACK):
            first = head * shape.n_head_dim
            angles = -speeds * (head + 1)
            q[first : first + 2 * _N_PAIRS : 2, 0] = strength * np.cos(angles)
            q[first + 1 : first + 2 * _N_PAIRS : 2, 0] = strength * np.sin(angles)
            for token in self.tokens:
                output[self._place(head + 1, token), first + self.code[token]] = 1
        for kv_head in range(shape.n_kv_heads):
            first = kv_head * shape.n_head_dim
            k[first : first + 2 * _N_PAIRS : 2, 0] = strength
            for token in self.tokens:
                v[first + self.code[token], self._place(0, token)] = 1
        return {"attn_norm": self._norm(3), "attn_q": q, "attn_k": k, "attn_v": v, "attn_output": output}

    def _apply(self, rules: Rules) -> Tensors:
        shape = self.shape
        gate = self._zeros(shape.n_ff, shape.n_embd)
        up = np.zeros_like(gate)
        down = np.zeros_like(gate.T)
        neuron = 0
        for context, successors in rules.items():
            for successor in sorted(successors):
                # 8 if all tokens of the context are there, -12 or less if one is missing
                gate[neuron, 0] = -20 * (len(context) - 0.4)
                for back, token in enumerate(reversed(context)):
                    gate[neuron, self._place(back, token)] = 20
                up[neuron, 0] = 1 / 8
                down[self._place(N_BACK + 1, successor), neuron] = 1
                neuron += 1
        return {"ffn_norm": self._norm(3 + N_BACK), "ffn_gate": gate, "ffn_up": up, "ffn_down": down}

    def _decide(self) -> Tensors:
        shape = self.shape
        n_q, n_kv = shape.n_heads * shape.n_head_dim, shape.n_kv_heads * shape.n_head_dim
        output, down = self._zeros(shape.n_embd, n_q), self._zeros(shape.n_embd, shape.n_ff)
        output[self.context] = self._normal(_N_CONTEXT, n_q, 2)
        down[self.context] = self._normal(_N_CONTEXT, shape.n_ff, 2)
        ones = np.ones(shape.n_embd, np.float32)
        return {
            "attn_norm": ones,
            "attn_q": self._normal(n_q, shape.n_embd, 1.5),
            "attn_k": self._normal(n_kv, shape.n_embd, 1.5),
            "attn_v": self._normal(n_kv, shape.n_embd),
            "attn_output": output,
            "ffn_norm": ones,
            "ffn_gate": self._normal(shape.n_ff, shape.n_embd, 1.5),
            "ffn_up": self._normal(shape.n_ff, shape.n_embd, 1.5),
            "ffn_down": down,
        }

    def _output(self) -> Array:
        """A typical vector at the end has a squared length of about 160 (seen, not derived)."""
        scale = (160 / self.shape.n_embd) ** 0.5
        output = self._zeros(self.n_vocab, self.shape.n_embd)
        output[:, self.context] = self._normal(self.n_vocab, _N_CONTEXT, _NOISE * scale / 2)
        for token in self.tokens:
            output[token, self._place(N_BACK + 1, token)] = _GAIN * scale
        return output
