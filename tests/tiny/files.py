"""Writes tiny models as GGUF files: several architectures, seeded random weights in F32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from tiny.vocabulary import BOS, CHAT_TEMPLATE, EOS, TURN_END, Vocabulary

Array: TypeAlias = NDArray[np.float32]
Tensors: TypeAlias = dict[str, Array]  # shapes as NumPy has them: [n_out, n_in]
N_CTX_TRAIN = 4096


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a model. heads of n_head_dim; n_kv_heads divides n_heads."""

    n_layers: int = 2
    n_embd: int = 64
    n_heads: int = 4
    n_kv_heads: int = 2
    n_head_dim: int = 16
    n_ff: int = 96
    rope_base: float = 10000.0


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """A GGUF file and what it was made from."""

    path: Path
    vocabulary: Vocabulary
    shape: Shape = field(default_factory=Shape)

    def __fspath__(self) -> str:
        return str(self.path)


def write_llama(
    path: Path,
    *,
    seed: int = 0,
    vocabulary: Vocabulary | None = None,
    metadata: Mapping[str, str] | None = None,
) -> TinyModel:
    """metadata: more keys of the file."""
    model = TinyModel(path=path, vocabulary=vocabulary or Vocabulary())
    write_llama_tensors(model, random_tensors(model, seed), metadata)
    return model


def write_wide(path: Path, *, seed: int = 0, tied: bool = False, n_layers: int = 2) -> TinyModel:
    """A llama model whose rows every type of weights fits. tied: one tensor for both ends."""
    shape = Shape(n_layers=n_layers, n_embd=256, n_kv_heads=4, n_head_dim=64, n_ff=256)
    model = TinyModel(path=path, vocabulary=Vocabulary(), shape=shape)
    tensors = random_tensors(model, seed)
    if tied:
        tensors["token_embd.weight"] = tensors.pop("output.weight")
    write_llama_tensors(model, tensors)
    return model


def write_llama_tensors(
    model: TinyModel, tensors: Tensors, metadata: Mapping[str, str] | None = None
) -> None:
    """A llama model with weights of one's own."""
    write_gguf(model, "llama", tensors, attention_keys(model.shape), metadata or {})


def write_qwen2(path: Path, *, seed: int = 0, vocabulary: Vocabulary | None = None) -> TinyModel:
    """Biases on q, k and v; NEOX rotation."""
    model = TinyModel(path=path, vocabulary=vocabulary or Vocabulary())
    shape, random = model.shape, np.random.default_rng(seed + 1)
    tensors = random_tensors(model, seed)
    for layer in range(shape.n_layers):
        for name, n_heads in (("q", shape.n_heads), ("k", shape.n_kv_heads), ("v", shape.n_kv_heads)):
            tensors[f"blk.{layer}.attn_{name}.bias"] = normal(random, 0.3, n_heads * shape.n_head_dim)
    write_gguf(model, "qwen2", tensors, attention_keys(shape), {})
    return model


def write_cohere2(
    path: Path, *, seed: int = 0, window: int = 8, vocabulary: Vocabulary | None = None
) -> TinyModel:
    """The first layer sees a sliding window of so many positions, the second everything, without rotation."""
    model = TinyModel(path=path, vocabulary=vocabulary or Vocabulary())
    tensors = random_tensors(model, seed)
    tensors["token_embd.weight"] = tensors.pop("output.weight")  # one tensor for both ends
    for layer in range(model.shape.n_layers):
        del tensors[f"blk.{layer}.ffn_norm.weight"]
    keys = attention_keys(model.shape) | {
        "attention.layer_norm_epsilon": 1e-5,
        "attention.sliding_window": window,
        "attention.sliding_window_pattern": 2,
        "logit_scale": 0.5,
    }
    write_gguf(model, "cohere2", tensors, keys, {})
    return model


def write_mamba(path: Path, *, seed: int = 0, vocabulary: Vocabulary | None = None) -> TinyModel:
    """A recurrent model: it can fork but not join."""
    model = TinyModel(path=path, vocabulary=vocabulary or Vocabulary())
    random, n = np.random.default_rng(seed), model.shape.n_embd
    n_inner, n_state, n_conv, n_rank = 2 * n, 8, 4, 4
    tensors = _ends(model, random)
    for layer in range(model.shape.n_layers):
        tensors |= {
            f"blk.{layer}.attn_norm.weight": 1 + normal(random, 0.1, n),
            f"blk.{layer}.ssm_in.weight": linear(random, 2 * n_inner, n),
            f"blk.{layer}.ssm_conv1d.weight": linear(random, n_inner, n_conv),
            f"blk.{layer}.ssm_conv1d.bias": normal(random, 0.1, n_inner),
            f"blk.{layer}.ssm_x.weight": linear(random, n_rank + 2 * n_state, n_inner),
            f"blk.{layer}.ssm_dt.weight": linear(random, n_inner, n_rank),
            f"blk.{layer}.ssm_dt.bias": normal(random, 0.1, n_inner),
            f"blk.{layer}.ssm_a": -np.exp(normal(random, 0.5, n_inner, n_state)),
            f"blk.{layer}.ssm_d": normal(random, 0.5, n_inner),
            f"blk.{layer}.ssm_out.weight": linear(random, n, n_inner),
        }
    keys = {
        "context_length": N_CTX_TRAIN,
        "embedding_length": n,
        "block_count": model.shape.n_layers,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "ssm.conv_kernel": n_conv,
        "ssm.inner_size": n_inner,
        "ssm.state_size": n_state,
        "ssm.time_step_rank": n_rank,
    }
    write_gguf(model, "mamba", tensors, keys, {})
    return model


def write_lfm2(path: Path, *, seed: int = 0, vocabulary: Vocabulary | None = None) -> TinyModel:
    """A hybrid model: the first layer is a short convolution, the second attention."""
    model = TinyModel(path=path, vocabulary=vocabulary or Vocabulary())
    shape, random = model.shape, np.random.default_rng(seed + 1)
    tensors = random_tensors(model, seed)
    tensors["token_embd_norm.weight"] = tensors.pop("output_norm.weight")
    for name in ("q", "k", "v", "output"):
        del tensors[f"blk.0.attn_{name}.weight"]
    n_conv = 3
    tensors["blk.0.shortconv.conv.weight"] = linear(random, shape.n_embd, n_conv)
    tensors["blk.0.shortconv.in_proj.weight"] = linear(random, 3 * shape.n_embd, shape.n_embd)
    tensors["blk.0.shortconv.out_proj.weight"] = linear(random, shape.n_embd, shape.n_embd)
    for name in ("q", "k"):
        tensors[f"blk.1.attn_{name}_norm.weight"] = 1 + normal(random, 0.2, shape.n_head_dim)
    keys = attention_keys(shape) | {
        "attention.head_count_kv": [0, shape.n_kv_heads],
        "shortconv.l_cache": n_conv,
    }
    write_gguf(model, "lfm2", tensors, keys, {})
    return model


def write_rwkv7(path: Path, *, seed: int = 0, keys: Mapping[str, Any] | None = None) -> TinyModel:
    """A recurrent model without any attention. keys: other values for keys of the file."""
    shape = Shape(n_embd=128, n_head_dim=64)  # llama.cpp's kernel computes 64 values at a time
    model = TinyModel(path=path, vocabulary=Vocabulary(), shape=shape)
    random, n, n_rank = np.random.default_rng(seed), shape.n_embd, 8
    tensors = _ends(model, random)
    for name in ("token_embd_norm", "output_norm"):
        tensors |= _norm(random, name, n)
    for layer in range(shape.n_layers):
        time, channel = f"blk.{layer}.time_mix", f"blk.{layer}.channel_mix"
        for name in (f"blk.{layer}.attn_norm", f"blk.{layer}.attn_norm_2", f"{time}_ln"):
            tensors |= _norm(random, name, n)
        for name in "wav":
            tensors[f"{time}_{name}0.weight"] = normal(random, 0.5, n)
        for name in "wavg":
            tensors[f"{time}_{name}1.weight"] = linear(random, n_rank, n)
            tensors[f"{time}_{name}2.weight"] = linear(random, n, n_rank)
        for name in ("k_k", "k_a", "r_k"):
            tensors[f"{time}_{name}.weight"] = normal(random, 1.0, n)
        for name in ("key", "value", "receptance", "output"):
            tensors[f"{time}_{name}.weight"] = linear(random, n, n)
        tensors |= {
            f"{time}_lerp_fused.weight": normal(random, 0.5, 6, 1, 1, n),
            f"{channel}_lerp_k.weight": normal(random, 0.5, 1, 1, n),
            f"{channel}_key.weight": linear(random, shape.n_ff, n),
            f"{channel}_value.weight": linear(random, n, shape.n_ff),
        }
    all_keys = {
        "context_length": N_CTX_TRAIN,
        "embedding_length": n,
        "block_count": shape.n_layers,
        "feed_forward_length": shape.n_ff,
        "attention.head_count": 0,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.decay_lora_rank": n_rank,
        "attention.iclr_lora_rank": n_rank,
        "attention.value_residual_mix_lora_rank": n_rank,
        "attention.gate_lora_rank": n_rank,
        "wkv.head_size": shape.n_head_dim,
    }
    write_gguf(model, "rwkv7", tensors, all_keys | dict(keys or {}), {})
    return model


def random_tensors(model: TinyModel, seed: int) -> Tensors:
    """Weights of a llama model whose next token depends on all that it sees."""
    shape, random = model.shape, np.random.default_rng(seed)
    n_q, n_kv = shape.n_heads * shape.n_head_dim, shape.n_kv_heads * shape.n_head_dim
    tensors = _ends(model, random)
    for layer in range(shape.n_layers):
        tensors |= {
            f"blk.{layer}.attn_norm.weight": 1 + normal(random, 0.1, shape.n_embd),
            f"blk.{layer}.attn_q.weight": 1.5 * linear(random, n_q, shape.n_embd),
            f"blk.{layer}.attn_k.weight": 1.5 * linear(random, n_kv, shape.n_embd),
            f"blk.{layer}.attn_v.weight": 2 * linear(random, n_kv, shape.n_embd),
            f"blk.{layer}.attn_output.weight": linear(random, shape.n_embd, n_q),
            f"blk.{layer}.ffn_norm.weight": 1 + normal(random, 0.1, shape.n_embd),
            f"blk.{layer}.ffn_gate.weight": linear(random, shape.n_ff, shape.n_embd),
            f"blk.{layer}.ffn_up.weight": linear(random, shape.n_ff, shape.n_embd),
            f"blk.{layer}.ffn_down.weight": linear(random, shape.n_embd, shape.n_ff),
        }
    return tensors


def _ends(model: TinyModel, random: np.random.Generator) -> Tensors:
    n_vocab, n_embd = len(model.vocabulary), model.shape.n_embd
    return {
        "token_embd.weight": normal(random, 1.0, n_vocab, n_embd),
        "output_norm.weight": 1 + normal(random, 0.1, n_embd),
        "output.weight": 3 * linear(random, n_vocab, n_embd),
    }


def _norm(random: np.random.Generator, name: str, n: int) -> Tensors:
    return {f"{name}.weight": 1 + normal(random, 0.1, n), f"{name}.bias": normal(random, 0.1, n)}


def normal(random: np.random.Generator, scale: float, *shape: int) -> Array:
    return (scale * random.standard_normal(shape)).astype(np.float32)


def linear(random: np.random.Generator, n_out: int, n_in: int) -> Array:
    return normal(random, n_in**-0.5, n_out, n_in)


def attention_keys(shape: Shape) -> dict[str, Any]:
    return {
        "context_length": N_CTX_TRAIN,
        "embedding_length": shape.n_embd,
        "block_count": shape.n_layers,
        "feed_forward_length": shape.n_ff,
        "attention.head_count": shape.n_heads,
        "attention.head_count_kv": shape.n_kv_heads,
        "attention.key_length": shape.n_head_dim,
        "attention.value_length": shape.n_head_dim,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": shape.n_head_dim,
        "rope.freq_base": shape.rope_base,
    }


def write_gguf(
    model: TinyModel,
    architecture: str,
    tensors: Tensors,
    keys: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    writer = GGUFWriter(model.path, architecture)
    writer.add_name("tiny")
    for key, value in keys.items():
        name = key if key.startswith("tokenizer.") else f"{architecture}.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, value)
    for key, text in metadata.items():
        writer.add_string(key, text)
    vocabulary = model.vocabulary
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary[BOS])
    writer.add_eos_token_id(vocabulary[EOS])
    writer.add_eot_token_id(vocabulary[TURN_END])
    writer.add_add_bos_token(False)
    if "tokenizer.chat_template" not in metadata:
        writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
