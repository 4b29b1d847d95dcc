"""Mutations of GGUF files: what the campaign in fuzz_gguf.py does to good files. Finds the fields of a good
file by itself; knows nothing of the reader.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["structure", "integer", "float", "text"]

FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
INTEGERS = (
    *range(18), 31, 32, 33, 63, 64, 127, 128, 255, 256, 511, 512, 513, 1023, 1024, 4095, 4096, 65535, 65536,
    *(2**n + d for n in (20, 24, 30, 31, 32, 40, 48, 62, 63, 64) for d in (-1, 0, 1)),
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    b"", b"\0", b"a\0b", b"llama", b"qwen2", b"qwen3", b"gemma", b"gemma2", b"gemma3", b"gpt2", b"bert",
    b"t5", b"mamba", b"rwkv", b"rwkv6", b"falcon", b"phi3", b"granite", b"deepseek2", b"lfm2", b"plamo2",
    b"clip", b"gemma4", b"none", b"no_vocab", b"test", b"hybriddna", b"whitespace", b"yarn", b"linear",
    b"longrope", b"su", b"default", b"llama-bpe", b"tekken", b"kimi-k2", b"qwen35", b"glm4", b"phi-3",
    b"<|im_end|>", b" ", b"[EMPTY_3]", b"<0x0A>", b"<0x-1>", b"<0x", b"\\x4", b"\\", b"\xff\xfe",
    b"\xe2\x96\x81" * 1400,
    b"x" * 5000,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Field:
    """A place in the header: bytes [start, end). A text's bytes include its length."""

    start: int
    end: int
    kind: Kind
    format: str = ""


@dataclass(kw_only=True)
class Base:
    """A good file: its bytes, the fields of its header, where its data begins. Its alignment is 32."""

    name: str
    data: bytes
    groups: dict[str, list[Field]] = field(default_factory=dict)  # a key, a tensor or the start -> fields
    header_end: int = 0
    data_start: int = 0

    def draw(self, dice: random.Random, kinds: Sequence[Kind]) -> Field:
        """Each key is as likely as any other, however long its array."""
        while True:
            place = dice.choice(self.groups[dice.choice(list(self.groups))])
            if place.kind in kinds:
                return place

    def spans(self, kind: str) -> list[tuple[int, int]]:
        """Bytes [start, end) of each "key" or each "tensor"."""
        groups = [fields for name, fields in self.groups.items() if name.startswith(kind)]
        return [(fields[0].start, max(place.end for place in fields)) for fields in groups]


class _Walk:
    """Finds the fields of a good file."""

    def __init__(self, name: str, data: bytes) -> None:
        self.base = Base(name=name, data=data)
        self.at = 4
        self.group = "start"
        self._integer("I")
        n_tensors, n_keys = self._integer("Q"), self._integer("Q")
        for i in range(n_keys):
            self.group = f"key {i}"
            self._text()
            self._value(self._integer("I"))
        for i in range(n_tensors):
            self.group = f"tensor {i}"
            self._text()
            for _ in range(self._integer("I")):
                self._integer("Q")
            self._integer("I")
            self._integer("Q")
        self.base.header_end = self.at
        self.base.data_start = _padded(self.at)

    def _add(self, start: int, kind: Kind, form: str = "") -> None:
        self.base.groups.setdefault(self.group, []).append(
            Field(start=start, end=self.at, kind=kind, format=form)
        )

    def _number(self, form: str, kind: Kind) -> int:
        start = self.at
        self.at += struct.calcsize("<" + form)
        (value,) = struct.unpack("<" + form, self.base.data[start : self.at])
        self._add(start, kind, form)
        return int(value) if kind == "structure" else 0

    def _integer(self, form: str) -> int:
        return self._number(form, "structure")

    def _text(self) -> None:
        start = self.at
        length = self._integer("Q")
        self.at += length
        self._add(start, "text")

    def _value(self, kind: int) -> None:
        if kind == TEXT:
            self._text()
        elif kind == ARRAY:
            element, count = self._integer("I"), self._integer("Q")
            for _ in range(count):
                self._value(element)
        else:
            self._number(FORMATS[kind], "float" if kind in (6, 12) else "integer")


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // 32) * 32


def read_base(name: str, data: bytes) -> Base:
    """The fields of a good file."""
    return _Walk(name, data).base


def mutate(base: Base, dice: random.Random) -> tuple[str, bytes]:
    """One mutated file and the name of what was done to it."""
    name, change, _ = dice.choices(MUTATIONS, [weight for _, _, weight in MUTATIONS])[0]
    return name, change(base, dice)


def _truncate(base: Base, dice: random.Random) -> bytes:
    end = dice.choice((base.header_end, len(base.data)))
    return base.data[: dice.randrange(end)]


def _flip_header(base: Base, dice: random.Random) -> bytes:
    return _flip(base.data, base.header_end, dice)


def _flip_anywhere(base: Base, dice: random.Random) -> bytes:
    return _flip(base.data, len(base.data), dice)


def _flip(data: bytes, end: int, dice: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        result[dice.randrange(end)] ^= 1 << dice.randrange(8)
    return bytes(result)


def _structure(base: Base, dice: random.Random) -> bytes:
    """A count, length, type, dimension or offset replaced."""
    return _replace(base, ("structure",), 1, dice)


def _values(base: Base, dice: random.Random) -> bytes:
    """One to three values of the metadata replaced."""
    return _replace(base, ("integer", "float"), dice.choice((1, 1, 2, 3)), dice)


def _replace(base: Base, kinds: Sequence[Kind], n_times: int, dice: random.Random) -> bytes:
    result = bytearray(base.data)
    for _ in range(n_times):
        place = base.draw(dice, kinds)
        result[place.start : place.end] = _number_for(result, place, dice)
    return bytes(result)


def _number_for(data: bytearray, place: Field, dice: random.Random) -> bytes:
    if place.kind == "float":
        return struct.pack("<" + place.format, dice.choice(FLOATS))
    n_bits = 8 * (place.end - place.start)
    old = int.from_bytes(data[place.start : place.end], "little")
    new = dice.choice((dice.choice(INTEGERS), old + 1, old - 1, old * 2, old // 2, dice.getrandbits(n_bits)))
    return int(new % 2**n_bits).to_bytes(n_bits // 8, "little")


def _text(base: Base, dice: random.Random) -> bytes:
    """One text replaced by another, the data moved to where it belongs."""
    place, other = base.draw(dice, ("text",)), base.draw(dice, ("text",))
    new: bytes = dice.choice((dice.choice(TEXTS), base.data[other.start + 8 : other.end]))
    header = b"".join(
        (base.data[: place.start], struct.pack("<Q", len(new)), new, base.data[place.end : base.header_end])
    )
    return _file(header, base.data[base.data_start :])


def _file(header: bytes, data: bytes) -> bytes:
    return header + bytes(_padded(len(header)) - len(header)) + data


def _without_key(base: Base, dice: random.Random) -> bytes:
    """One key of the metadata less."""
    keys = base.spans("key")
    start, end = dice.choice(keys)
    header = bytearray(base.data[:start] + base.data[end : base.header_end])
    struct.pack_into("<Q", header, 16, len(keys) - 1)
    return _file(bytes(header), base.data[base.data_start :])


def _without_tensor(base: Base, dice: random.Random) -> bytes:
    """One tensor less, the others moved together."""
    tensors = base.spans("tensor")
    gone = dice.randrange(len(tensors))
    offsets = [struct.unpack_from("<Q", base.data, end - 8)[0] for _, end in tensors]
    ends = [*offsets[1:], len(base.data) - base.data_start]
    header, data = bytearray(base.data[: tensors[0][0]]), bytearray()
    struct.pack_into("<Q", header, 8, len(tensors) - 1)
    for i, (start, end) in enumerate(tensors):
        if i != gone:
            header += base.data[start : end - 8] + struct.pack("<Q", len(data))
            data += base.data[base.data_start + offsets[i] : base.data_start + ends[i]]
    return _file(bytes(header), bytes(data))


def _splice(base: Base, dice: random.Random) -> bytes:
    """Bytes removed from the header, or some of it doubled."""
    start = dice.randrange(base.header_end)
    end = min(start + dice.choice((1, 4, 8, 64, 512)), base.header_end)
    n_times: int = dice.choice((0, 2))
    return base.data[:start] + base.data[start:end] * n_times + base.data[end:]


Mutation: TypeAlias = Callable[[Base, random.Random], bytes]
MUTATIONS: tuple[tuple[str, Mutation, int], ...] = (
    ("truncated", _truncate, 2),
    ("bits of the header", _flip_header, 4),
    ("bits anywhere", _flip_anywhere, 1),
    ("structure", _structure, 5),
    ("values", _values, 9),
    ("text", _text, 4),
    ("spliced", _splice, 1),
    ("without a key", _without_key, 1),
    ("without a tensor", _without_tensor, 1),
)
