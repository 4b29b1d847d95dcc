"""Tiny models with an encoder, and others that do not simply decode from left to right: T5, BERT, LLaDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tiny.files import (
    Shape,
    Tensors,
    TinyModel,
    attention_keys,
    linear,
    normal,
    random_tensors,
    write_gguf,
)
from tiny.vocabulary import BOS, Vocabulary

N_BUCKETS = 8  # of relative positions


def write_t5(path: Path, *, seed: int = 0, keys: dict[str, Any] | None = None) -> TinyModel:
    """An encoder reads the prompt, a decoder answers. keys: other values for keys; None: no such key."""
    model = TinyModel(path=path, vocabulary=Vocabulary(), shape=Shape(n_kv_heads=4))
    all_keys = _t5_keys(model) | (keys or {})
    given = {key: value for key, value in all_keys.items() if value is not None}
    write_gguf(model, "t5", _t5_tensors(model, seed), given, {})
    return model


def write_t5_encoder(path: Path, *, seed: int = 0) -> TinyModel:
    """The encoder of a T5 alone."""
    model = TinyModel(path=path, vocabulary=Vocabulary(), shape=Shape(n_kv_heads=4))
    tensors = {name: value for name, value in _t5_tensors(model, seed).items() if not name.startswith("dec.")}
    write_gguf(model, "t5encoder", tensors, _t5_keys(model), {})
    return model


def write_bert(path: Path, *, seed: int = 0) -> TinyModel:
    """An embedding model: it sees a text as a whole and has no head that predicts tokens."""
    model = TinyModel(path=path, vocabulary=Vocabulary(), shape=Shape(n_kv_heads=4))
    shape, random, n_ctx = model.shape, np.random.default_rng(seed), 256
    n = shape.n_embd
    tensors = {
        "token_embd.weight": normal(random, 1.0, len(model.vocabulary), n),
        "position_embd.weight": normal(random, 1.0, n_ctx, n),
        "token_types.weight": normal(random, 1.0, 2, n),
    }
    tensors |= _norm("token_embd_norm", n)
    for layer in range(shape.n_layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{layer}.{name}.weight"] = linear(random, n, n)
        tensors[f"blk.{layer}.ffn_up.weight"] = linear(random, shape.n_ff, n)
        tensors[f"blk.{layer}.ffn_down.weight"] = linear(random, n, shape.n_ff)
        tensors |= _norm(f"blk.{layer}.attn_output_norm", n) | _norm(f"blk.{layer}.layer_output_norm", n)
    keys = attention_keys(shape) | {
        "context_length": n_ctx,
        "attention.causal": False,
        "attention.layer_norm_epsilon": 1e-5,
        "pooling_type": 1,
        "tokenizer.ggml.token_type_count": 2,
    }
    write_gguf(model, "bert", tensors, keys, {})
    return model


def write_llada(path: Path, *, seed: int = 0) -> TinyModel:
    """A diffusion model."""
    model = TinyModel(path=path, vocabulary=Vocabulary())
    write_gguf(model, "llada", random_tensors(model, seed), attention_keys(model.shape), {})
    return model


def write_llama_embed(path: Path, *, seed: int = 0, causal: bool) -> TinyModel:
    """A llama that makes embeddings: no head that predicts tokens; usually not causal."""
    model = TinyModel(path=path, vocabulary=Vocabulary())
    keys = attention_keys(model.shape) | {"attention.causal": causal}
    write_gguf(model, "llama-embed", random_tensors(model, seed), keys, {})
    return model


def write_pooled_llama(path: Path, *, pooling: int, seed: int = 0) -> TinyModel:
    """A llama that writes text and makes embeddings. pooling: llama.cpp's number, 1 mean, 2 first, 3 last."""
    model = TinyModel(path=path, vocabulary=Vocabulary())
    keys = attention_keys(model.shape) | {"pooling_type": pooling}
    write_gguf(model, "llama", random_tensors(model, seed), keys, {})
    return model


def _t5_keys(model: TinyModel) -> dict[str, Any]:
    return attention_keys(model.shape) | {
        "attention.relative_buckets_count": N_BUCKETS,
        "tokenizer.ggml.add_eos_token": True,
        "decoder_start_token_id": model.vocabulary[BOS],
    }


def _t5_tensors(model: TinyModel, seed: int) -> Tensors:
    shape, random = model.shape, np.random.default_rng(seed)
    n = shape.n_embd
    tensors = {
        "token_embd.weight": normal(random, 1.0, len(model.vocabulary), n),
        "output.weight": 3 * linear(random, len(model.vocabulary), n),
    }
    for half in ("enc", "dec"):
        tensors[f"{half}.output_norm.weight"] = 1 + normal(random, 0.1, n)
        tensors[f"{half}.blk.0.attn_rel_b.weight"] = normal(random, 1.0, N_BUCKETS, shape.n_heads)
        for layer in range(shape.n_layers):
            block = f"{half}.blk.{layer}"
            for attention in ("attn", "cross_attn") if half == "dec" else ("attn",):
                tensors[f"{block}.{attention}_norm.weight"] = 1 + normal(random, 0.1, n)
                for name, gain in (("q", 0.5), ("k", 0.5), ("v", 2.0), ("o", 1.0)):  # logits are not scaled
                    tensors[f"{block}.{attention}_{name}.weight"] = gain * linear(random, n, n)
            tensors[f"{block}.ffn_norm.weight"] = 1 + normal(random, 0.1, n)
            tensors[f"{block}.ffn_up.weight"] = linear(random, shape.n_ff, n)
            tensors[f"{block}.ffn_down.weight"] = linear(random, n, shape.n_ff)
    return tensors


def _norm(name: str, n: int) -> Tensors:
    return {f"{name}.weight": np.ones(n, np.float32), f"{name}.bias": np.zeros(n, np.float32)}
