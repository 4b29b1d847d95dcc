"""Which parts of other answers stand in for a block's siblings.

A small pool is drawn from the input in one pass, so that the choice for an example depends on the input and
the seed alone, not on the order in which examples are worked on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from aspd_local.data.example import Example, Kind, Run

POOL_SIZE = 256


@dataclass(frozen=True, kw_only=True, order=True)
class Stranger:
    """A run of some answer. rank: its place in a shuffle by the seed. prompt: what it answered, hashed."""

    rank: bytes
    prompt: bytes
    kind: Kind
    texts: tuple[str, ...]


def stranger(example: Example, run: Run, seed: int) -> Stranger:
    """A run as an entry of the pool."""
    prompt = example.prompt_key()
    rank = _hash(seed, "pool", prompt.hex(), example.answer, str(run.begin))
    return Stranger(rank=rank, prompt=prompt, kind=run.kind, texts=tuple(run.texts(example.answer)))


def draw(strangers: Iterable[Stranger], size: int = POOL_SIZE) -> tuple[Stranger, ...]:
    """The pool: the entries of lowest rank, ascending. Keeps no more than `size` in memory."""
    return tuple(heapq.nsmallest(size, strangers))


def siblings_for(pool: Sequence[Stranger], example: Example, run: Run, seed: int) -> tuple[str, ...]:
    """Parts of an answer to another prompt, told apart in the same way if possible; else built-in ones."""
    prompt = example.prompt_key()
    others = [entry for entry in pool if entry.prompt != prompt]
    alike = [entry for entry in others if entry.kind == run.kind] or others
    if not alike:
        return BUILT_IN
    # the highest hash wins: a pool that differs in one entry changes only the choices of that entry
    return max(alike, key=lambda entry: _hash(seed, prompt.hex(), str(run.begin), entry.rank.hex())).texts


def _hash(*parts: object) -> bytes:
    return sha256("\0".join(map(str, parts)).encode()).digest()


# For inputs that hold answers to one prompt only.
BUILT_IN = (
    "1. **Rust**: Look under the sills and around the wheel arches for bubbles in the paint.\n",
    "2. **Smell**: A musty odour in the carpets suggests that water has leaked into the cabin.\n",
    "3. **Tyres**: Uneven wear across the tread hints at a bent axle or poor alignment.\n",
    "4. **Papers**: The number on the chassis must match the registration, or the sale may be void.\n",
    "5. **Brakes**: Pads thinner than three millimetres should be replaced before the next long drive.\n",
)
