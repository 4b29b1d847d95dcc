"""`aspd data build`: the stages over a file of answers. Knows files and processes, as no stage does."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

from aspd_local.data.checkpoint import Checkpoint, Target, check_apart
from aspd_local.data.config import Config
from aspd_local.data.example import BadLine
from aspd_local.data.foreign import Stranger, draw, stranger
from aspd_local.data.record import Record, to_line
from aspd_local.data.scoring import Scorer
from aspd_local.data.stages import Judge, Prepared, finish, prepare_line
from aspd_local.errors import DataError
from aspd_local.sources.digest import sha256_of

Progress: TypeAlias = Callable[[str, int, int], None]  # what is done; bytes read, bytes of the input
Line: TypeAlias = tuple[int, int, bytes]  # byte behind it, number from 1, content

_LINES = 64  # that a worker takes at a time
_SHOWN = 20  # bad lines whose numbers are kept


@dataclass
class Summary:
    """What a run did.

    Attributes:
        n_examples: lines written. n_parallel: of them, those with a block. resumed: of them, those that an
            earlier run had written.
        bad: bad lines by reason. shown: the first of them, (number, reason).
        rejected: runs by (stage, reason), of the examples of this run.
    """

    n_examples: int = 0
    n_parallel: int = 0
    resumed: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[int, str]] = field(default_factory=list)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_bad(self, line: BadLine) -> None:
        """Counts a line that holds no example."""
        self.bad[line.reason] += 1
        if len(self.shown) < _SHOWN:
            self.shown.append((line.number, line.reason))

    def add(self, record: Record) -> None:
        """Counts an example."""
        self.n_examples += 1
        self.n_parallel += bool(record.blocks)
        for decision in record.decisions:
            if decision.outcome == "rejected":
                self.rejected[decision.stage, decision.reason] += 1


@dataclass(frozen=True, kw_only=True)
class Models:
    """What the configuration names: the scorer of the likelihood test, and the judge."""

    scorer: Scorer | None = None
    judge: Judge | None = None


@dataclass(frozen=True, kw_only=True)
class How:
    """What does not decide about the bytes, but for `limit`.

    Attributes:
        workers: processes for the stages that need no model.
        limit: only so many lines of the input; None: all.
        progress: called with (what is done, bytes read, bytes of the input).
    """

    workers: int = 1
    limit: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError("workers and limit must be at least 1")

    def tell(self, label: str, done: int, total: int) -> None:
        """Tells who asked."""
        if self.progress is not None:
            self.progress(label, done, total)


def build(
    answers: Path,
    target: Target,
    config: Config,
    *,
    models: Models = Models(),
    how: How = How(),
) -> Summary:
    """Writes an example for each answer, in their order; goes on where an earlier run was stopped.

    Raises:
        ValueError: the target exists or was begun otherwise, and is not forced.
        DataError: no line of the input holds an example; another process writes the target.
        OSError: a file cannot be read or written.
    """
    check_apart(answers, target)
    facts = {"input": sha256_of(answers), "limit": how.limit, "config": config.to_dict()}
    with Checkpoint(target, facts) as file:
        pool = draw_pool(answers, config, how) if models.scorer else ()
        summary = Summary()
        with closing(_prepared(answers, config, how, "building")) as examples:
            for prepared in examples:
                if isinstance(prepared, BadLine):
                    summary.add_bad(prepared)
                elif summary.resumed < file.n_lines:
                    summary.resumed += 1
                    summary.n_examples += 1
                else:
                    record = finish(prepared, config, scorer=models.scorer, pool=pool, judge=models.judge)
                    file.write(to_line(record))
                    summary.add(record)
        if not summary.n_examples:
            reasons = ", ".join(f"{count} {reason}" for reason, count in summary.bad.most_common(3))
            raise DataError(str(answers), f"no line holds an example ({reasons or 'it is empty'})")
        file.finish()
    return summary


def draw_pool(answers: Path, config: Config, how: How = How()) -> tuple[Stranger, ...]:
    """The foreign siblings for an input: one pass over it. Raises: OSError."""
    with closing(_prepared(answers, config, how, "drawing foreign siblings")) as examples:
        return draw(
            stranger(prepared.example, run, config.seed)
            for prepared in examples
            if isinstance(prepared, Prepared)
            for run in prepared.runs[:1]
        )


# --- reading and preparing ------------------------------------------------------------------------


def read_lines(path: Path, limit: int | None = None) -> Iterator[Line]:
    """Lines that are not blank, of the first `limit`. Raises: OSError."""
    end = 0
    with path.open("rb") as lines:
        for number, line in enumerate(islice(lines, limit), 1):
            end += len(line)
            if line.strip():
                yield end, number, line


def prepare_lines(lines: Sequence[Line], config: Config) -> list[Prepared | BadLine]:
    """What a worker does with the lines that it takes."""
    return [prepare_line(line, number, config) for _, number, line in lines]


def _prepared(path: Path, config: Config, how: How, label: str) -> Generator[Prepared | BadLine, None, None]:
    """All lines in their order; a window of them is in memory."""
    total = path.stat().st_size
    lines = read_lines(path, how.limit)
    if how.workers == 1:
        for end, number, line in lines:
            yield prepare_line(line, number, config)
            how.tell(label, end, total)
        return
    waiting: deque[tuple[int, Future[list[Prepared | BadLine]]]] = deque()
    with ProcessPoolExecutor(how.workers, mp_context=get_context("spawn")) as processes:
        try:
            while True:
                while len(waiting) < 3 * how.workers and (chunk := list(islice(lines, _LINES))):
                    waiting.append((chunk[-1][0], processes.submit(prepare_lines, chunk, config)))
                if not waiting:
                    return
                end, future = waiting.popleft()
                yield from future.result()
                how.tell(label, end, total)
        finally:
            for _, future in waiting:
                future.cancel()
