"""An output file that grows line by line, survives being killed, and takes its name when it is whole.

While it grows it is OUT.part, beside OUT.part.json, which says what it was begun from. Whoever comes with
the same input and settings goes on behind its last whole line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from aspd_local.errors import DataError

_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Target:
    """The file to write. force: replace it, and a part of it that was begun otherwise."""

    path: Path
    force: bool = False


class Checkpoint:
    """The file that is being written. Use as a context; call finish() at the end.

    Attributes:
        n_lines: whole lines that are there already.
    """

    def __init__(self, target: Target, begun_from: Mapping[str, Any]) -> None:
        """Opens or begins the part file.

        Args:
            begun_from: what decides the content; a part file that was begun from something else is not used.

        Raises:
            ValueError: OUT exists, or a part file was begun from something else; both unless forced.
            DataError: another process writes it.
            OSError: it cannot be written.
        """
        out, force = target.path, target.force
        self._out = out
        self._part, self._facts = out.with_name(f"{out.name}.part"), out.with_name(f"{out.name}.part.json")
        if out.exists() and not force:
            raise ValueError(f"{out}: exists already")
        self._lock = FileLock(out.with_name(f"{out.name}.part.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(str(out), "another process is writing it") from None
        try:
            self.n_lines = self._resume(json.dumps(begun_from, sort_keys=True), force=force)
            self._file = self._part.open("ab")
        except BaseException:
            self._release()
            raise

    def _resume(self, facts: str, *, force: bool) -> int:
        if self._part.exists() and self._facts.exists() and self._facts.read_text(encoding="utf-8") == facts:
            n_lines, n_bytes = whole_lines(self._part)
            os.truncate(self._part, n_bytes)
            return n_lines
        if self._part.exists() and not force:
            raise ValueError(
                f"{self._part} was begun from another input or with other settings; --force begins anew"
            )
        self._part.unlink(missing_ok=True)
        self._facts.write_text(facts, encoding="utf-8")
        return 0

    def cut(self, n_lines: int) -> None:
        """Keeps the first n_lines only: for work whose unit is more than a line."""
        end = 0
        with self._part.open("rb") as lines:
            for _ in range(n_lines):
                end += len(lines.readline())
        self._file.truncate(end)
        self.n_lines = n_lines

    def write(self, line: bytes) -> None:
        """Appends a line and hands it to the system: a killed process loses none that was written."""
        self._file.write(line)
        self._file.flush()

    def finish(self) -> None:
        """Gives the file its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._out)
        self._facts.unlink(missing_ok=True)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._release()

    def _release(self) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)


def check_apart(source: Path, target: Target) -> None:
    """Raises ValueError where the file to write is the one that is read."""
    if target.path.exists() and target.path.samefile(source):
        raise ValueError(f"{target.path} is the input")


def whole_lines(path: Path) -> tuple[int, int]:
    """How many lines end with a line feed, and where the last of them ends, bytes."""
    n_lines = end = at = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            n_lines += piece.count(b"\n")
            if (last := piece.rfind(b"\n")) >= 0:
                end = at + last + 1
            at += len(piece)
    return n_lines, end
