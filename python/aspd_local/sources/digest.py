"""Checksums of files: sha256, and git's own hash for small files that a hub keeps in git."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_BLOB = re.compile(r"[0-9a-f]{40}")


class Hasher(Protocol):
    """What hashlib's objects have."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def is_digest(text: str) -> bool:
    """Whether `text` is a sha256 or a git blob hash, lower-case hexadecimal."""
    return bool(_SHA256.fullmatch(text) or _GIT_BLOB.fullmatch(text))


def hasher_for(expected: str, size: int) -> Hasher:
    """A fresh hasher of the kind that `expected` is.

    Args:
        expected: 64 hexadecimal digits (sha256) or 40 (git's hash of a blob).
        size: bytes of the whole file; git's hash begins with it.

    Raises:
        ValueError: `expected` is neither.
    """
    if _SHA256.fullmatch(expected):
        return hashlib.sha256()
    if _GIT_BLOB.fullmatch(expected):
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    raise ValueError(f"not a checksum: {expected!r}")


def digest_of(path: Path, expected: str) -> str:
    """The checksum of a file, hexadecimal, of the kind that `expected` is.

    Raises:
        OSError: the file cannot be read.
        ValueError: `expected` is no checksum.
    """
    hasher = hasher_for(expected, path.stat().st_size)
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            hasher.update(data)
    return hasher.hexdigest()


def sha256_of(path: Path) -> str:
    """The sha256 of a file, hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    return digest_of(path, "0" * 64)
