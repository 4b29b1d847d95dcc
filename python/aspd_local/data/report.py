"""`aspd data report`: one pass over a data set, one page of HTML that needs nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from aspd_local.data.metrics import Metrics
from aspd_local.data.page import page
from aspd_local.data.record import Record, from_line
from aspd_local.errors import DataError

Progress: TypeAlias = Callable[[int, int], None]  # bytes read, all bytes
N_EXAMPLES = 20


def report(data: Path, *, seed: int = 0, progress: Progress | None = None) -> str:
    """The page for a data set. seed: of the twenty examples that are drawn.

    Raises: DataError for a line that `aspd data build` did not write, or no line; OSError.
    """
    metrics = Metrics()
    facts: dict[str, object] = {}
    drawn: list[tuple[bytes, int, Record]] = []  # the examples of lowest rank; a heap by the negated rank
    total = data.stat().st_size
    for number, (end, record) in enumerate(records(data), 1):
        metrics.add(record)
        facts = facts or dict(record.pipeline)
        if record.blocks:
            rank = sha256(f"{seed}\0{number}\0{record.answer}".encode()).digest()
            entry = (bytes(255 - byte for byte in rank), number, record)
            if len(drawn) < N_EXAMPLES:
                heapq.heappush(drawn, entry)
            else:
                heapq.heappushpop(drawn, entry)
        if progress is not None and number % 100 == 0:
            progress(end, total)
    if not metrics.n_examples:
        raise DataError(str(data), "it holds no example")
    examples = sorted(((number, record) for _, number, record in drawn), key=lambda pair: pair[0])
    return page(data.name, metrics, facts, examples)


def records(data: Path) -> Iterator[tuple[int, Record]]:
    """The examples of a data set: (byte behind the line, record). Raises: DataError, OSError."""
    end = 0
    with data.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            end += len(line)
            try:
                yield end, from_line(line)
            except ValueError as error:
                raise DataError(f"{data}:{number}", str(error)) from None


def nth(data: Path, number: int) -> Record:
    """Example `number`, from 1. Raises: DataError where there is none, or the line is none; OSError."""
    with data.open("rb") as lines:
        for at, line in enumerate(lines, 1):
            if at == number:
                try:
                    return from_line(line)
                except ValueError as error:
                    raise DataError(f"{data}:{number}", str(error)) from None
    raise DataError(str(data), f"it has no example {number}")
