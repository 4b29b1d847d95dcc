"""Tiny models with all kinds of vocabulary that llama.cpp knows: base files for fuzz_gguf.py."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
BYTES = tuple(f"<0x{i:02X}>" for i in range(256))
WORDS = (
    "\u2581the",
    "\u2581a",
    "in",
    "er",
    "the",
    "\u2581and",
    "x",
    "y",
    "\n",
    "hello",
    "\u2581",
    "h",
    "e",
    "he",
)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """model: tokenizer.ggml.model. types: one for each token. more: other keys, "tokenizer.ggml.*"."""

    model: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    more: dict[str, Any] = field(default_factory=dict)


def _typed(*groups: tuple[int, tuple[str, ...]]) -> dict[str, Any]:
    return {
        "tokens": tuple(token for _, tokens in groups for token in tokens),
        "types": tuple(kind for kind, tokens in groups for _ in tokens),
    }


def _normaliser() -> bytes:
    """A map of an UGM vocabulary that maps nothing: the size of its array, the array, replacement texts."""
    return struct.pack("<I", 1200) + bytes(1200) + b"abc\0def\0"


VOCABULARIES = {
    "spm": Vocabulary(
        model="llama",
        **_typed((UNKNOWN, ("<unk>",)), (CONTROL, ("<s>", "</s>")), (BYTE, BYTES), (NORMAL, WORDS)),
    ),
    "wpm": Vocabulary(
        model="bert",
        **_typed(
            (CONTROL, ("[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]")),
            (NORMAL, ("\u2581the", "\u2581a", "hello", "x", "\u2581h", "e", "l", "o", "\u00e9")),
        ),
    ),
    "ugm": Vocabulary(
        model="t5",
        **_typed(
            (CONTROL, ("<pad>", "</s>")), (UNKNOWN, ("<unk>",)), (NORMAL, WORDS), (USER_DEFINED, ("<u>",))
        ),
        more={
            "precompiled_charsmap": _normaliser(),
            "add_space_prefix": True,
            "remove_extra_whitespaces": True,
        },
    ),
    "rwkv": Vocabulary(
        model="rwkv",
        **_typed(
            (CONTROL, ("<s>",)),
            (NORMAL, (*(f"\\x{i:02x}" for i in range(256)), "he", "hello", "\\n\\n", "th")),
        ),
    ),
    "plamo2": Vocabulary(
        model="plamo2",
        **_typed(
            (UNKNOWN, ("<unk>",)), (CONTROL, ("<bos>", "<eos>", "<pad>")), (BYTE, BYTES), (NORMAL, WORDS)
        ),
    ),
    "gemma4": Vocabulary(
        model="gemma4",
        **_typed(
            (CONTROL, ("<pad>", "<eos>", "<bos>")), (UNKNOWN, ("<unk>",)), (BYTE, BYTES), (NORMAL, WORDS)
        ),
        more={"merges": ["h e"], "bos_token_id": 2, "eos_token_id": 1},
    ),
}


def write(llama: Path, name: str, path: Path) -> Path:
    """A llama model with another vocabulary, its embeddings and output made to fit."""
    vocabulary = VOCABULARIES[name]
    reader = GGUFReader(llama)
    writer = GGUFWriter(path, "llama")
    for key, value in reader.fields.items():
        if key.startswith("llama."):
            writer.add_key_value(key, value.contents(), value.types[0])
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_scores([-float(i) for i in range(len(vocabulary.tokens))])
    for key, value in vocabulary.more.items():
        kind = GGUFValueType.UINT32 if type(value) is int else GGUFValueType.get_type(value)
        writer.add_key_value(f"tokenizer.ggml.{key}", value, kind)
    random = np.random.default_rng(1)
    for tensor in reader.tensors:
        data = np.asarray(tensor.data)
        if tensor.name in ("token_embd.weight", "output.weight"):
            data = random.standard_normal((len(vocabulary.tokens), data.shape[1])).astype(np.float32)
        writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
